"""The folders that a recording names, and their locations during its replay.

The code that a replay runs is in a few folders: the checkout of the application, the interpreter's library,
its environment's packages, and loadgen's own. A replay in another location gets pairs of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.core.relocation import Relocation
from loadgen.core.spec import BUNDLED
from loadgen.engine.interpreter import ENGINE, PACKAGED
from loadgen.engine.target import packages
from loadgen.errors import RecordingFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadgen.engine.interpreter import Interpreter
    from loadgen.engine.target import Target

CHECKOUT = "checkout"


def installed(server: Interpreter) -> dict[str, str]:
    """Return the folders of loadgen, of its engine, and of the interpreter *server* with its packages.

    If two have the same folder, the last one counts: what the application sees are its own packages. The two
    packages of loadgen, which may be among those, are named by themselves.
    """
    engine = server.brought().get(ENGINE, server.libraries["platlib"])
    packages = {"package": str(PACKAGED), "demo": str(PACKAGED.with_name(BUNDLED))}
    return {"loadgen": str(PACKAGED.parent), **packages, "engine": engine, **server.libraries}


def checkout(target: Target, started_in: Path) -> str:
    """Return the folder that contains all of the application's own files; empty for the bundled server.

    This is the nearest git work tree above its code. Without git it is the directory *started_in* if it
    contains the code, otherwise the folder of the code.
    """
    if not target.folder:
        return target.cwd
    code = Path(target.folder)
    known = next((one for one in (code, *code.parents) if (one / ".git").exists()), None)
    if known is not None:
        return str(known)
    return str(started_in if code.is_relative_to(started_in) else code)


def found(recorded: str, files: Sequence[str], argv: Sequence[str], above: Path, given: str | None) -> str:
    """Return the current location of the *recorded* checkout, which contains *files*, served by *argv*.

    It is the folder *given*; or the nearest folder *above* the run that contains most of the files; or the
    recorded location; or the nearest folder from the current directory upwards that contains most of them. In
    the folder given, and at the recorded location, what is served is enough: other files may be deleted.

    Raises:
        RecordingFault: it was not found.
        UsageError: it is not in the folder *given*.
    """
    code = [str(Path(file).relative_to(recorded)) for file in files if Path(file).is_relative_to(recorded)]
    if not recorded or not (code or given):
        return recorded
    served = _served(code, argv)
    if given is not None:
        here = Path(given).resolve()
        if not _has(here, served):
            raise UsageError(
                f"{given} does not hold the recorded application: {', '.join(served[:3])}",
                advice="Give --checkout the folder that corresponds to the recorded " + recorded,
            )
        return str(here)
    there = Path(recorded)
    for one in (*above.resolve().parents, there, *_upwards(Path.cwd())):
        if _holds(one, code) or (one == there and _has(one, served)):
            return str(one)
    raise RecordingFault(
        f"the recorded application, {recorded}, is not here: {', '.join(served[:3])} is neither there, nor "
        f"in a folder above the run {above}, nor in the current directory",
        advice="Run verify in its checkout, or say where that is: --checkout DIR",
    )


def _upwards(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.parents


def _holds(folder: Path, code: Sequence[str]) -> bool:
    """Whether *folder* contains most of the files *code*; changed code may lack some."""
    return 2 * sum((folder / one).is_file() for one in code) > len(code)


def _has(folder: Path, served: Sequence[str]) -> bool:
    """Whether *folder* contains what is *served*, or a part of it; none if that is not known."""
    return any((folder / one).is_file() for one in served)


def _served(code: Sequence[str], argv: Sequence[str]) -> Sequence[str]:
    """Return which of the files *code* are named by the arguments of an interpreter; all, if none is."""
    scripts = {Path(word).name for word in argv if word.endswith(".py")}
    names = frozenset(packages(argv))
    paths = ((one, Path(one)) for one in code)
    named = [one for one, path in paths if path.name in scripts or names & {path.stem, *path.parent.parts}]
    return named or code


def relocation(recorded: Mapping[str, str], here: Mapping[str, str]) -> Relocation:
    """Return which of the folders *recorded* have moved, and which in them have not."""
    pairs = {recorded[name]: here[name] for name in recorded if recorded[name] and here.get(name)}
    moved = tuple(f"{then}/" for then, now in pairs.items() if then != now)
    return Relocation(tuple(pair for pair in pairs.items() if f"{pair[0]}/".startswith(moved)))
