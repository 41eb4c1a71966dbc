"""Runs a user's Python file, and reports errors in it with file and line."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from loadgen.client.user_code import calls, location
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def execute(file: Path, kind: str) -> ModuleType:
    """Run *file* as a module, and return it; *kind* is its purpose: ``scenario`` or ``model``.

    Raises:
        UsageError: it cannot be read, or has an error; the message says where.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        raise UsageError(f"the {kind} file {file} cannot be read: {error.strerror}") from error
    path = str(file.resolve())
    module = ModuleType(f"loadgen_{kind}_{file.stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module
    beside = str(file.resolve().parent)
    sys.path.insert(0, beside)  # modules beside it can be imported
    try:
        # Compiled here, because the import system may use cached bytecode of an earlier content.
        exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 - the user's file is code to run
    except (Exception, SystemExit) as error:
        raise mistake(file, error) from error
    finally:  # later imports still find its modules, but they hide none of loadgen's
        sys.path.remove(beside)
        sys.path.append(beside)
    return module


def mistake(file: Path, error: BaseException) -> UsageError:
    """Return the error in *file* with its location."""
    path = str(file.resolve())
    if isinstance(error, SyntaxError) and error.filename == path:
        where, what, advice = f"{file}, line {error.lineno}", f"{error.msg}", (error.text or "").strip()
    else:
        line = location(error, path).rpartition(", ")[2]
        where = f"{file}, {line}" if line else str(file)
        if isinstance(error, UsageError):
            what, advice = error.message, error.advice
        else:
            what = f"{type(error).__name__}: {error}"
            advice = "\n  ".join(("It was raised here:", *calls(error)))
    return UsageError(f"{where}: {what}", advice=advice)
