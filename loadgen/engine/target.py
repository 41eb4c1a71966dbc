"""The target: the server under test, and how it is started."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.core.option import shell
from loadgen.core.spec import BUNDLED
from loadgen.engine import interpreter
from loadgen.engine.interpreter import is_python
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.engine.interpreter import Interpreter

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
    python: Interpreter = field(default_factory=interpreter.own)
    """The interpreter that runs it."""

    @property
    def name(self) -> str:
        """The target as given by the user, as one line."""
        return shlex.join(self.words) if len(self.words) > 1 else self.words[0]


APPLICATION = "loadgen.traced.application"
"""Serves an application by its name; it runs in the server's process."""
_SERVERS = frozenset({"loadgen", "flask", "gunicorn", "waitress", "werkzeug"})
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
    given: str | Sequence[str] | None = None,
    cwd: str | Path | None = None,
    *,
    python: str | None = None,
    elsewhere: bool = False,
) -> Target:
    """Return the target for *given*, started in *cwd* (by default the current directory).

    *given* is a script, ``module:app`` or the words of a command; by default the bundled server. It runs in
    *python*, an interpreter or the folder of an environment; by default in the environment that the command
    belongs to, the activated one, or loadgen's own. A command that is installed *elsewhere*, in the image of
    a container, is not looked up here.

    Raises:
        UsageError: the script, directory or command does not exist, or cannot be recorded.
    """
    words = (given,) if isinstance(given, str) else tuple(given or ())
    here = directory(cwd)
    server = interpreter.own() if elsewhere else _interpreter(words, here, python)
    if words in {(), (BUNDLED,)}:
        return Target((BUNDLED,), ("-m", BUNDLED), cwd=str(here) if cwd else "", python=server)
    name, *arguments = words
    if name == BUNDLED:  # with options: its behaviour during import is part of some hazards
        import server_app  # noqa: PLC0415 - only where it is the target

        folder = str(Path(server_app.__file__).parent)
        return Target(words, ("-m", *words), folder, cwd=str(here) if cwd else "", python=server)
    if name.endswith(".py"):
        return _script(words, name, arguments, here, server, own_folder=cwd is None)
    module, colon, app = name.partition(":")
    if colon and _is_module(module) and not module.endswith(".py") and _is_application(app):
        if arguments:
            raise UsageError(f"{name} is an application, which takes no arguments: {shlex.join(arguments)}")
        argv = ("-m", APPLICATION, name)
        return Target(words, argv, str(here), str(here), str(here), server)
    if is_python(name):
        return _python(words, arguments, here, server)
    if len(words) == 1 and not ("/" in name and interpreter.of_script(os.path.join(here, name))):  # noqa: PTH118
        known = not (colon or "/" in name or not name or elsewhere) and name in server.scripts
        if not known:
            raise _no_target(name, server)
    command = (name,) if elsewhere else _command(name, here, server)
    return Target(words, (*command, *arguments), str(here), "", str(here), server)


def _no_target(name: str, server: Interpreter) -> UsageError:
    """Return why *name*, given alone, is not a target."""
    module, _, app = name.partition(":")
    if module.endswith(".py") and _is_application(app):
        dotted = module.removesuffix(".py").removeprefix("./").replace("/", ".")
        return UsageError(f"{module} is a file, not a module", advice=f"Name the module: {dotted}:{app}")
    if "://" in name:
        return UsageError(
            f"{name} is the address of a server that runs already, which cannot be recorded",
            advice="Give what starts it: loadgen starts the server itself. To find it: loadgen init",
        )
    first, *more = name.split() or [""]
    if more and (is_python(first) or first in server.scripts):
        return UsageError(
            f"{name!r} is one word to the shell, and not a target",
            advice=f"Write a command without quotes, behind --: {shell('record', '--', first, *more)}",
        )
    return UsageError(
        f"{name!r} is not a target",
        advice="Give a script that serves, such as serve.py; an application, such as package.module:app or "
        "module:create_app; or a command: -- python serve.py --flag. Nothing: the bundled server.",
    )


