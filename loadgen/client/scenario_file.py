"""A user's file of scenarios: imported once, and every mistake in it told with its file and line."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from loadgen.client.position import calls, position
from loadgen.client.scenario import Scenario, mix
from loadgen.errors import UsageError

EXAMPLE = """A scenario is an async function with a decorator:
    from loadgen import scenario
    @scenario
    async def browse(user):
        await user.http.get("/")"""


def named_in_file(given: str) -> bool:
    """Say whether *given* is ``file.py`` or ``file.py:name``."""
    return given.endswith(".py") or ".py:" in given


def load(given: str) -> Scenario:
    """Return the scenario that *given*, ``file.py`` or ``file.py:name``, means; of several, a mix of them.

    Raises:
        UsageError: there is no such file or scenario, or the file is wrong; the message says where.
    """
    path, _, name = given.rpartition(":") if not given.endswith(".py") else (given, "", "")
    file = Path(path)
    found = _scenarios(file)
    if not found:
        raise UsageError(f"{file} has no scenario", advice=EXAMPLE)
    if name:
        chosen = next((one for one in found if one.name == name), None)
        if chosen is None:
            known = ", ".join(one.name for one in found)
            raise UsageError(f"{file} has no scenario {name!r}", advice=f"It has: {known}.")
        return replace(chosen, name=f"{file.name}:{name}", file=file.resolve())
    if len(found) == 1:
        return replace(found[0], name=file.name, file=file.resolve())
    return replace(mix(file.name, tuple(found)), file=file.resolve())


def _scenarios(file: Path) -> list[Scenario]:
    """Run *file* as a module, and return the scenarios in it, in the order in which it has them."""
    try:
        source = file.read_bytes()
    except OSError as error:
        raise UsageError(f"the scenario file {file} cannot be read: {error.strerror}") from error
    path = str(file.resolve())
    module = ModuleType(f"loadgen_scenario_{file.stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module
    beside = str(file.resolve().parent)
    sys.path.insert(0, beside)  # what it imports may lie beside it
    try:
        # Compiled here, and not by the import system, which may take a cached one of an earlier content.
        exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 - the user's file is code to run
    except (Exception, SystemExit) as error:
        raise _mistake(file, path, error) from error
    finally:  # what it imports later is still found, but hides nothing that we import later
        sys.path.remove(beside)
        sys.path.append(beside)
    return list({id(one): one for one in vars(module).values() if isinstance(one, Scenario)}.values())


def _mistake(file: Path, path: str, error: BaseException) -> UsageError:
    """Tell what is wrong with *file*, and where."""
    if isinstance(error, SyntaxError) and error.filename == path:
        where, what, advice = f"{file}, line {error.lineno}", f"{error.msg}", (error.text or "").strip()
    else:
        line = position(error, path).rpartition(", ")[2]
        where = f"{file}, {line}" if line else str(file)
        if isinstance(error, UsageError):
            what, advice = error.message, error.advice
        else:
            what = f"{type(error).__name__}: {error}"
            advice = "\n  ".join(("It was raised here:", *calls(error)))
    return UsageError(f"{where}: {what}", advice=advice)
