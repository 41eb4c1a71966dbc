"""Command line options made from the fields of a specification; see :mod:`loadgen.core.option`."""

from __future__ import annotations

import enum
import inspect
import math
from functools import cache, wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
from typer.main import get_command

from loadgen.core.option import OptionField, assemble, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import msgspec

    Command = Callable[..., None]

T = TypeVar("T", bound="msgspec.Struct")


@cache
def group_of(app: typer.Typer) -> Any:
    """Return the command line of *app*, which takes longer to make than to parse."""
    return get_command(app)


def names(*kinds: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the names of the fields of *kinds* that have an option."""
    return tuple(field.name for kind in kinds for field in fields(kind))


def taking(*, without: Sequence[str] = (), **kinds: type[msgspec.Struct]) -> Callable[[Command], Command]:
    """Give a command the options of specifications; it gets their values as arguments named like *kinds*.

    If several specifications have the same option, it is one option, passed to each. Fields named in
    *without* get no option.
    """

    def decorate(command: Command) -> Command:
        parameters = dict[str, inspect.Parameter]()
        for kind in kinds.values():
            for field in fields(kind):
                if field.name not in without:
                    parameters.setdefault(_parameter(field), _made(field))
        own = [
            one.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)
            for name, hint in get_type_hints(command, include_extras=True).items()
            if name not in kinds and (one := inspect.signature(command).parameters.get(name)) is not None
        ]

        @wraps(command)
        def taken(**given: Any) -> None:
            values = {}
            for name, kind in kinds.items():
                mine = {
                    one.name: given.get(_parameter(one)) for one in fields(kind) if one.name not in without
                }
                values[name] = assemble(kind, mine)
            command(**values, **{one.name: given[one.name] for one in own})

        every = [*parameters.values(), *own]
        taken.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        taken.__annotations__ = {one.name: one.annotation for one in every}
        del taken.__wrapped__  # typer would use its signature instead
        return taken

    return decorate


def parse(app: typer.Typer, command: str, words: Sequence[str], kind: type[T]) -> T:
    """Return the specification given by *words*, the arguments of *command*."""
    group = group_of(app)
    context = group.commands[command].make_context(command, list(words), parent=typer.Context(group))
    return assemble(
        kind, {one.name: _typed(one, context.params.get(_parameter(one))) for one in fields(kind)}
    )


def _typed(field: OptionField, value: Any) -> Any:
    """Return *value* as the type of *field*: some versions of typer leave this to the call of the command."""
    return field.kind(value) if isinstance(value, str) and issubclass(field.kind, enum.Enum) else value


def _parameter(field: OptionField) -> str:
    """Return the parameter's name: that of the option, so that specifications share it."""
    if not field.option.names:
        return field.name
    name = field.option.names[0].removeprefix("--").replace("-", "_")
    return f"{name}_" if name == "from" else name


def _made(field: OptionField) -> inspect.Parameter:
    option = field.option
    hint: Any
    more: dict[str, Any] = {"help": _help(field), "show_default": False, "metavar": option.metavar}
    if field.many:
        hint = list[field.kind] | None  # type: ignore[name-defined]
    elif field.kind is bool:
        hint = bool
    elif option.read is not None:
        hint = str | None
    else:
        hint = field.kind | None
        if field.kind in {int, float}:
            more |= _range(field) | {"metavar": option.metavar or ("N" if field.kind is int else "SECONDS")}
    default = False if field.kind is bool else None
    made = typer.Option(*option.names, **more) if option.names else typer.Argument(**more)
    return inspect.Parameter(
        _parameter(field), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, made]
    )


def _range(field: OptionField) -> dict[str, Any]:
    def finite(value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise typer.BadParameter(f"{value} is not a number of seconds.")
        return value

    limits = {"min": field.option.least, "max": field.option.most}
    return {
        "callback": finite,
        **{name: field.kind(limit) for name, limit in limits.items() if limit is not None},
    }


def _help(field: OptionField) -> str:
    text = field.option.help
    if field.default in (None, (), False, "") or "efault" in text:
        return text
    return f"{text} [default: {field.option.write(field.default)}]"