def _interpreter(words: Sequence[str], here: Path, python: str | None) -> Interpreter:
    """Return the interpreter for the command *words*, started in *here*.

    Raises:
        UsageError: it does not exist, or is not that of the command.
    """
    wanted = None if python is None else interpreter.chosen(python)
    if not words or words[0] == BUNDLED:
        return wanted or interpreter.own()
    name = words[0]
    if "/" in name and not name.endswith(".py"):
        path = os.path.join(here, name)  # noqa: PTH118 - Path's own raises for a name that cannot be
        found = interpreter.chosen(path) if is_python(name) else interpreter.of_script(path)
        if found is not None and wanted is not None and not found.shares_environment(wanted):
            raise UsageError(
                f"{name} belongs to {found.name}, but --python is {wanted.name}", advice="Leave --python out."
            )
        return found or wanted or interpreter.own()
    server = wanted or interpreter.activated() or interpreter.own()
    if is_python(name):
        return _release(name, server)
    if wanted is None and not name.endswith(".py") and ":" not in name and name not in server.scripts:
        there = shutil.which(name)
        return (there and interpreter.of_script(there)) or server
    return server


def _release(name: str, server: Interpreter) -> Interpreter:
    """Return the interpreter that is called *name*, such as python3.12: *server*, if it has that release."""
    release = Path(name).name.removeprefix("python")
    if f"{server.release[0]}.{server.release[1]}.".startswith(f"{release}." if release else ""):
        return server
    return interpreter.chosen(name)


def directory(cwd: str | Path | None) -> Path:
    """Return the directory *cwd*, by default the current one.

    Raises:
        UsageError: it does not exist.
    """
    if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112 - Path's own raises for a name that cannot be
        raise UsageError(f"the directory {cwd} does not exist", advice="Give --cwd an existing directory.")
    return Path(cwd or "").resolve()


def _script(
    words: tuple[str, ...],
    name: str,
    arguments: Sequence[str],
    here: Path,
    server: Interpreter,
    *,
    own_folder: bool,
) -> Target:
    script = os.path.join(here, name)  # noqa: PTH118 - Path's own raises for a name that cannot be
    if not os.path.isfile(script):  # noqa: PTH113 - the same
        raise UsageError(f"the script {name} does not exist", advice="Give the path of a Python file.")
    path = Path(script).resolve()
    folder = path.parent if own_folder or not path.is_relative_to(here) else here
    return Target(words, (str(path), *arguments), str(folder), str(path.parent), str(here), server)


def _python(words: tuple[str, ...], arguments: Sequence[str], here: Path, server: Interpreter) -> Target:
    """Return the target of a command line of Python itself."""
    left = list(arguments)
    while left and left[0] in _HARMLESS:
        del left[0]
    match left:
        case ["-m", module, *more] if _is_module(module):
            return Target(words, ("-m", module, *more), str(here), str(here), str(here), server)
        case [script, *more] if script.endswith(".py"):
            return _script(words, script, more, here, server, own_folder=False)
    raise UsageError(
        f"{shlex.join(words)!r} cannot be recorded",
        advice="After python, give a script (serve.py), or -m and a module. The only other options supported "
        f"are {' and '.join(sorted(_HARMLESS))}.",
    )


def _command(name: str, here: Path, server: Interpreter) -> tuple[str, ...]:
    """Return the arguments with which the interpreter *server* runs the console script *name*."""
    if os.path.isdir(os.path.join(here, name)) and name not in server.scripts:  # noqa: PTH112, PTH118 - as above
        raise UsageError(
            f"{name} is a folder, and not everything given with it is one",
            advice="To record several folders, name only folders. The server in one: cd DIR && loadgen init",
        )
    found = server.scripts.get(Path(name).name)
    path = os.path.join(here, name)  # noqa: PTH118 - Path's own raises for a name that cannot be
    belongs = interpreter.of_script(path) if "/" in name else server
    if found is None or belongs is None or not belongs.shares_environment(server):
        raise UsageError(
            f"{name} is not a command of the Python environment {server.paths['prefix']}",
            advice="A command is python with a script or -m and a module, or a console script of a Python "
            "environment, such as flask, gunicorn or waitress-serve. The engine runs nothing else. Another "
            "environment: --python PATH.",
        )
    module, _, attribute = found.partition(":")
    code = (
        f"import sys; from {module} import {attribute.partition('.')[0]}; "
        f"sys.argv[0] = {Path(name).name!r}; sys.exit({attribute}())"
    )
    return ("-c", code)


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
