"""The dispatcher of a replay: each logical thread gets the tape's next item exactly when it is its turn.

The tape is a sequence of ``(logical thread, item)``. Following it strictly repeats the recorded interleaving.
The engine's own dispatcher (0.2.30) (1) gives up if all threads have waited for one second, as they do
whenever the client pauses, (2) wakes all threads for each item, and (3) advances the tape *before* the reader
has resolved its item: if the reader is preempted there, the next item may delete its binding. Here a turn
covers taking and using an item, one thread is woken at a time, and there is no time limit: the verifier has
limits, and can ask what a hanging replay waits for (:meth:`TapeTurns.state`).
"""

from __future__ import annotations

import time
import traceback
from _thread import LockType, allocate_lock
from functools import partial
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import stream
from retracesoftware.stream import _is_bind_open
from retracesoftware.stream.reader import ExpectedBindMarker

from loadgen import protocol
from loadgen.traced.call_log import NOT_THE_APPLICATION, CallLogging

if TYPE_CHECKING:
    from collections.abc import Callable

ENTER = "loadgen.enter"
"""First element of the checkpoint that begins a request on the tape."""
FINISH = b"loadgen.finish"
"""The same of the one that ends it. It is in the file once for each request, because it is bytes."""


class LiveLock:
    """A lock that is not on the tape: its methods were captured before those of all locks are replaced."""

    __slots__ = ("acquire", "release")

    _acquire, _release = LockType.acquire, LockType.release
    _new = staticmethod(allocate_lock)

    def __init__(self) -> None:
        lock = self._new()
        self.acquire: Callable[..., bool] = partial(LiveLock._acquire, lock)
        self.release: Callable[[], None] = partial(LiveLock._release, lock)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class Diverged(BaseException):
    """The running code asked for something other than the tape contains.

    A ``BaseException``, so that an application's ``except Exception`` does not turn it into an answer.
    """

    seen: Callable[[str], None] | None = None
    """Called with the message where the application leaves the tape, while its frames are alive, to debug."""

    def __init__(
        self,
        code: str,
        message: str,
        recorded: object = None,
        replayed: object = None,
        *,
        lost: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        """The reason, one of the codes of :mod:`loadgen.protocol`; decisions depend only on it."""
        self.lost = lost
        """The logical thread that left the tape earlier, if a step or object of that thread is missing
        here."""
        self.recorded = recorded
        self.replayed = replayed
        self.stack = [
            f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
            for frame in reversed(traceback.extract_stack())
            if not any(part in frame.filename for part in NOT_THE_APPLICATION)
        ]
        """The application's calls, innermost first. Captured here, because an exception's own traceback ends
        where it was handled."""
        if code == protocol.ALREADY_LEFT:
            return
        if (tape := getattr(TapeTurns, "current", None)) is not None:
            tape.note_first(self)
        if self.stack and (seen := Diverged.seen) is not None:
            seen(message)

    def unraised(self) -> Diverged:
        """Return a copy that was never raised, and keeps nothing of the application alive."""
        copy = Diverged.__new__(Diverged, str(self))
        copy.code, copy.lost, copy.stack = self.code, self.lost, self.stack
        copy.recorded = copy.replayed = None
        return copy


class TapeTurns:
    """Replaces the engine's ``_ThreadDemuxSource``: same constructor, same ``read``/``peek_buffered``."""

    # The original, captured before the engine rebinds it to a recorded version.
    _now: Callable[[], float] = staticmethod(time.monotonic)
    _used: Callable[[], float] = staticmethod(time.process_time)
    current: TapeTurns
    """The only instance of this process: the engine creates it, and the boundary uses it."""

    def __init__(
        self,
        next_object: Callable[[], Any],
        *,
        thread_id: Callable[[], int],
        initial_thread_id: int,
        close: Callable[[], None] | None = None,
        on_end_of_stream: Callable[[], bool] | None = None,
    ) -> None:
        del (
            on_end_of_stream
        )  # the tape ends where the recorded server stopped; the verifier stops the replay earlier
        source = engine_io._StampedProtocolSource(
            next_object, initial_thread_id=initial_thread_id, close=close
        )
        self._next = source.next
        self.close = source.close
        self._thread_id = thread_id
        self._mutex = LiveLock()
        self._head: tuple[int, Any] | None = None
        self._ended: Exception | None = None
        self._holder: int | None = None
        self._depth: dict[int, int] = {}
        self._waiting: dict[int, LiveLock] = {}
        self._finishing: set[int] = set()
        self._left: dict[int, None] = {}
        self._first: dict[int, Diverged] = {}
        self._serving: set[int] = set()
        self._makers: dict[int, int] = {}
        """The thread that creates each object on the tape, by the object's handle, until that is deleted."""
        self._garbage: dict[int, list[object]] = {}
        """What each thread frees when its turn is over, and not another thread."""
        self._moved = self._now()
        self.called: Callable[[int, Any], None] | None = None
        """Given each call that a thread makes, and the thread, if calls are collected."""
        self.held = False
        """Whether a debugger has stopped: meanwhile nobody's patience runs out."""
        self.asked: dict[int, Any] = {}
        """The call that each thread is about to make, as :mod:`loadgen.traced.calls` describes it."""
        self.call_logging: CallLogging | None = None
        """Logs the calls of one thread, if it was asked for."""
        TapeTurns.current = self

    def __enter__(self) -> None:
        """Start a turn: items read until the matching exit are used before the tape advances."""
        thread = self._thread_id()
        self._depth[thread] = self._depth.get(thread, 0) + 1

    def __exit__(self, *exc_info: object) -> None:
        thread = self._thread_id()
        depth = self._depth.pop(thread) - 1
        if depth:
            self._depth[thread] = depth
            return
        with self._mutex:
            if self._holder == thread:
                self._pass_on()
            garbage = self._garbage.pop(thread, None)
        del garbage  # finalizers may read the tape: never run them under the mutex

    def read(self) -> Any:
        """Return the next item of the calling logical thread, once it is at the head of the tape.

        Raises:
            Diverged: this thread has left the tape, or its recorded items are used up.
        """
        thread = self._thread_id()
        while True:
            with self._mutex:
                if thread in self._left:
                    raise Diverged(protocol.ALREADY_LEFT, "this request has left the tape")
                if self._holder is None or self._holder == thread:
                    self._holder = None  # a thread that needs an item of another thread gives up its turn
                    self._advance()
                    if self._ended is not None:
                        raise ending(self._ended) from self._ended
                    assert self._head is not None
                    owner = self._head[0]  # no variable for the item: a thread that waits keeps its variables
                    if owner == thread:
                        return self._take(thread)
                    self._wake(owner)
                turn = LiveLock()
                turn.acquire()
                self._waiting[thread] = turn
            turn.acquire()

    def peek_buffered(self) -> Any:
        """Report to the engine that nothing was read ahead for this thread; nothing ever is."""
        raise LookupError(self._thread_id())

    def thread(self) -> int:
        """Return the calling thread's number on the tape."""
        return self._thread_id()

    def asks(self) -> Any:
        """Return the call that the calling thread is about to make; None if it is not making any."""
        return self.asked.get(self._thread_id())

    def expect_finish(self) -> None:
        """Announce that the calling thread's next item must be the end of its request."""
        self._finishing.add(self._thread_id())

    def finished(self) -> None:
        """Note that it was."""
        self._finishing.discard(self._thread_id())

    def leave(self) -> None:
        """Discard the remaining items of the calling thread, so that the others can continue."""
        thread = self._thread_id()
        with self._mutex:
            self._left.setdefault(thread)
            if self._holder in (None, thread):
                self._pass_on()

    def serve(self) -> None:
        """Note that the calling thread goes on to serve, outside the tape."""
        self._serving.add(self._thread_id())

    def all_sent(self) -> None:
        """Discard remaining items of serving threads: what they did when they were stopped."""
        with self._mutex:
            self._left.update(dict.fromkeys(self._serving))
            if self._holder is None:
                self._pass_on()

    def departed(self) -> list[int]:
        """Return the threads that have left the tape, in that order."""
        return list(self._left)

    def loser(self, handle: object) -> int | None:
        """Return the thread that left the tape and would have created the object *handle*, or None."""
        maker = self._makers.get(handle) if isinstance(handle, int) else None
        return maker if maker in self._left else None

    def forget(self, handle: int) -> None:
        """Note that the tape no longer refers to the object *handle*."""
        self._makers.pop(handle, None)

    def bury(self, garbage: object) -> None:
        """Keep *garbage* until the calling thread's turn is over."""
        self._garbage.setdefault(self._thread_id(), []).append(garbage)

    def note_first(self, error: Diverged) -> None:
        """Keep why the calling thread left the tape: code that handles all errors may never show it."""
        self._first.setdefault(self._thread_id(), error.unraised())

    def first(self) -> Diverged | None:
        """Return why the calling thread first left the tape, and forget it."""
        return self._first.pop(self._thread_id(), None)

    def state(self) -> dict[str, Any]:
        """Return what the replay waits for: the next item's thread, the waiting threads, and for how long."""
        with self._mutex:
            head = None if self._head is None else self._head[0]
            return {
                "next": head,
                "item": None if self._head is None else engine_io._safe_debug_value(self._head[1]),
                "waiting": sorted(self._waiting),
                "ended": str(self._ended) if self._ended else None,
                "idle": self._now() - self._moved,
            }

    def _take(self, thread: int) -> Any:
        assert self._head is not None
        item = self._head[1]
        if isinstance(item, tuple) and item and item[0] == FINISH and thread not in self._finishing:
            # The engine skips checkpoints while it looks for a result, and would then wait forever.
            self._left.setdefault(thread)
            raise Diverged(
                protocol.CALL_NOT_RECORDED,
                "the request makes a call that was not recorded, after its last recorded one",
                replayed=self.asked.get(thread),
            )
        if self.call_logging is not None and self.call_logging.thread == thread:
            self.call_logging.took(item)
        self._head, self._moved = None, self._now()
        self._holder = thread
        if thread not in self._depth:
            self._pass_on()
        return item

    def _pass_on(self) -> None:
        self._holder = None
        if not self._waiting:
            return
        self._advance()
        if self._head is not None:
            self._wake(self._head[0])
        else:
            for thread in tuple(self._waiting):
                self._wake(thread)

    def _advance(self) -> None:
        """Set ``_head`` to the next item of a thread that is still on the tape, or note the tape's end."""
        while self._ended is None and (self._head is None or self._head[0] in self._left):
            if (
                self._head is not None
                and self.call_logging is not None
                and self.call_logging.thread == self._head[0]
            ):
                self.call_logging.left(self._head[1])
            try:
                thread, item = self._head = self._next()
                if _is_bind_open(item):
                    self._makers[stream._bind_index(item)] = thread
            except Exception as error:  # noqa: BLE001 - the engine raises bare RuntimeError at the end
                self._head, self._ended = None, error

    def _wake(self, thread: int) -> None:
        turn = self._waiting.pop(thread, None)
        if turn is not None:
            turn.release()


def ending(error: Exception) -> Diverged:
    """Return what happens to a request after the engine raised *error* for the tape's next item.

    At the end of the tape it raises a bare ``RuntimeError``; anything else comes from reading a value.
    """
    if isinstance(error, RuntimeError):
        return Diverged(protocol.RECORDING_ENDS, "the recording ends here")
    return Diverged(protocol.RECORDING_UNREADABLE, f"{type(error).__name__}: {error}")


_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))
"""Types of items that refer to no object."""


