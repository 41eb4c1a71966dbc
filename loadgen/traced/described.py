"""Descriptions of calls, as values that can be written, compared and shown.

A call without arguments is described by the callable's name, any other by a tuple of the name and the
arguments. Short values are kept as they are, long ones as their beginning and a digest. An object with a
handle on the tape is described by the handle, so that ``fetchall()`` of two cursors differs. An object with
an address is described by its type, a buffer to read into by its length.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import hashlib
import os
import pathlib
import re
import sys
import types
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import retracesoftware.proxy.io as engine_io
from retracesoftware import functional, stream, utils

from loadgen.traced import canonical, settings
from loadgen.traced.exporters import content_of, exports
from loadgen.traced.strings import TAPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SHORT = 96
"""Arguments of up to this many characters or bytes are kept unchanged."""
STATEMENT = 4000
"""Characters kept of a statement, or of another text that is used repeatedly."""
TEXTS = 4096
"""Number of repeated texts that are remembered; the tape stores each of them once."""
NAMES = 50_000
"""Number of callables whose names are remembered."""

LOCK = "loadgen.lock"
"""The call of a thread that waits for a lock."""
DRAWN = "loadgen.drawn"
"""The call that returns what libraries drew while they were imported."""
TEXT, BYTES, NUMBER, LENGTH, KIND, HANDLE = "…", "b…", "n", "len", "<", "#"
TUPLE, LIST, DICT, NAMED, SITE, EXTERNAL = "(", "[", "{", "**", "@", "x"
"""First elements of the tuples that describe values; nothing else in a description is a tuple."""

_STATEMENT = re.compile(
    r"\s*(?:select|insert|update|delete|with|create|alter|drop|begin|commit|rollback|pragma|merge|call|set|"
    r"savepoint|release|replace|explain|values|truncate|copy|lock|declare|fetch|show|/\*|--|\()",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}\b")
_INTO = re.compile(r"(?:_into|readinto1?|readv|preadv|recvmsg)$")
"""Name endings of calls that fill a given buffer."""
_SITED = re.compile(
    r"(?:time|random|_random|Random|_uuid)\.|posix\.(?:urandom|getrandom|getpid)|(?:.*\.)?(?:now|utcnow|today)$"
)
"""Calls that their arguments do not distinguish; the caller is kept too, to align changed code."""
ENTERS = ".__enter__"
"""How the name of a call ends that returns the object that it is made on."""
_NOT_THE_CALLER = ("/retracesoftware/", "/loadgen/traced/")
CALLED_BY = " < "
"""Separates, in the name of a caller, the calling function and the application's function that called it."""
_FRAMES = 40
"""Number of frames searched for one of the application."""
_VALUES = (
    dt.date,
    dt.time,
    dt.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    pathlib.PurePath,
    complex,
    range,
)
"""Types whose ``repr`` is a complete description."""


def digest(data: bytes) -> bytes:
    """Return a short digest of *data*."""
    return hashlib.blake2b(data, digest_size=8).digest()


class _Callable(NamedTuple):
    """What is known of a callable."""

    name: str
    into: bool
    """Whether it fills a given buffer."""
    sited: bool
    """Whether its caller is kept, too."""
    special: bool
    """Whether its calls have another form, see :mod:`loadgen.traced.canonical`."""
    enters: bool
    """Whether it returns the object that it is called on."""
    function: object


