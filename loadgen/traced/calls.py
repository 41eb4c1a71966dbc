"""Descriptions of calls on the tape: which callable was called, with which arguments.

The engine writes a bare marker for each call and hands out results by position, so changed code that makes as
many calls, but different ones, gets results of other calls. Here a description of the callable and its
arguments follows each marker, and a replay compares it before it takes the result. A request that makes a
different call leaves the tape there, and both calls are shown. The same holds for a callback that returns a
different value, because the recorded call continued with the recorded one.
"""

from __future__ import annotations

from _thread import get_ident
from functools import partial
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import functional, stream, utils

from loadgen import protocol
from loadgen.traced.aligned import AlignedTape
from loadgen.traced.described import (
    HANDLE,
    Describer,
    in_another_order,
    plain,
    same,
    shown,
    shown_value,
)
from loadgen.traced.installing import unseen, when_installed
from loadgen.traced.strings import TAPE
from loadgen.traced.tape import Diverged, OrderedBindings, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable

CALL = "CALL"
"""The engine's marker of a call; the description follows it."""
SYNC = "SYNC"
"""The engine's marker of a step without a result."""
TOOK = "TOOK"
"""Our marker of such a step, in which a thread takes a lock; its name follows."""


class DescribedCall(engine_io.CallMarkerMessage):  # type: ignore[misc]
    """The engine's message of a call, with its description."""

    __slots__ = ("described",)


class _Calling:
    """The last call of a logical thread, and how many external objects without a handle it returned."""

    __slots__ = ("call", "entered", "returned", "thread")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.call = self.returned = 0
        self.entered: tuple[type, tuple[int, ...]] | None = None
        """Class and number of the object that the call enters by a ``with``: it is the result, too."""

    def begin(self) -> None:
        """Begin a call."""
        self.call += 1
        self.returned = 0
        self.entered = None

    def number(self) -> tuple[int, ...]:
        """Return the number of the next object: thread, call, and its place there if not the first."""
        self.returned += 1
        return (self.thread, self.call) if self.returned == 1 else (self.thread, self.call, self.returned)


