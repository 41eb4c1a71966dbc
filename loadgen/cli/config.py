"""Options that the command line leaves out: from the environment, ``loadgen.toml``, ``pyproject.toml``.

Each is checked where it was found, and a mistake names that place: it would otherwise be looked for on the
command line. Files are those of the current directory.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import typer
from typer.main import get_command

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX = "LOADGEN_"
OWN_FILE = "loadgen.toml"
PROJECT_FILE = "pyproject.toml"
PRECEDENCE = (
    "Every option can also be set in the environment or in a file. Precedence: the command line; the "
    f"environment ({PREFIX}RECORD_CONCURRENCY=16); {OWN_FILE} in this directory ([record] concurrency = "
    f"16, or outside a section for every command that has the option); {PROJECT_FILE} "
    "([tool.loadgen.record]); the default."
)
_TYPES: Mapping[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    list: ("a text or a list of texts", (str, list)),
}
_TEXT = ("a text", (str,))


@dataclass(frozen=True, slots=True)
class _Option:
    """An option, or the argument, of a command."""

    parameter: Any
    kind: type
    """What its values are: bool, int, float, list, or anything that is written as a text."""

    @property
    def wanted(self) -> str:
        """What its value may be, in words."""
        return _TYPES.get(self.kind, _TEXT)[0]

    def fits(self, value: object) -> bool:
        """Say whether *value*, of a file, is of its type."""
        if isinstance(value, list):
            return self.kind is list and all(isinstance(one, str) for one in value)
        if isinstance(value, bool) and self.kind is not bool:
            return False
        return isinstance(value, _TYPES.get(self.kind, _TEXT)[1])

    def check(self, value: object, where: str, context: typer.Context) -> object:
        """Return *value* as the command line takes it.

        Raises:
            UsageError: it is none of the option's, and *where* it was found.
        """
        if self.kind is list and isinstance(value, str):
            value = [value]
        try:
            processed = self.parameter.process_value(context, value)
        except typer.BadParameter as error:
            raise UsageError(f"{where}: {error.message}") from error
        return processed if self.kind is bool else value


class Options:
    """The options of all commands of *app*, by the names that they have in files: without the dashes."""

    def __init__(self, app: typer.Typer) -> None:
        group: Any = get_command(app)
        self._context = typer.Context(group)
        self._commands: dict[str, dict[str, _Option]] = {}
        for info in app.registered_commands:
            assert info.callback is not None
            command = info.name or info.callback.__name__.replace("_", "-")
            hints = get_type_hints(info.callback)
            self._commands[command] = {
                _name(one): _Option(one, _kind(hints[one.name]))
                for one in group.commands[command].params
                if one.name in hints and not getattr(one, "hidden", False)
            }

    def __contains__(self, command: str) -> bool:
        return command in self._commands

    def configured(self, command: str) -> dict[str, Any]:
        """Return what the environment and the files set for *command*, by the names of its parameters.

        Raises:
            UsageError: one of them says what cannot be meant.
        """
        found = dict[str, Any]()
        for name, value in (*self._files(command), *self._environment(command)):
            found[self._commands[command][name].parameter.name] = value
        return found

    def _files(self, command: str) -> Iterator[tuple[str, object]]:
        for file, section in ((PROJECT_FILE, ("tool", "loadgen")), (OWN_FILE, ())):
            content = _read(Path(file), section)
            title = ".".join(section)
            sections = {name: value for name, value in content.items() if isinstance(value, dict)}
            general = {name: value for name, value in content.items() if name not in sections}
            yield from self._table(command, general, f"{file}, [{title}]" if title else file, None)
            for name, table in sections.items():
                where = f"{file}, [{'.'.join((*section, name))}]"
                if name not in self._commands:
                    raise UsageError(f"{where}: unknown command {name!r}", advice=self._these(None))
                yield from self._table(command, table, where, name)

    def _table(
        self, command: str, table: Mapping[str, object], where: str, of: str | None
    ) -> Iterator[tuple[str, object]]:
        """Yield what *table*, of one command or of all, sets for *command*; check all of it."""
        for key, value in table.items():
            name = key.replace("_", "-")
            options = [
                self._commands[one][name]
                for one in ((of,) if of else self._commands)
                if name in self._commands[one]
            ]
            if not options:
                raise UsageError(f"{where}: unknown option {key!r}", advice=self._these(of))
            if not any(option.fits(value) for option in options):
                raise UsageError(f"{where}: {key} = {value!r} is not {options[0].wanted}")
            if of in {None, command} and name in self._commands[command]:
                yield (
                    name,
                    self._commands[command][name].check(value, f"{where}: {key} = {value!r}", self._context),
                )

    def _environment(self, command: str) -> Iterator[tuple[str, object]]:
        prefix = f"{PREFIX}{_variable(command)}_"
        options = {f"{prefix}{_variable(name)}": name for name in self._commands[command]}
        for variable, text in os.environ.items():
            if not variable.startswith(prefix) or not text:
                continue
            if variable not in options:
                raise UsageError(
                    f"the environment variable {variable} does not match an option of {command}",
                    advice=f"The variables are: {', '.join(options)}.",
                )
            option = self._commands[command][options[variable]]
            value = _words(variable, text) if option.kind is list else text
            yield (
                options[variable],
                option.check(value, f"the environment variable {variable}={text}", self._context),
            )

    def _these(self, command: str | None) -> str:
        if command is None:
            every = dict.fromkeys(name for options in self._commands.values() for name in options)
            return f"The options are: {', '.join(every)}. The sections are: {', '.join(self._commands)}."
        return f"The options are: {', '.join(self._commands[command])}."


def of_command_line(arguments: Sequence[str], app: typer.Typer) -> dict[str, dict[str, Any]]:
    """Return what is configured for the command that *arguments* begin with; nothing where they ask for help.

    Raises:
        UsageError: something is configured that cannot be meant.
    """
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    command = next((word for word in own if not word.startswith("-")), None)
    if command is None or "--help" in own:
        return {}
    options = Options(app)
    return {command: options.configured(command)} if command in options else {}


def _read(path: Path, section: Sequence[str]) -> dict[str, Any]:
    """Return a section of a TOML file; nothing where there is none."""
    try:
        content: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    for name in section:
        content = content.get(name, {}) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise UsageError(f"{path}: {'.'.join(section)} is not a table")
    return content


def _kind(hint: Any) -> type:
    """Return what a parameter annotated by *hint* holds: of ``int | None``, that is int."""
    of = next((one for one in get_args(hint) if one is not type(None)), hint) if _optional(hint) else hint
    kind: type = get_origin(of) or of
    return kind


def _optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _name(parameter: Any) -> str:
    """Return the name of an option without its dashes, or that of the argument."""
    names: list[str] = [name for name in parameter.opts if name.startswith("--")] or [parameter.name]
    return names[0].removeprefix("--").replace("_", "-")


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _words(variable: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the environment variable {variable}={text}: {error}") from error
