"""Digests of the application's code, so that a verdict can report whether the code has changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.core.relocation import IN_PLACE, Relocation
from loadgen.core.spec import BUNDLED
from loadgen.store.files import digest
from loadgen.store.manifest import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loadgen.engine.target import Target

LIMIT = 5000
"""Maximum number of files; a folder with more is not an application's own code."""
_MARKS = ("pyvenv.cfg", NAME)
"""A folder with one of them is a virtual environment, or a run: neither is the application's own."""
_NOT_ITS_OWN = frozenset({"__pycache__", "node_modules", "site-packages"})


def sources(target: Target) -> dict[str, str]:
    """Return the digests of the Python files and templates of *target*, by absolute path."""
    return digests(_code(home(target)))


def home(target: Target) -> Path:
    """Return the folder that the code of *target* is in."""
    if target.name == BUNDLED:
        import server_app  # noqa: PLC0415 - only where it is the target

        return Path(server_app.__file__).parent
    return Path(target.folder)


def client_sources(file: Path | None) -> dict[str, str]:
    """Return the digests of the files that define the requests: *file*, and its imports beside it."""
    if file is None:
        return {}
    return digests(dict.fromkeys((file, *_imported(file.resolve().parent))))


def _imported(folder: Path) -> Iterator[Path]:
    """Yield the files in *folder* of modules that this process has imported, except loadgen's own."""
    inside = os.path.join(folder, "")  # noqa: PTH118 - with the separator at its end, once
    for name, module in sorted(sys.modules.items()):
        file = str(getattr(module, "__file__", None))
        if not file.startswith(inside) or name.partition(".")[0] in {"loadgen", "__main__"}:
            continue
        path = Path(file)
        if _NOT_ITS_OWN.isdisjoint(path.parts):
            yield path


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """Return the digests of *paths*, of the first :data:`LIMIT` of them."""
    found = dict[str, str]()
    for path in paths:
        if len(found) == LIMIT:
            break
        try:
            found[str(path)] = digest(path)
        except OSError:  # a file that cannot be read cannot be imported either
            continue
    return found


def changed(recorded: Mapping[str, str], moved: Relocation = IN_PLACE) -> list[str] | None:
    """Return the recorded files whose content differs now, where they are; None if none was recorded."""
    if not recorded:
        return None
    return [here for path, sha in recorded.items() if not _is(Path(here := moved.here(path)), sha)]


def _is(path: Path, sha: str) -> bool:
    try:
        return digest(path) == sha
    except OSError:
        return False


def _code(folder: Path) -> Iterator[Path]:
    for here, files in folders(folder):
        template = "templates" in here.relative_to(folder).parts
        yield from (here / name for name in files if template or name.endswith(".py"))


def folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield an application's own folders, with the names of the files in each."""
    for root, inner, files in os.walk(folder):
        here = Path(root)
        if here != folder and any((here / name).exists() for name in _MARKS):
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if name not in _NOT_ITS_OWN and not name.startswith("."))
        yield here, sorted(files)