class _Calls:
    """State shared by the replaced parts of the engine, which creates each of them once."""

    def __init__(self) -> None:
        self.describe: Describer | None = None
        self._thread: Callable[[], int] = lambda: 0
        self._write: Callable[..., None]
        self._binder: Any
        self._returned: dict[int, Any] = {}
        self._calls: dict[int, _Calling] = {}
        """What each OS thread calls."""
        self._aligned: AlignedTape | None = None

    def replace(self) -> None:
        """Replace the parts, before the engine creates its own."""
        self._capture_the_writer()
        self._read_descriptions()
        self._number_results()
        when_installed(self._install)

    def _capture_the_writer(self) -> None:
        thread_switch, stock_binder, calls = utils.thread_switch, stream.Binder, self

        def switching(*args: Any, **kwargs: Any) -> Any:
            self._write = thread_switch(*args, **kwargs)
            return self._write

        class KnownBinder(stock_binder):  # type: ignore[misc,valid-type]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                calls._binder = self

        utils.thread_switch = switching
        stream.Binder = KnownBinder

    def _read_descriptions(self) -> None:
        message_of, stock_call = engine_io._message_from_tag, functional.call

        def call_back(function: Any, *args: Any, **kwargs: Any) -> Any:
            result = stock_call(function, *args, **kwargs)
            self._returned[get_ident()] = result
            return result

        def message_from_tag(tag: object, read: Any, thread: Any = None) -> Any:
            message = message_of(tag, read, thread)
            if isinstance(message, engine_io.CallbackResultMessage):
                self._compare_result(message.result)
            if message == TOOK:
                read.__self__.read_raw()
                return SYNC
            if not isinstance(message, engine_io.CallMarkerMessage):
                return message
            call = DescribedCall(message.thread_id)
            call.described = plain(read.__self__.read_raw())
            if TapeTurns.current.asks() is None:
                TapeTurns.current.leave()
                what = f"the recording has the call {shown(call.described)} here, the replay none"
                raise Diverged(protocol.ANOTHER_CALL, what)
            return call

        functional.call = call_back  # the replay uses it to call callbacks
        engine_io._message_from_tag = message_from_tag

    def _number_results(self) -> None:
        """Number results without a handle, by thread and call, because the tape has only their type."""
        stock = utils.create_wrapped

        def create_wrapped(kind: type, value: Any) -> Any:
            wrapped = stock(kind, value)
            if self.describe is not None and issubclass(kind, utils.ExternalWrapped):
                self.describe.numbers[id(wrapped)] = self._number(kind)
            return wrapped

        utils.create_wrapped = create_wrapped

    def _counts(self, thread: int) -> _Calling:
        calling = self._calls.get(get_ident())
        if calling is None or calling.thread != thread:
            calling = self._calls[get_ident()] = _Calling(thread)
        return calling

    def _counting(self, on_call: Callable[..., None]) -> Callable[..., None]:
        """Return *on_call*, which counts the calls of each thread."""
        assert self.describe is not None
        thread_id, counts, describe = self._thread, self._counts, self.describe

        @unseen
        def counted(function: Any, *args: Any, **kwargs: Any) -> None:
            calling = counts(thread_id())
            calling.begin()
            on_call(function, *args, **kwargs)
            if (number := describe.returns(function, args)) is not None:
                calling.entered = type(args[0]), number

        return counted

    def _number(self, kind: type) -> tuple[int, ...]:
        """Return the number of the next result of the class *kind* in the calling thread."""
        calling = self._counts(self._thread())
        entered, calling.entered = calling.entered, None
        if entered is not None and entered[0] is kind:
            return entered[1]
        if self._aligned is not None and self._aligned.started:
            return self._aligned.number_of_result()
        return calling.number()

    def _install(self, system: Any) -> None:
        def live(function: Callable[..., Any]) -> Any:
            return system.disable_for(function, unwrap_args=False)

        self._thread, hooks = system.thread_id, system.secondary_hooks
        if system.retrace_mode == "record":
            self.describe = Describer(self._binder.lookup, live)
            stock = hooks.on_call if isinstance(hooks.on_call, utils.observer) else None  # it writes stacks
            on_call = _recording(self.describe, self._write, stock)
            system.loadgen_took = live(partial(self._write, TOOK))
        elif isinstance(tape := TapeTurns.current, AlignedTape):
            self.describe = describe = Describer(_handle, live)
            self._aligned, tape.counts = tape, self._counts
            hooks_of_threads = system.lifecycle_hooks
            system.lifecycle_hooks = hooks_of_threads._replace(on_start=tape.on_start, on_end=tape.on_end)
            system.checkpoint, system.sync = live(tape.checkpoint), live(tape.sync)
            asked = live(tape.call)

            def on_call(function: Any, *args: Any, **kwargs: Any) -> None:
                described = describe(function, args, kwargs)
                if tape.called is not None:
                    tape.called(system.thread_id(), described)
                asked(described, function, args)
        else:
            self.describe = Describer(_handle, live)
            on_call = _replaying(self.describe, hooks.on_call, system.thread_id)
        system.secondary_hooks = hooks._replace(on_call=self._counting(on_call))
        system.loadgen_describe = self.describe

    def _compare_result(self, recorded: Any) -> None:
        """Compare the result of a callback, if this thread has just called it."""
        here = self._returned.pop(get_ident(), recorded)
        if recorded is here or self.describe is None:
            return
        recorded, here = self.describe.value(recorded), self.describe.value(here)
        if recorded != here:
            TapeTurns.current.leave()
            there, here = shown_value(recorded), shown_value(here)
            what = f"a callback returned {there} to the recorded call, {here} in the replay"
            raise Diverged(protocol.ANOTHER_CALL, what, there, here)


def _handle(value: Any) -> tuple[str, int] | None:
    handle = OrderedBindings.current.handles.get(id(value))
    return None if handle is None else (HANDLE, handle)


def compare_calls() -> None:
    """Write a description after the marker of each call, and compare it in a replay."""
    _Calls().replace()


def _recording(
    describe: Describer, write: Callable[..., None], stock: Callable[..., None] | None
) -> Callable[..., None]:
    def on_call(function: Any, *args: Any, **kwargs: Any) -> None:
        write(CALL, TAPE.written(describe(function, args, kwargs)))

    def with_stacks(function: Any, *args: Any, **kwargs: Any) -> None:
        assert stock is not None
        stock(function, *args, **kwargs)
        write(TAPE.written(describe(function, args, kwargs)))

    return unseen(on_call if stock is None else with_stacks)


def _replaying(
    describe: Describer, expect: Callable[..., DescribedCall | None], thread_id: Callable[[], int]
) -> Callable[..., None]:
    tape = TapeTurns.current

    @unseen
    def on_call(function: Any, *args: Any, **kwargs: Any) -> None:
        here, thread = describe(function, args, kwargs), thread_id()
        tape.asked[thread] = here
        if tape.called is not None:
            tape.called(thread, here)
        try:
            call = expect(function, *args, **kwargs)
            # With stacks, the engine compares calls itself, and the description follows its own.
            recorded = call.described if call is not None else plain(OrderedBindings.current.read_raw())
        finally:
            tape.asked.pop(thread, None)
        if recorded != here and same(recorded) != same(here):
            tape.leave()
            there, here = shown(recorded), shown(here)
            what = f"the recording has the call {there} here, the replay the call {here}"
            what += in_another_order(there, here)
            raise Diverged(protocol.ANOTHER_CALL, what, there, here)

    return on_call
