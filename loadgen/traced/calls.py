"""Calls: what the application asks of the outside is on the tape, beside what it got.

The engine writes a bare marker for each call and hands results out by position, so changed code that asks for
something else, as often, gets what was answered to another question. Here the callable and its arguments
follow each marker, and a replay compares them before it takes the result: a call that differs leaves the tape
there, and is shown beside the recorded one.

A call is described by a string, the callable's name, where it has no arguments, else by a tuple of that name
and its arguments. Small values stand for themselves; what is long, by its beginning and a digest. An object
that the tape has a handle for is that handle, so that ``fetchall()`` of one cursor is not that of another.
What has an address, or content that means nothing yet (a buffer to read into), is its type, or its length.
"""

from __future__ import annotations

import datetime
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
from _thread import get_ident
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import functional, stream, utils

from loadgen.traced import settings
from loadgen.traced.installing import unseen, when_installed
from loadgen.traced.tape import Diverged, OrderedBindings, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

CALL = "CALL"
"""The engine's marker of a call, behind which the description stands."""

SHORT = 96
"""Characters, or bytes, of an argument that are kept as they are."""
STATEMENT = 4000
"""Characters that are kept of a statement, or of another text that is asked again and again."""
TEXTS = 4096
"""Texts that are known to be asked again: the tape keeps each of them once."""
NAMES = 50_000
"""Callables whose names are remembered."""

TEXT, BYTES, NUMBER, LENGTH, KIND, HANDLE = "…", "b…", "n", "len", "<", "#"
TUPLE, LIST, DICT, NAMED, SITE = "(", "[", "{", "**", "@"
"""First parts of the tuples that stand for values: nothing else in a description is a tuple."""

_STATEMENT = re.compile(
    r"\s*(?:select|insert|update|delete|with|create|alter|drop|begin|commit|rollback|pragma|merge|call|set|"
    r"savepoint|release|replace|explain|values|truncate|copy|lock|declare|fetch|show|/\*|--|\()",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}\b")
_INTO = re.compile(r"(?:_into|readinto1?|readv|preadv|recvmsg)$")
"""Ends of the names of calls that fill the buffers that they are given."""
_SITED = re.compile(
    r"(?:time|random|_random|_uuid)\.|posix\.(?:urandom|getrandom|getpid)|(?:.*\.)?(?:now|utcnow|today)$"
)
"""Calls whose arguments do not tell one from another: the functions that ask are kept, to align changed code."""
_NOT_THE_CALLER = ("/retracesoftware/", "/loadgen/traced/")
_FRAMES = 40
"""Frames that are looked at for one of the application's."""
_VALUES = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    pathlib.PurePath,
    complex,
    range,
)
"""Types whose ``repr`` is all that they are."""


def digest(data: bytes) -> bytes:
    """Return a short digest of *data*."""
    return hashlib.blake2b(data, digest_size=8).digest()


