"""The target: which server is under test, and how it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from loadgen.errors import UsageError

BUNDLED = "server_app"


@dataclass(frozen=True, slots=True)
class Target:
    """A server, as arguments of a Python interpreter."""

    name: str
    """What the user called it."""
    argv: tuple[str, ...]
    """As after ``python``: a script, or ``-m`` and a module, and its arguments."""
    python_path: str
    """Where it is imported from."""


def resolve(name: str | None) -> Target:
    """Return the target called *name*: a script, ``module:app``, or by default the bundled server.

    Raises:
        UsageError: there is no such script, or it is neither.
    """
    if name is None or name == BUNDLED:
        return Target(BUNDLED, ("-m", BUNDLED), "")
    if name.startswith(f"{BUNDLED} "):  # with options: its imports at start-up are part of what they show
        import server_app  # noqa: PLC0415 - only where it is the target

        return Target(name, ("-m", *name.split()), str(Path(server_app.__file__).parent))
    if name.endswith(".py"):
        script = Path(name)
        if not os.path.isfile(script):  # noqa: PTH113 - unlike Path's, false for a name that cannot be
            raise UsageError(f"there is no script {name}", advice="Give a path to a Python file.")
        script = script.resolve()
        return Target(name, (str(script),), str(script.parent))
    module, colon, app = name.partition(":")
    if colon and app and all(part.isidentifier() for part in module.split(".")):
        command = ("-m", "flask", "--app", name, "run", "--no-reload", "--no-debugger")
        return Target(name, command, str(Path.cwd()))
    raise UsageError(
        f"{name!r} is no target",
        advice="Give a script that calls app.run(), such as serve.py, or an application, such as "
        "package.module:app; give nothing for the bundled server.",
    )
