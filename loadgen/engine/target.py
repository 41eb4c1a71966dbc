"""The target: the server under test, and how it is started."""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.core.spec import BUNDLED
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
_HARMLESS = frozenset({"-u", "-P"})
"""Interpreter options without effect here: output is unbuffered and ``sys.path`` is safe anyway."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, as arguments of a Python interpreter."""

    words: tuple[str, ...]
    """The target as given by the user: a name, or the words of a command."""
    argv: tuple[str, ...]
    """The arguments after ``python``: a script, ``-m`` and a module, or ``-c`` and code; then its own."""
    folder: str = ""
    """Folder of the application's code; empty for the bundled server."""
    import_from: str = ""
    """The entry that Python prepends to ``sys.path`` for such a start; empty: none."""
    cwd: str = ""
    """Working directory; empty: any."""

    @property
    def name(self) -> str:
        """The target as given by the user, as one line."""
        return shlex.join(self.words) if len(self.words) > 1 else self.words[0]


_SERVERS = frozenset({"flask", "gunicorn", "waitress", "werkzeug"})
"""Packages that serve an application of another package."""
_APPLICATION = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*(\(.*\))?")


def packages(argv: Sequence[str]) -> list[str]:
    """Return the names of the packages that *argv*, the arguments of an interpreter, serves.

    They may be installed like a library: what their modules do when they are imported is the application's.
    """
    modules = [found[1] for word in argv if (found := _APPLICATION.fullmatch(word))]
    match list(argv):
        case ["-m", module, *_]:
            modules.append(module)
        case ["-c", code, *_]:
            modules += re.findall(r"from ([\w.]+) import", code)
    return sorted({module.partition(".")[0] for module in modules} - _SERVERS)


def resolve(
    given: str | Sequence[str] | None = None, cwd: str | Path | None = None, *, elsewhere: bool = False
) -> Target:
    """Return the target for *given*, started in *cwd* (by default the current directory).

    *given* is a script, ``module:app`` or the words of a command; by default the bundled server. A command
    that is installed *elsewhere*, in the image of a container, is not looked up here.

    Raises:
        UsageError: the script, directory or command does not exist, or cannot be recorded.
    """
    words = (given,) if isinstance(given, str) else tuple(given or ())
    here = _directory(cwd)
    if words in {(), (BUNDLED,)}:
        return Target((BUNDLED,), ("-m", BUNDLED), cwd=str(here) if cwd else "")
    name, *arguments = words
    if name == BUNDLED:  # with options: its behaviour during import is part of some hazards
        import server_app  # noqa: PLC0415 - only where it is the target

        folder = str(Path(server_app.__file__).parent)
        return Target(words, ("-m", *words), folder, cwd=str(here) if cwd else "")
    if name.endswith(".py"):
        return _script(words, name, arguments, here, own_folder=cwd is None)
    module, colon, app = name.partition(":")
    if colon and _is_module(module) and _is_application(app):
        if arguments:
            raise UsageError(f"{name} is an application, which takes no arguments: {shlex.join(arguments)}")
        argv = ("-m", "flask", "--app", name, "run", "--no-reload", "--no-debugger")
        return Target(words, argv, str(here), str(here), str(here))
    if _PYTHON.fullmatch(Path(name).name):
        _check_interpreter(name, elsewhere=elsewhere)
        return _python(words, arguments, here)
    if len(words) == 1 and (colon or "/" in name or not name or elsewhere or not _console_script(name)):
        raise UsageError(
            f"{name!r} is not a target",
            advice="Give a script that serves, such as serve.py; an application, such as package.module:app "
            "or module:create_app; or a command: -- python serve.py --flag. Nothing: the bundled server.",
        )
    return Target(words, (*_command(name, elsewhere=elsewhere), *arguments), str(here), "", str(here))


def _directory(cwd: str | Path | None) -> Path:
    if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112 - Path's own raises for a name that cannot be
        raise UsageError(f"the directory {cwd} does not exist", advice="Give --cwd an existing directory.")
    return Path(cwd or "").resolve()


def _script(
    words: tuple[str, ...], name: str, arguments: Sequence[str], here: Path, *, own_folder: bool
) -> Target:
    script = os.path.join(here, name)  # noqa: PTH118 - Path's own raises for a name that cannot be
    if not os.path.isfile(script):  # noqa: PTH113 - the same
        raise UsageError(f"the script {name} does not exist", advice="Give the path of a Python file.")
    path = Path(script).resolve()
    folder = path.parent if own_folder or not path.is_relative_to(here) else here
    return Target(words, (str(path), *arguments), str(folder), str(path.parent), str(here))


def _python(words: tuple[str, ...], arguments: Sequence[str], here: Path) -> Target:
    """Return the target of a command line of Python itself."""
    left = list(arguments)
    while left and left[0] in _HARMLESS:
        del left[0]
    match left:
        case ["-m", module, *more] if _is_module(module):
            return Target(words, ("-m", module, *more), str(here), str(here), str(here))
        case [script, *more] if script.endswith(".py"):
            return _script(words, script, more, here, own_folder=False)
    raise UsageError(
        f"{shlex.join(words)!r} cannot be recorded",
        advice="After python, give a script (serve.py), or -m and a module. The only other options supported "
        f"are {' and '.join(sorted(_HARMLESS))}.",
    )


def _check_interpreter(name: str, *, elsewhere: bool) -> None:
    """Refuse any Python other than this one, which has the engine and runs the server."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = Path(name).name.removeprefix("python")
    if elsewhere or (wanted in {"", "3", version} and ("/" not in name or _in_this_environment(name))):
        return
    raise UsageError(
        f"{name} is not loadgen's own Python: {sys.executable}, {version}",
        advice="The engine records its own interpreter: install loadgen into the server's environment.",
    )


def _command(name: str, *, elsewhere: bool) -> tuple[str, ...]:
    """Return the arguments with which Python runs the console script *name*."""
    if elsewhere:
        return (name,)
    found = _console_script(Path(name).name)
    if found is None or ("/" in name and not _in_this_environment(name)):
        raise UsageError(
            f"{name} is not a command of this Python environment ({sys.prefix})",
            advice="A command is python with a script or -m and a module, or a console script that is "
            "installed beside loadgen, such as flask, gunicorn or waitress-serve. The engine runs nothing "
            "else.",
        )
    module, _, attribute = found.partition(":")
    code = (
        f"import sys; from {module} import {attribute.partition('.')[0]}; "
        f"sys.argv[0] = {Path(name).name!r}; sys.exit({attribute}())"
    )
    return ("-c", code)


def _console_script(name: str) -> str | None:
    found = [point for point in entry_points(group="console_scripts", name=name) if point.attr]
    return f"{found[0].module}:{found[0].attr}" if found else None


def _in_this_environment(path: str) -> bool:
    return Path(path).absolute().parent == Path(sys.executable).parent


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _is_application(name: str) -> bool:
    """Whether *name* is a variable, a factory, or a factory's call with literal arguments."""
    try:
        found = ast.parse(name.strip(), mode="eval").body
        if isinstance(found, ast.Call):
            for value in (*found.args, *(keyword.value for keyword in found.keywords)):
                ast.literal_eval(value)
            found = found.func
    except (SyntaxError, ValueError):
        return False
    return isinstance(found, ast.Name)