class Describer:
    """Describes calls; *lookup* returns the handle of an object, if the tape has one for it."""

    def __init__(self, lookup: Callable[[Any], Any], live: Callable[[Any], Any]) -> None:
        """Name callables by *live*, which calls a function outside the trace."""
        self._lookup = lookup
        self._names: dict[int, _Callable] = {}
        self._own: dict[str, bool] = {}
        self._sites: dict[tuple[str, str], str] = {}
        self._root = f"{os.path.realpath(settings.CURRENT.application)}/"
        self._texts: dict[str, bool] = {}
        self.numbers: dict[int, tuple[int, ...]] = {}
        """Description of external objects without a handle: the thread, and its call that returned it."""
        self._name_live = live(_name)
        self._other_live = live(self._other)

    def __call__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Describe a call."""
        known = self._names.get(id(function))
        if known is None:
            known = self._remember(function)
        name, into, sited, special, _, _ = known
        if special:
            name, args, kwargs = self._one_form(name, args, kwargs)
        if not args and not kwargs and not sited:
            return name
        if name in _ATTRIBUTES and (attribute := _attribute(args[0], _ATTRIBUTES[name])):
            return (attribute, *[self.value(one) for one in (args[1:2] if name == _GET else args[1:])])
        if name == LOCK:
            return (name, (SITE, args[0]))
        parts = [self.value(one, into) for one in args]
        if kwargs:
            parts.append((NAMED, *[part for key, one in kwargs.items() for part in (key, self.value(one))]))
        if sited:
            parts.append((SITE, self._site()))
        return (name, *parts)

    @staticmethod
    def _one_form(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[str, Any, dict[str, Any]]:
        """Return the form that a call has in all descriptions."""
        if canonical.may_log(name):
            caller = _caller()
            if caller is not None and canonical.writes_logs(caller.f_code.co_filename):
                name = TAPE.once(f"{canonical.LOGGING}{name}")
            return name, args, kwargs
        return canonical.form(name, args, kwargs)

    def _site(self) -> str:
        """Name the calling function and, if different, the application's function that called it."""
        frame = _caller()
        if frame is None:
            return ""
        nearest = frame.f_code.co_qualname
        for _ in range(_FRAMES):
            if frame is None:
                return TAPE.once(nearest)
            code = frame.f_code
            own = self._own.get(code.co_filename)
            if own is None:
                path = code.co_filename
                own = path.startswith(self._root) and "site-packages" not in path.removeprefix(self._root)
                self._own[path] = own
            if own:
                known = self._sites.get((nearest, code.co_qualname))
                if known is None:
                    here = [nearest] if nearest == code.co_qualname else [nearest, code.co_qualname]
                    known = self._sites[(nearest, code.co_qualname)] = TAPE.once(CALLED_BY.join(here))
                return known
            frame = frame.f_back
        return TAPE.once(nearest)

    def returns(self, function: Any, args: tuple[Any, ...]) -> tuple[int, ...] | None:
        """Return the number of the object that a described call returns because it is made on it."""
        known = self._names.get(id(function))
        return self.numbers.get(id(args[0])) if known is not None and known.enters and args else None

    def _remember(self, function: Any) -> _Callable:
        name = TAPE.once(self._name_live(function))
        special = canonical.is_special(name) or canonical.may_log(name)
        known = _Callable(
            name, bool(_INTO.search(name)), bool(_SITED.match(name)), special, name.endswith(ENTERS), function
        )
        if len(self._names) < NAMES:
            self._names[id(function)] = known
        return known

    def value(self, value: Any, into: bool = False) -> Any:  # noqa: FBT001, FBT002, PLR0911
        """Describe an argument; if it will be read *into*, without its content."""
        kind = type(value)
        if kind is int or value is None or kind is bool:
            return value if kind is not int or -(2**62) < value < 2**62 else (NUMBER, str(value))
        if kind is str:
            return self._text(value)
        if kind is bytes:
            return value if len(value) <= SHORT else (BYTES, len(value), value[:32], digest(value))
        if kind is tuple:
            return (TUPLE, *[self.value(one, into) for one in value])
        if kind is list:
            return (LIST, *[self.value(one, into) for one in value])
        if kind is dict:
            return (DICT, *[self.value(part) for item in value.items() for part in item])
        if kind is float:
            return (NUMBER, repr(value))
        if kind is bytearray or kind is memoryview:
            content = None if into else bytes(value)
            return (LENGTH, len(value)) if content is None else self.value(content)
        handle = self._lookup(value)
        if handle is not None and not issubclass(kind, utils.InternalWrapped):
            return handle
        number = self.numbers.get(id(value)) if issubclass(kind, utils.ExternalWrapped) else None
        other = self._other_live(value)
        return other if number is None else (EXTERNAL, other[1], *number)

    def _text(self, text: str) -> Any:
        if len(text) <= SHORT:
            if "0x" in text:
                text = _ADDRESS.sub("0x", text)
            return self._known(text) if len(text) > 8 else text  # noqa: PLR2004
        if len(text) <= STATEMENT and _STATEMENT.match(text):
            return self._known(_ADDRESS.sub("0x", text))
        return (TEXT, len(text), text[:32], digest(text.encode("utf-8", "surrogatepass")))

    def _known(self, text: str) -> str:
        """Return *text*; if it is used repeatedly, the tape stores it once."""
        if text in self._texts:
            return TAPE.once(text)
        if len(self._texts) < TEXTS:
            self._texts[text] = True
        return text

    def _other(self, value: Any) -> Any:  # noqa: PLR0911
        """Describe a value that is neither plain nor bound."""
        real = utils.unwrap(value) if isinstance(value, utils.InternalWrapped) else value
        kind = type(real)
        if issubclass(kind, enum.Enum):
            return (KIND, f"{_type_name(kind)}.{real.name}")
        if issubclass(kind, (*_VALUES, str, int, float, bytes)):
            base = next(base for base in (*_VALUES, str, int, float, bytes) if issubclass(kind, base))
            text = base.__repr__(real)
            return (KIND, _type_name(kind), self._text(text))
        if issubclass(kind, type):
            return (KIND, "class", _type_name(real))
        if exports(kind) and (held := content_of(real)) is not None:
            return self.value(held)
        if issubclass(kind, types.ModuleType):
            return (KIND, "module", str(real.__name__))
        if issubclass(kind, slice):
            return (KIND, "slice", *[self.value(one) for one in (real.start, real.stop, real.step)])
        return (KIND, _type_name(kind))


