"""Detects changes around a server's code: in libraries, data files and the environment.

A replay runs the current libraries, so with different ones it is a replay of changed code. It uses the
recorded data files and variables, so changes of these are only mentioned.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from loadgen.core.relocation import IN_PLACE, Relocation
from loadgen.core.verdict import Altered
from loadgen.engine import interpreter, retrace
from loadgen.store.code_digests import changed, digests, folders, home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from loadgen.engine.interpreter import Interpreter
    from loadgen.engine.target import Target
    from loadgen.store.manifest import Manifest

LARGEST = 1 << 20
"""Largest data file, in bytes; a larger file is not configuration."""
_DATA = frozenset(
    {".toml", ".ini", ".cfg", ".conf", ".yaml", ".yml", ".json", ".env", ".properties", ".html", ".htm",
     ".jinja", ".jinja2", ".j2", ".mako", ".sql", ".css", ".js", ".mjs"}
)  # fmt: skip
_NAMES = frozenset({".env", ".flaskenv"})
_OURS = frozenset({"run.json", "hunting.json", "race.json", "hunt.json"})
_INSTALLED = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist|egg)-info")


def data_files(target: Target) -> dict[str, str]:
    """Return the digests of configuration, static files and similar files beside the code of *target*."""
    return digests(_data(home(target)))


def _data(folder: Path) -> Iterator[Path]:
    for here, names in folders(folder):
        if not _OURS.isdisjoint(names):
            continue  # a run folder, or the folder of a hunt
        static = "static" in here.relative_to(folder).parts
        for name in names:
            path = here / name
            known = static or path.suffix.lower() in _DATA or name in _NAMES
            if known and "templates" not in path.parts and path.stat().st_size <= LARGEST:
                yield path


def packages(server: Interpreter) -> dict[str, str]:
    """Return the versions of the libraries that are installed in the environment of *server*, by name."""
    found = dict[str, str]()
    for entry in server.path:
        try:
            names = sorted(os.listdir(entry))  # noqa: PTH208 - a name is all that is needed
        except OSError:
            continue
        for name in names:
            if one := _INSTALLED.fullmatch(name):
                found.setdefault(_normal(one["name"]), one["version"])
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def changed_packages(manifest: Manifest, moved: Relocation = IN_PLACE) -> list[Altered]:
    """Return the imported libraries of the recorded server whose version differs where it is replayed."""
    if manifest.image or not manifest.packages:
        return []
    server = interpreter.at(moved.python)
    now = packages(server)
    other = {name for name, version in manifest.packages.items() if now.get(name) != version}
    if not other:
        return []
    imported = server.providers(manifest.result.modules, other)
    return [
        Altered("package", name, manifest.packages[name], now.get(name, ""))
        for name in sorted(other)
        if name in imported or name.replace("-", "_") in manifest.result.modules
    ]


def altered(
    manifest: Manifest, environment: Mapping[str, str], moved: Relocation = IN_PLACE
) -> list[Altered]:
    """Return all changes around the code; *environment* is the recorded server's."""
    if manifest.image:
        return []
    loadgen = retrace.changed_boundary(manifest.result.versions)
    own = [Altered("loadgen", "loadgen", *loadgen)] if loadgen else []
    files = [Altered("file", path, "", "") for path in changed(manifest.data_files, moved) or ()]
    variables = [
        Altered("variable", name, "", "")  # values may be secrets
        for name in manifest.spec.server_env
        if name in os.environ and name in environment and os.environ[name] != environment[name]
    ]
    return [*own, *changed_packages(manifest, moved), *files, *variables]
