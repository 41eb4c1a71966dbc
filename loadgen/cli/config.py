"""Options that the command line leaves out: from the environment, ``loadgen.toml``, ``pyproject.toml``.

Each is checked where it was found, so that an error names the file or variable instead of the command line.
Files are read from the current directory.
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

from loadgen.cli.options import group_of
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX = "LOADGEN_"
OWN_FILE = "loadgen.toml"
PROJECT_FILE = "pyproject.toml"
EXAMINES = "doctor"
"""The command that examines the server as ``record`` would start it, from the same settings."""
SERVER = ("target", "python", "cwd", "server_env")
"""Parameters that say how a server is started."""
_LOAD = frozenset({"concurrency", "iterations", "only-user", "rate", "ramp-up", "client-processes"})
_SCENARIO, _FILE = frozenset({"scenario"}), frozenset({"from", "host", "verbatim"})
_GATEWAY = frozenset({"client", "listen", "user-by", "proxy-for"})
REPLACES: Mapping[str, frozenset[str]] = {
    "scenario": _FILE | _GATEWAY,
    "from": _SCENARIO | _GATEWAY,
    "client": _SCENARIO | _FILE | _LOAD | {"listen", "duration"},
    "listen": _SCENARIO | _FILE | _LOAD | {"client"},
    "duration": frozenset({"iterations"}),
    "iterations": frozenset({"duration", "rate", "ramp-up"}),
    "image": frozenset({"test-image", "requirements"}),
    "test-image": frozenset({"image"}),
    "requirements": frozenset({"image"}),
}
"""Options that leave no use for others: one that has precedence replaces those, too.

So ``--client`` on the command line counts, and not the scenario of ``loadgen.toml``. Both within one source
contradict each other, which is refused.
"""
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
    """Type of its value: bool, int, float, list, or any type that is written as text."""

    @property
    def wanted(self) -> str:
        """Description of valid values."""
        return _TYPES.get(self.kind, _TEXT)[0]

    def fits(self, value: object) -> bool:
        """Whether *value*, from a file, has its type."""
        if isinstance(value, list):
            return self.kind is list and all(isinstance(one, str) for one in value)
        if isinstance(value, bool) and self.kind is not bool:
            return False
        return isinstance(value, _TYPES.get(self.kind, _TEXT)[1])

    def check(self, value: object, where: str, context: typer.Context) -> object:
        """Return *value* as the command line would.

        Raises:
            UsageError: it is not valid; the message says *where* it was found.
        """
        if self.kind is list and isinstance(value, str):
            value = [value]
        try:
            processed = self.parameter.process_value(context, value)
        except typer.BadParameter as error:
            raise UsageError(f"{where}: {error.message}") from error
        return processed if self.kind is bool else value


class Options:
    """The options of all commands of *app*, by their names in files: without the dashes."""

    def __init__(self, app: typer.Typer) -> None:
        group = group_of(app)
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
        """Return the settings for *command* from the environment and the files, by parameter name.

        Raises:
            UsageError: one of them is not valid.
        """
        return self._by_parameter(command, self._merged(command))

    def besides(self, command: str, words: Sequence[str]) -> dict[str, Any]:
        """Return :meth:`configured` without what options among *words*, on the command line, replace."""
        options = self._commands[command].items()
        names = {spelled: name for name, option in options for spelled in option.parameter.opts}
        given = dict[str, str]()
        for word, following in zip(words, (*words[1:], ""), strict=True):
            spelled, equals, value = word.partition("=")
            name = names.get(spelled) or names.get(word[:2])  # -c8
            if name is not None and word.startswith("-"):
                given[name] = value if equals else following
        return self._by_parameter(command, _without_replaced(self._merged(command), given))

    def _merged(self, command: str) -> dict[str, Any]:
        found = dict[str, Any]()
        for source in (*self._files(command), dict(self._environment(command))):
            found = _without_replaced(found, source) | source
        return found

    def _by_parameter(self, command: str, found: Mapping[str, Any]) -> dict[str, Any]:
        return {self._commands[command][name].parameter.name: value for name, value in found.items()}

    def _files(self, command: str) -> Iterator[dict[str, Any]]:
        for file, section in ((PROJECT_FILE, ("tool", "loadgen")), (OWN_FILE, ())):
            found = dict[str, Any]()
            content = _read(Path(file), section)
            title = ".".join(section)
            sections = {name: value for name, value in content.items() if isinstance(value, dict)}
            general = {name: value for name, value in content.items() if name not in sections}
            found |= self._table(command, general, f"{file}, [{title}]" if title else file, None)
            for name, table in sections.items():
                where = f"{file}, [{'.'.join((*section, name))}]"
                if name not in self._commands:
                    raise UsageError(f"{where}: unknown command {name!r}", advice=self._these(None))
                found |= self._table(command, table, where, name)
            yield found

    def _table(
        self, command: str, table: Mapping[str, object], where: str, of: str | None
    ) -> Iterator[tuple[str, object]]:
        """Yield the settings of *table* for *command*, and check the whole table."""
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


def _replaced(name: str, value: Any) -> frozenset[str]:
    match name, value:
        case "from", str() if os.path.isdir(value):  # noqa: PTH112 - a run: its load is the recorded one
            return REPLACES[name] | _LOAD | {"duration"}
        case "runtime", "docker":
            return frozenset({"python"})  # the image has one
        case "runtime", "local":
            return frozenset({"image", "memory", "test-image", "requirements"})
    return REPLACES.get(name, frozenset())


def _without_replaced(found: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings *found* without those that the settings *by*, of higher precedence, replace."""
    gone = frozenset[str]().union(*(_replaced(name, value) for name, value in by.items()))
    return {name: value for name, value in found.items() if name not in gone}


def of_command_line(arguments: Sequence[str], app: typer.Typer) -> dict[str, dict[str, Any]]:
    """Return the configuration of the command in *arguments*; empty if they ask for help.

    Raises:
        UsageError: the configuration is not valid.
    """
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    command = next((word for word in own if not word.startswith("-")), None)
    if command is None or "--help" in own:
        return {}
    options = Options(app)
    if command not in options:
        return {}
    found = options.besides(command, own)
    if command == EXAMINES:
        record = options.configured("record")
        found = {name: record[name] for name in SERVER if name in record} | found
    return {command: found}


def _read(path: Path, section: Sequence[str]) -> dict[str, Any]:
    """Return a section of a TOML file; empty if it does not exist."""
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
    """Return the type of a parameter with the annotation *hint*: for ``int | None``, int."""
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