_GET = "builtins.__get__"
SETS = ".__set__"
"""How the description of a call that sets an attribute of a C type ends."""
_ATTRIBUTES = {
    _GET: "",
    "builtins.member_descriptor.__set__": SETS,
    "builtins.getset_descriptor.__set__": SETS,
}
"""Calls that get or set an attribute of a C type, and what its name is followed by in their description."""


def _caller() -> FrameType | None:
    """Return the frame that calls, without those of loadgen and the engine."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and any(part in frame.f_code.co_filename for part in _NOT_THE_CALLER):
        frame = frame.f_back
    return frame


def _name(function: Any) -> str:
    """Return the full name of a callable."""
    target = engine_io._unwrap_callable(function)
    if engine_io._is_descriptor_get_function(target):
        return _GET
    owner, name = "", getattr(target, "__qualname__", None) or getattr(target, "__name__", None)
    if engine_io._is_dynamic_proxy_shim(target):
        name = next((cell.cell_contents for cell in target.__closure__ or ()), name)
        owner = "method"
    if name is None:
        return _type_name(type(target))
    module = owner or getattr(target, "__module__", None) or ""
    if not module and (kind := getattr(target, "__objclass__", None)) is not None:
        module = getattr(kind, "__module__", "")
    return f"{module}.{name}".lstrip(".")


def _attribute(descriptor: Any, suffix: str) -> str | None:
    """Return the full name of the attribute of *descriptor*, and *suffix*; None if it is not of a C type."""
    try:
        real = utils.unwrap(descriptor) if isinstance(descriptor, utils.ExternalWrapped) else descriptor
        owner = type.__getattribute__(real.__objclass__, "__qualname__")
        return TAPE.once(f"{real.__objclass__.__module__}.{owner}.{real.__name__}{suffix}")
    except (AttributeError, TypeError):
        return None


def _type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


plain = functional.walker(lambda one: (HANDLE, one.handle) if isinstance(one, stream.Binding) else one)
"""Converts a description from a tape into the form that a replay makes."""


def same(call: Any) -> Any:
    """Return a description without the calling function, which may have been renamed."""
    return call[:-1] if isinstance(call[-1], tuple) and call[-1][0] == SITE else call


def site_of(call: Any) -> str:
    """Return the calling function of a description; empty if it has none."""
    last = call[-1] if isinstance(call, tuple) else None
    return str(last[1]) if isinstance(last, tuple) and last[0] == SITE else ""


def name_of(call: Any) -> str:
    """Return the callable's name of a description."""
    return call if isinstance(call, str) else str(call[0])


def shown(call: Any) -> str:
    """Return a description as source text, or something close to it."""
    if isinstance(call, str):
        return f"{call}()"
    name, *parts = same(call)
    return f"{name}({', '.join(map(shown_value, parts))})"


def shown_value(part: Any) -> str:  # noqa: PLR0911
    """Return the description of an argument as source text, or something close to it."""
    if isinstance(part, stream.Binding):
        return f"#{part.handle}"
    if not isinstance(part, tuple):
        return repr(part)
    tag, *rest = part
    if tag in (TEXT, BYTES):
        size, head, all_of_it = rest
        return f"{head!r}... ({size} {'characters' if tag == TEXT else 'bytes'}, {all_of_it.hex()[:8]})"
    if tag in (TUPLE, LIST):
        inner = ", ".join(map(shown_value, rest))
        return f"[{inner}]" if tag == LIST else f"({inner}{',' if len(rest) == 1 else ''})"
    if tag == DICT:
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return "{" + ", ".join(f"{shown_value(key)}: {shown_value(one)}" for key, one in pairs) + "}"
    if tag == NAMED:
        return ", ".join(f"{key}={shown_value(one)}" for key, one in zip(rest[::2], rest[1::2], strict=True))
    if tag == NUMBER:
        return str(rest[0])
    if tag == HANDLE:
        return f"#{rest[0]}"
    if tag == LENGTH:
        return f"<{rest[0]} bytes to fill>"
    return f"<{' '.join(map(str, rest))}>"


_WORDS = re.compile(r"\w+|\W")


def in_another_order(recorded: str, here: str) -> str:
    """Return what to add to a difference of two calls that have the same parts, in another order."""
    if sorted(_WORDS.findall(recorded)) != sorted(_WORDS.findall(here)):
        return ""
    return ", the same in another order: that of a set of objects is the order of their addresses"
