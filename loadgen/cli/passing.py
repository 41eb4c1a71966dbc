"""Options that a command hands on: every option of ``record`` and ``verify`` is one of each trial's, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import typer

KEPT_BACK = frozenset(
    {
        "run",
        "seed",
        "concurrency",
        "attach",
        "quiet",
        "as_json",
        "events",
        "junit",
        "summary",
        "explain",
        "help",
    }
)
"""Parameters that say where one run is, or how its result is shown: a hunt sets or shows them itself."""
_HANDED_ON = "loadgen.handed_on"


@dataclass(frozen=True, slots=True)
class HandedOn:
    """What a command line has for the trials."""

    record: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    """A target's own command: ``--`` and what follows."""


class PassingCommand(TyperCommand):
    """A command that takes its own options, and hands on those of ``record`` and ``verify``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take out what is handed on, and parse the rest as usual."""
        assert ctx.parent is not None
        assert isinstance(ctx.parent.command, TyperGroup)
        commands = ctx.parent.command.commands
        own = _options(self)
        record, verify = ({**_options(commands[name], KEPT_BACK)} for name in ("record", "verify"))
        mine, to_record, to_verify, command = list[str](), list[str](), list[str](), tuple[str, ...]()
        tokens = iter(args)
        for token in tokens:
            if token == "--":  # noqa: S105 - no password
                command = (token, *tokens)
                break
            name = _name(token, {*own, *record, *verify})
            given = [token]
            if (option := own.get(name) or record.get(name) or verify.get(name)) and token == name:
                given += _values(option, tokens)
            if name in own or not (name in record or name in verify):
                mine += given
                continue
            to_record += given if name in record else ()
            to_verify += given if name in verify else ()
        ctx.meta[_HANDED_ON] = HandedOn(tuple(to_record), tuple(to_verify), command)
        return super().parse_args(ctx, mine)


def handed_on(context: typer.Context) -> HandedOn:
    """Return what the command line of *context* has for the trials."""
    found = context.meta[_HANDED_ON]
    assert isinstance(found, HandedOn)
    return found


def _options(command: object, without: frozenset[str] = frozenset()) -> dict[str, TyperOption]:
    return {
        name: option
        for option in getattr(command, "params", ())
        if isinstance(option, TyperOption) and option.name not in without
        for name in (*option.opts, *option.secondary_opts)
    }


def _name(token: str, known: set[str]) -> str:
    """Return the option that *token* gives, alone or with its value: ``--seeds=1``, ``-n20``."""
    if token.startswith("--"):
        return token.partition("=")[0]
    return token if token in known or not token.startswith("-") else token[:2]


def _values(option: TyperOption, tokens: Iterator[str]) -> Iterator[str]:
    if not (option.is_flag or option.count):
        for _ in range(option.nargs):
            value = next(tokens, None)
            if value is not None:
                yield value


LOAD = frozenset({"iterations", "scenario", "from_", "duration", "ramp_up", "rate"})
"""Parameters of ``record`` that say what is sent, and when."""


def recorded_with(context: typer.Context, command: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return options and target of the recorded *command* line, without its load.

    Raises:
        UsageError: it is none of ``loadgen record``.
    """
    if list(command[:2]) != ["loadgen", "record"]:
        raise UsageError(
            f"the run was not recorded by loadgen record, but by: {' '.join(command)}",
            advice="Record it again with loadgen record.",
        )
    parent = context.parent
    assert parent is not None
    assert isinstance(parent.command, TyperGroup)
    known = _options(parent.command.commands["record"])
    options, target = list[str](), list[str]()
    tokens = iter(command[2:])
    for token in tokens:
        if token == "--":  # noqa: S105 - no password
            target += (token, *tokens)
            break
        name = _name(token, {*known})
        if name not in known:
            target.append(token)
            continue
        given = [token, *(_values(known[name], tokens) if token == name else ())]
        options += given if known[name].name not in LOAD | KEPT_BACK else ()
    return tuple(options), tuple(target)
