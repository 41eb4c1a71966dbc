"""Options: the names of a specification's fields on the command line, in files and in the environment.

A field is declared once, in its class, with its :class:`Option`. Every command that takes such a value takes
the option, and the command line can be reconstructed from the value.
"""

from __future__ import annotations

import enum
import shlex
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Option:
    """A command line option; without names, a positional argument."""

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    least: float | None = None
    """The smallest valid number."""
    most: float | None = None
    read: Callable[[str], Any] | None = None
    """Parses the field's value; raises ValueError with the reason if the text is invalid."""
    write: Callable[[Any], str] = str
    """Formats the value so that :attr:`read` can parse it."""


@dataclass(frozen=True, slots=True)
class OptionField:
    """A field with an option, somewhere in a specification."""

    name: str
    """Unique in the specification."""
    option: Option
    kind: type
    """Type of a single value: bool, int, float, str or an enumeration."""
    many: bool
    """Whether it takes several values."""
    default: Any


@cache
def _hints(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the annotations of *kind*: each is compiled, which is slow."""
    return get_type_hints(kind, include_extras=True)


@cache
def fields(kind: type[msgspec.Struct]) -> tuple[OptionField, ...]:
    """Return the fields of *kind* that have an option, including those of nested values."""
    return tuple(_found(kind))


def _found(kind: type[msgspec.Struct]) -> Iterator[OptionField]:
    hints = _hints(kind)
    for one in msgspec.structs.fields(kind):
        hint = hints[one.name]
        if (option := _option(hint)) is not None:
            yield _field(one, option, get_args(hint)[0])
        else:
            for part in _structs(hint):
                yield from fields(part)


def assemble(kind: type[T], given: Mapping[str, Any]) -> T:
    """Build a value of *kind* from the fields *given*, by name; a field that is None was not given.

    Raises:
        UsageError: fields contradict each other, or a number is out of range.
    """
    hints = _hints(kind)
    values = dict[str, Any]()
    for one in msgspec.structs.fields(kind):
        hint = hints[one.name]
        if (option := _option(hint)) is not None:
            if _is_given(given, one.name):
                values[one.name] = _read(option, given[one.name])
        elif parts := _structs(hint):
            chosen = [part for part in parts if any(_is_given(given, field.name) for field in fields(part))]
            if len(chosen) > 1:
                names = [
                    field.option.names[0]
                    for part in chosen
                    for field in fields(part)
                    if given.get(field.name)
                ]
                raise UsageError(f"{' and '.join(names)} exclude each other: give only one")
            if chosen:
                values[one.name] = assemble(chosen[0], given)
    for one in msgspec.structs.fields(kind):
        if one.required and one.name not in values:
            using = next(field for field in fields(kind) if _is_given(given, field.name))
            needed = next(field for field in fields(kind) if field.name == one.name)
            raise UsageError(f"{using.option.names[0]} also needs {needed.option.names[0]}")
    return kind(**values)


def _is_given(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    return value is not None and value is not False and value not in ((), [])


def words(value: msgspec.Struct, *, without: frozenset[str] = frozenset()) -> list[str]:
    """Return *value* as command line words: the options first, then the arguments.

    Fields with their default value, and those named in *without*, are left out.
    """
    options, arguments = list[str](), list[str]()
    for field, found in _values(value):
        if field.name in without or found == field.default:
            continue
        if not field.option.names:
            arguments += found if field.many else [found]
        elif field.kind is bool:
            options.append(field.option.names[0])
        else:
            for single in found if field.many else (found,):
                options += (field.option.names[0], field.option.write(single))
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        arguments.insert(0, "--")
    return options + arguments


def command(name: str, value: msgspec.Struct, *more: str) -> str:
    """Return the shell command *name* with *value* as its options, preceded by the words *more*."""
    return shell(name, *more, *words(value))


def shell(*given: object) -> str:
    """Return the shell command of loadgen with the words *given*; a path is never taken for an option."""
    said = (f"./{one}" if not isinstance(one, str) and str(one)[:1] == "-" else str(one) for one in given)
    return shlex.join(("loadgen", *said))


def _values(value: msgspec.Struct) -> Iterator[tuple[OptionField, Any]]:
    hints = _hints(type(value))
    for one in msgspec.structs.fields(value):
        found = getattr(value, one.name)
        if (option := _option(hints[one.name])) is not None:
            yield _field(one, option, get_args(hints[one.name])[0]), found
        elif isinstance(found, msgspec.Struct):
            yield from _values(found)


def _field(one: Any, option: Option, hint: Any) -> OptionField:
    many = get_origin(hint) is tuple
    kind = get_args(hint)[0] if many else next(part for part in (*_members(hint),) if part is not NoneType)
    default = one.default if one.default is not msgspec.NODEFAULT else None
    return OptionField(one.name, option, kind, many, default)


def _option(hint: Any) -> Option | None:
    if get_origin(hint) is Annotated:
        return next((one for one in hint.__metadata__ if isinstance(one, Option)), None)
    return None


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)


def _structs(hint: Any) -> list[type[msgspec.Struct]]:
    return [one for one in _members(hint) if isinstance(one, type) and issubclass(one, msgspec.Struct)]


def _read(option: Option, value: Any) -> Any:
    name = option.names[0] if option.names else "the argument"
    if option.read is not None and isinstance(value, str):
        try:
            return option.read(value)
        except ValueError as error:
            raise UsageError(f"{name} {value}: {error}") from error
    if isinstance(value, int | float) and not isinstance(value, bool | enum.Enum):
        if option.least is not None and value < option.least:
            raise UsageError(f"{name} must be at least {option.least:g}, not {value:g}")
        if option.most is not None and value > option.most:
            raise UsageError(f"{name} must be at most {option.most:g}, not {value:g}")
    return tuple(_read(option, one) for one in value) if isinstance(value, list) else value