class Describer:
    """Describes calls; *lookup* returns the handle of an object, if the tape has one for it."""

    def __init__(self, lookup: Callable[[Any], Any], live: Callable[[Any], Any]) -> None:
        """Name callables by *live*, which calls a function outside the trace."""
        self._lookup = lookup
        self._names: dict[int, tuple[str, bool, bool, object]] = {}
        self._own: dict[str, bool] = {}
        self._sites: dict[tuple[str, str], str] = {}
        self._root = f"{os.path.realpath(settings.CURRENT.application)}/"
        self._texts: dict[str, bool] = {}
        self.numbers: dict[int, tuple[int, int]] = {}
        """What stands for objects of the outside that have no handle: which thread's how-manieth result."""
        self._name_live = live(_name)
        self._other_live = live(self._other)

    def __call__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Describe a call."""
        known = self._names.get(id(function))
        if known is None:
            known = self._remember(function)
        name, into, sited, _ = known
        if not args and not kwargs and not sited:
            return name
        if name == _GET and (field := _field(args[0])):
            return (field, *[self.value(one) for one in args[1:2]])
        parts = [self.value(one, into) for one in args]
        if kwargs:
            parts.append((NAMED, *[part for key, one in kwargs.items() for part in (key, self.value(one))]))
        if sited:
            parts.append((SITE, self._site()))
        return (name, *parts)

    def _site(self) -> str:
        """Name the function that calls, and the application's that it was called by, if another."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and any(part in frame.f_code.co_filename for part in _NOT_THE_CALLER):
            frame = frame.f_back
        if frame is None:
            return ""
        nearest = frame.f_code.co_qualname
        for _ in range(_FRAMES):
            if frame is None:
                return sys.intern(nearest)
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
                    known = self._sites[(nearest, code.co_qualname)] = sys.intern(" < ".join(here))
                return known
            frame = frame.f_back
        return sys.intern(nearest)

    def _remember(self, function: Any) -> tuple[str, bool, bool, object]:
        name = sys.intern(self._name_live(function))
        known = (name, bool(_INTO.search(name)), bool(_SITED.match(name)), function)
        if len(self._names) < NAMES:
            self._names[id(function)] = known
        return known

    def value(self, value: Any, into: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Describe an argument; of one that is filled *into*, nothing that it holds."""
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
        return other if number is None else (*other, *number)

    def _text(self, text: str) -> Any:
        if len(text) <= SHORT:
            if "0x" in text:
                text = _ADDRESS.sub("0x", text)
            return self._known(text) if len(text) > 8 else text  # noqa: PLR2004
        if len(text) <= STATEMENT and _STATEMENT.match(text):
            return self._known(_ADDRESS.sub("0x", text))
        return (TEXT, len(text), text[:32], digest(text.encode("utf-8", "surrogatepass")))

    def _known(self, text: str) -> str:
        """Return *text*, interned where it is asked again: of interned strings the tape keeps one."""
        if text in self._texts:
            return sys.intern(text)
        if len(self._texts) < TEXTS:
            self._texts[text] = True
        return text

    def _other(self, value: Any) -> Any:
        """Describe what is neither a plain value nor bound."""
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
        if issubclass(kind, types.ModuleType):
            return (KIND, "module", str(real.__name__))
        if issubclass(kind, slice):
            return (KIND, "slice", *[self.value(one) for one in (real.start, real.stop, real.step)])
        return (KIND, _type_name(kind))


_GET = "builtins.__get__"


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


def _field(descriptor: Any) -> str | None:
    """Return the full name of the attribute that *descriptor* gets; None where it is not that of a type in C."""
    try:
        real = utils.unwrap(descriptor) if isinstance(descriptor, utils.ExternalWrapped) else descriptor
        owner = type.__getattribute__(real.__objclass__, "__qualname__")
        return sys.intern(f"{real.__objclass__.__module__}.{owner}.{real.__name__}")
    except (AttributeError, TypeError):
        return None


def _type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def same(call: Any) -> Any:
    """Return of a description what must be the same: not which function asks, which may have a new name."""
    return call[:-1] if isinstance(call[-1], tuple) and call[-1][0] == SITE else call


def shown(call: Any) -> str:
    """Return a description as source text, or near to it."""
    if isinstance(call, str):
        return f"{call}()"
    name, *parts = same(call)
    return f"{name}({', '.join(map(_shown, parts))})"


def _shown(part: Any) -> str:
    if isinstance(part, stream.Binding):
        return f"#{part.handle}"
    if not isinstance(part, tuple):
        return repr(part)
    tag, *rest = part
    if tag in (TEXT, BYTES):
        size, head, _ = rest
        return f"{head!r}... ({size} {'characters' if tag == TEXT else 'bytes'})"
    if tag in (TUPLE, LIST):
        inner = ", ".join(map(_shown, rest))
        return f"[{inner}]" if tag == LIST else f"({inner}{',' if len(rest) == 1 else ''})"
    if tag == DICT:
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return "{" + ", ".join(f"{_shown(key)}: {_shown(one)}" for key, one in pairs) + "}"
    if tag == NAMED:
        return ", ".join(f"{key}={_shown(one)}" for key, one in zip(rest[::2], rest[1::2], strict=True))
    if tag == NUMBER:
        return str(rest[0])
    if tag == HANDLE:
        return f"#{rest[0]}"
    if tag == LENGTH:
        return f"<{rest[0]} bytes to fill>"
    return f"<{' '.join(map(str, rest))}>"


class Call(engine_io.CallMarkerMessage):  # type: ignore[misc]
    """The engine's message of a call, with its description."""

    __slots__ = ("described",)


_plain = functional.walker(lambda one: (HANDLE, one.handle) if isinstance(one, stream.Binding) else one)


def compare_calls() -> None:
    """Write each call's description behind its marker, and compare the two in a replay."""
    describers: list[Describer] = []
    written: list[Callable[..., None]] = []
    binders: list[Any] = []
    thread_switch, stock_binder, message_of = utils.thread_switch, stream.Binder, engine_io._message_from_tag

    def switching(*args: Any, **kwargs: Any) -> Any:
        written.append(thread_switch(*args, **kwargs))
        return written[-1]

    class Binder(stock_binder):  # type: ignore[misc,valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            binders.append(self)

    returned: dict[int, Any] = {}
    stock_call = functional.call

    def call_back(function: Any, *args: Any, **kwargs: Any) -> Any:
        result = stock_call(function, *args, **kwargs)
        if TapeTurns.replaying():
            returned[get_ident()] = result
        return result

    def message_from_tag(tag: object, read: Any, thread: Any = None) -> Any:
        message = message_of(tag, read, thread)
        if isinstance(message, engine_io.CallbackResultMessage) and (me := get_ident()) in returned:
            _compare_result(describers[-1], message.result, returned.pop(me))
        if not isinstance(message, engine_io.CallMarkerMessage):
            return message
        call = Call(message.thread_id)
        call.described = _plain(read.__self__.read_raw())
        asked = TapeTurns.current.asked
        if engine_io._read_thread_id(thread) not in asked:
            TapeTurns.current.leave()
            raise Diverged(f"the recording has the call {shown(call.described)} here, the replay none")
        return call

    stock_wrapped, made = utils.create_wrapped, dict[int, int]()

    def create_wrapped(kind: type, value: Any) -> Any:
        wrapped = stock_wrapped(kind, value)
        if describers and issubclass(kind, utils.ExternalWrapped):
            thread = thread_ids[-1]()
            made[thread] = made.get(thread, 0) + 1
            describers[-1].numbers[id(wrapped)] = (thread, made[thread])
        return wrapped

    utils.create_wrapped = create_wrapped
    thread_ids: list[Callable[[], int]] = []

    def install(system: Any) -> None:
        thread_ids.append(system.thread_id)

        def live(function: Callable[..., Any]) -> Any:
            return system.disable_for(function, unwrap_args=False)

        hooks = system.secondary_hooks
        if system.retrace_mode == "record":
            describe = Describer(binders[-1].lookup, live)
            describers.append(describe)
            stock = hooks.on_call if isinstance(hooks.on_call, utils.observer) else None  # it writes stacks
            on_call = _recording(describe, written[-1], stock)
        else:
            handles = OrderedBindings.current.handles

            def lookup(value: Any) -> Any:
                handle = handles.get(id(value))
                return None if handle is None else (HANDLE, handle)

            describe = Describer(lookup, live)
            describers.append(describe)
            on_call = _replaying(describe, hooks.on_call, system.thread_id)
        system.secondary_hooks = hooks._replace(on_call=on_call)

    functional.call = call_back
    utils.thread_switch = switching
    stream.Binder = Binder
    engine_io._message_from_tag = message_from_tag
    when_installed(install)


def _compare_result(describe: Describer, recorded: Any, here: Any) -> None:
    """Compare what a callback of the application returned: the recorded call went on with that."""
    if recorded is here:
        return
    recorded, here = describe.value(recorded), describe.value(here)
    if recorded != here:
        TapeTurns.current.leave()
        there, here = _shown(recorded), _shown(here)
        raise Diverged(f"a callback returned {there} to the recorded call, {here} in the replay", there, here)


def _recording(
    describe: Describer, write: Callable[..., None], stock: Callable[..., None] | None
) -> Callable[..., None]:
    def on_call(function: Any, *args: Any, **kwargs: Any) -> None:
        write(CALL, describe(function, args, kwargs))

    def with_stacks(function: Any, *args: Any, **kwargs: Any) -> None:
        assert stock is not None
        stock(function, *args, **kwargs)
        write(describe(function, args, kwargs))

    return unseen(on_call if stock is None else with_stacks)


def _replaying(
    describe: Describer, expect: Callable[..., Call], thread_id: Callable[[], int]
) -> Callable[..., None]:
    tape = TapeTurns.current

    @unseen
    def on_call(function: Any, *args: Any, **kwargs: Any) -> None:
        here, thread = describe(function, args, kwargs), thread_id()
        tape.asked[thread] = here
        try:
            recorded = expect(function, *args, **kwargs).described
        finally:
            tape.asked.pop(thread, None)
        if recorded != here and same(recorded) != same(here):
            tape.leave()
            there, here = shown(recorded), shown(here)
            raise Diverged(
                f"the recording has the call {there} here, the replay the call {here}", there, here
            )

    return on_call