class HandleTable(dict[int, Any]):
    """Maps handles to objects, and objects to handles."""

    def __init__(self) -> None:
        super().__init__()
        self.handles: dict[int, int] = {}

    def __setitem__(self, handle: int, bound: Any) -> None:
        super().__setitem__(handle, bound)
        self.handles[id(bound)] = handle

    def pop(self, handle: int, *default: Any) -> Any:
        """Forget a handle."""
        bound = super().pop(handle, *default)
        if self.handles.get(id(bound)) == handle:
            del self.handles[id(bound)]
        return bound


class OrderedBindings(engine_io._ReplayBindingState):  # type: ignore[misc]
    """Replaces the engine's ``_ReplayBindingState``: each operation on the tape is one turn."""

    current: OrderedBindings

    def __init__(self, tape: TapeTurns) -> None:
        super().__init__(tape)
        self._bindings = HandleTable()
        self.handles: dict[int, int] = self._bindings.handles
        """The handle of each object that has one, by its address."""
        OrderedBindings.current = self

    def at_sync(self) -> bool:
        """Whether the calling thread's next item, when it is its turn, is a step without a result."""
        with self._source:
            try:
                return self._peek_item(resolve=False) in ("SYNC", "TOOK")
            except Exception as error:
                raise self._failed(protocol.ENGINE_CANNOT_READ, "read the tape", error) from error

    def read(self) -> Any:
        """Read and resolve one item."""
        with self._source:
            try:
                item = self._item()
                return item if type(item) in _PLAIN else self.resolve(item)
            except Exception as error:
                raise self._failed(protocol.ENGINE_CANNOT_READ, "read the tape", error) from error

    def read_raw(self) -> Any:
        """Read one item without resolving its bindings."""
        with self._source:
            try:
                return self._item()
            except Exception as error:
                raise self._failed(protocol.ENGINE_CANNOT_READ, "read the tape", error) from error

    def _item(self) -> Any:
        """Return the calling thread's next item, no binding; the ends of those never come."""
        looked_at = self._buffers.get(self._thread_id())
        item = looked_at.popleft() if looked_at else self._read()
        if _is_bind_open(item):
            self.unread(item)
            raise RuntimeError("bind marker returned when bind was expected")  # in the engine's words
        return item

    def ended(self, thread: int) -> None:
        """Forget a thread that is over."""
        self._buffers.pop(thread, None)

    def bind(self, obj: object) -> None:
        """Bind *obj* to the handle that the tape names next."""
        with self._source:
            try:
                super().bind(obj)
            except ExpectedBindMarker:
                raise
            except Exception as error:
                what = f"bind {type(obj).__name__}"
                raise self._failed(protocol.ENGINE_CANNOT_BIND, what, error) from error

    def _failed(self, code: str, what: str, error: Exception) -> Diverged:
        """Explain the engine's *error*: it failed, or an object of a request that left is missing."""
        if isinstance(error, KeyError) and error.args:
            loser = self._source.loser(error.args[0])
            if loser is not None:
                return Diverged(
                    protocol.LOST_OBJECT,
                    "it needs an object that a request which left the tape would have made",
                    lost=loser,
                )
        return Diverged(code, f"the engine cannot {what} here: {error!r}")

    def delete_handle(self, handle: int) -> None:
        """Forget a binding, and let the object die outside the tape's mutex."""
        self._source.bury(self._bindings.pop(handle, None))
        self._source.forget(handle)
