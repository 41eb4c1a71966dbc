"""Replay of changed code: the calls of a request are matched by what they ask, not by their position.

The tape is read ahead to the end of each request, and its calls are kept with their results. A call of the
running code gets the result of the recorded call with the same question: the next such call, or else one that
was skipped, or else, unless it is an effect, one that was already made. Questions that this request never
asked while recording:

- an effect gets the result of a successful effect of the same kind, preferably the one that it replaces, so
  that the request continues and shows its other effects;
- a step, such as connecting, gets the result of the same step in another request;
- a statement that reads gets what it gave last, in whichever request (:mod:`loadgen.traced.past`);
- a clock and other ambient calls are answered by :mod:`loadgen.traced.ambient`;
- any other question has no answer: the request ends there, and the others continue.

Two calls ask the same question if their callable, arguments, and the state of the objects in the arguments
are the same. An object's state is the call that created it and the calls made on it since
(:mod:`loadgen.traced.states`), so ``fetchall()`` belongs to the statement that the cursor executed, whichever
cursor it is.

This module judges nothing. It reports every call to :mod:`loadgen.core.alignment`, which knows more about
what a statement changes. Requests keep their recorded order, step by step, while they make the recorded
steps. A request that skips or repeats steps does not delay the others.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import functional, stream, utils
from retracesoftware.stream import _is_bind_open
from retracesoftware.stream.reader import ExpectedBindMarker

from loadgen import protocol
from loadgen.traced import kinds, settings
from loadgen.traced.ambient import Ambient
from loadgen.traced.call_log import application_line
from loadgen.traced.described import CALLED_BY, DRAWN, ENTERS, LOCK, SETS, name_of, plain, shown, site_of
from loadgen.traced.errors import copied
from loadgen.traced.functions import OWN_FUNCTIONS, runs
from loadgen.traced.hidden import hide
from loadgen.traced.kinds import AMBIENT, EFFECT, ENDS, READ, STATEMENT, STEP, Kinds, text_of, verb_of
from loadgen.traced.lanes import NEVER, Lane, Step
from loadgen.traced.locks import parts
from loadgen.traced.past import Past
from loadgen.traced.rows import Rows, fetches, iterates
from loadgen.traced.states import Connections, Factories, States, begins_anew, handleless, pairs, receiver
from loadgen.traced.tape import ENTER, FINISH, Diverged, LiveLock, OrderedBindings, TapeTurns, ending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_VALUES = {
    "CALL": 1, "RESULT": 1, "ERROR": 1, "CALLBACK": 3, "CALLBACK_RESULT": 1, "CALLBACK_ERROR": 1,
    "CHECKPOINT": 1, "STACKTRACE": 1, "SYNC": 0, "TOOK": 1, "ON_START": 0,
}  # fmt: skip
"""Number of items that follow each tag of the engine."""
_REST = 0.05
"""Seconds that a thread rests in each sleep after the end of the recording."""
_PATIENCE = 20.0
"""Seconds that a thread waits for its recorded position without any progress, as with a changed order of
locks."""
_PLAIN = 2
"""Number of items of a result without callbacks."""
_NAPS = 3
"""Number of times that a thread may sleep in a row without letting others run."""
_LOST = 5.0
"""Seconds without progress after which a thread waits for one that has left the tape."""
_BLOCKED = 1.0
"""Seconds after which a thread that waits for a lock checks whether its holder can still release it."""
_FRESH = 1 << 40
"""First handle of objects created by an answer from another request; no recording has this many."""
_RECEIVES = re.compile(r".*\.recv\w*$")
_ROWS = re.compile(
    r".*\.(?:fetch\w*|__next__|__iter__|description|rowcount|lastrowid|recv\w*|read\w*|ntuples|getvalue|status\w*)$"
)
"""Steps that return the answer to an earlier question, such as the rows of a statement."""


class _At:
    """Where on the tape the next item of a callback was; with *until*, others may run from here to there."""

    def __init__(self, position: int, until: int | None = None) -> None:
        self.position = position
        self.until = until


class _Took(_At):
    """A lock that a callback took while recording; if it had to wait, that was a call."""

    def __init__(self, position: int, *, waited: bool, got: bool) -> None:
        super().__init__(position)
        self.waited = waited
        self.got = got


def _placed(raw: Sequence[tuple[int, Any]], end: int) -> list[Any]:
    """Return the items of the result of a call that ends at *end*.

    Of a callback, with their places, because its code runs in turn with that of other threads, as all code
    does; each lock that it took is one item.
    """
    if not any(item == "CALLBACK" for _, item in raw if isinstance(item, str)):
        return [item for _, item in raw]
    items, calls, at = list[Any](), list[_At](), 0
    while at < len(raw):
        position, item = raw[at]
        tag = item if isinstance(item, str) else ""
        size = 1 + _VALUES.get(tag, 0)
        place: _At | None = None
        if tag == "TOOK":
            place, size = _Took(position, waited=False, got=True), 2
        elif tag == "CALL" and name_of(plain(raw[at + 1][1])) == LOCK:
            position, got = raw[at + 3]
            place, size = _Took(position, waited=True, got=got is not False), 4
        elif tag == "CALL":
            place = _At(position)
            calls.append(place)
        elif tag in ("RESULT", "ERROR") and calls:
            calls.pop().until = position
            place = _At(position)
        elif tag in ("CALLBACK", "CALLBACK_RESULT", "CALLBACK_ERROR"):
            place = _At(position, None if tag == "CALLBACK" else end)
        if place is not None:
            items.append(place)
        if type(place) is not _Took:
            items += (one for _, one in raw[at : at + size])
        at += size
    return items


class _Then:
    """An action to run before the next item of a feed is read."""

    def __init__(self, do: Callable[[], None]) -> None:
        self.do = do


class AlignedTape(TapeTurns):
    """Replaces :class:`TapeTurns`, with the same interface for the engine and the boundary."""

    def __init__(
        self,
        next_object: Callable[[], Any],
        *,
        thread_id: Callable[[], int],
        initial_thread_id: int,
        close: Callable[[], None] | None = None,
        on_end_of_stream: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(
            next_object, thread_id=thread_id, initial_thread_id=initial_thread_id, close=close,
            on_end_of_stream=on_end_of_stream,
        )  # fmt: skip
        self.lanes: dict[int, Lane] = {}
        self._open: dict[int, Lane] = {}
        """Those of threads that have begun and still make recorded steps: no more than run at a time."""
        self._coming = deque[Lane]()
        """Those of requests that were read and have not begun, in the order of their first steps."""
        self._unparsed: dict[int, Lane] = {}
        """Those that have items which are not yet steps."""
        self.kinds = Kinds(settings.CURRENT.aligned)
        self.ambient = Ambient(self.kinds)
        self.started = False
        self._count = 0
        self.recorded: dict[int, str] = {}
        """State of each recorded object, by its handle: what created it."""
        self.live: dict[int, str] = {}
        """State of each live object, by its number in this replay: what created it."""
        self._steps: dict[Any, Step] = {}
        """One recorded step for each key; its result is used for the same step of other requests."""
        self._effects: dict[Any, Step] = {}
        """The last effect of each callable, and of each callable and verb."""
        self._past = Past()
        self._without_waiting = set[int | None]()
        """Live sockets that do not wait for what they receive, by their numbers."""
        self.fresh_handle = count(_FRESH).__next__
        """Returns a handle that no recording has; requests ask at the same time."""
        self._has_served = False
        self.counts: Callable[[int], Any]
        """Returns the last call of a thread, whose number names the objects that it returns."""
        self._recorded_factories, self._live_factories = Factories(), Factories()
        self._recorded_connections, self._live_connections = self._connections = Connections(), Connections()
        self.shared = set[int]()
        """Handles of objects created before the server served: they belong to no request."""
        self._sleepers: dict[Lane, LiveLock] = {}
        """Those of threads that wait for their turns."""
        self._running: dict[int, Lane] = {}
        self._advance_later: Lane | None = None

    # ---- the tape, read ahead ---------------------------------------------------------------------------

    def lane(self, thread: int | None = None) -> Lane:
        """Return the lane of the calling thread, or of another."""
        number = self._thread_id() if thread is None else thread
        lane = self.lanes.get(number)
        if lane is None:  # at any moment its thread and one that reads ahead may both be here
            made = Lane(number, States(self.recorded, self.live, self._connections))
            made.calls = 0 if thread is not None else self.counts(number).call
            lane = self.lanes.setdefault(number, made)
        return lane

    def _read_one(self) -> int | None:
        """Move the tape's next item into its lane, and return the thread; None at the end of the tape."""
        if self._ended is not None:
            return None
        thread: int
        try:
            thread, item = self._next()
        except Exception as error:  # noqa: BLE001 - the engine raises bare RuntimeError at the end
            self._ended = error
            return None
        lane = self.lane(thread)
        lane.raw.append((self._count, item))
        self._unparsed[thread] = lane
        if isinstance(item, tuple) and item and item[0] == FINISH:
            lane.whole = True
        if lane.next == NEVER and not lane.over and not lane.left:
            lane.next = self._count
            if thread >= settings.FIRST_THREAD and not lane.ahead:
                self._coming.append(lane)
        self._count += 1
        return thread

    def _read_ahead(self, lane: Lane) -> None:
        """Read the tape to the end of *lane*'s request; of a thread of the start, to the first request.

        Not further, so that few lanes are open: the end may have been read for another request.
        """
        if lane.thread >= settings.FIRST_THREAD:
            while not lane.whole and self._read_one() is not None:
                pass
        elif not self._coming and not self._has_served:
            while (thread := self._read_one()) is not None and thread < settings.FIRST_THREAD:
                pass
        self._index()

    def _read_rest(self) -> bool:
        """Read the tape to its end; return whether it was not read to there."""
        if self._ended is not None:
            return False
        while self._read_one() is not None:
            pass
        self._index()
        return True

    def _index(self) -> None:
        """Add the steps that were read to their lanes."""
        read = tuple(self._unparsed.values())
        new = [(step, other) for other in read for step in self._parse(other)]
        self._unparsed = {thread: other for thread, other in self._unparsed.items() if other.raw}
        new.sort(key=lambda one: one[0].at)
        for step, other in new:  # in tape order: one lane may create an object that another uses
            if other.thread < settings.FIRST_THREAD:
                self.shared |= {item[1] for item in step.body if _is_bind_open(item)}
                self.shared |= {step.value} if step.kind == "BIND" else set()
            if step.call is not None:  # also one that waited for a lock
                step.number = other.calls = other.calls + 1
                other.calls += _tags(step.body).count("CALL") if len(step.body) > _PLAIN else 0
            if step.kind == "BIND":
                self.recorded[step.value] = "new"
                self._recorded_connections.made(step.value, None)
            elif step.kind == "CALL":
                self._recorded_factories.asked(step.call)
                step.connection = self._recorded_connections.asked(step.call)
                for handle in _made_by(step):
                    self._recorded_factories.made(handle, receiver(step.call))
                    self._recorded_connections.made(handle, step.call)
                step.factories = self._recorded_factories.of(receiver(step.call))
                step.key = other.states.recorded(step.call, step.body)
                other.by_key.setdefault(step.key, []).append(len(other.steps))
            other.steps.append(step)
            hide((step, step.body))
            if step.kind == "CALL":
                self._sort(step, other)
        hide(part for other in read if other.whole for part in other.containers())

    def _sort(self, step: Step, lane: Lane) -> None:
        """Index *step*, so that it can answer calls of other requests too."""
        kind, name = self.kinds(step.call), name_of(step.call)
        if kind == EFFECT or (kind == ENDS and lane.writes):
            lane.effects.append(len(lane.steps) - 1)
        if kind == AMBIENT:
            self.ambient.read_ahead(name, step.body)
        elif kind == STEP:
            if _succeeded(step.body):
                self._steps.setdefault(step.key, step)
        elif kind == READ:
            is_statement = self.kinds.named(name) == STATEMENT
            if _is_answer(step.body):
                self._past.asked(lane, len(lane.steps) - 1, is_statement=is_statement)
        elif kind == ENDS:
            lane.writes = False
        else:
            lane.writes = True
            self._past.changed(step)
        if kind in (EFFECT, ENDS) and _succeeded(step.body):
            self._effects[name] = self._effects[name, verb_of(step.call)] = step

    def _parse(self, lane: Lane) -> list[Step]:
        """Return the new steps of a lane that were read completely."""
        found = []
        while lane.raw:
            at, item = lane.raw[0]
            step = Step("BIND" if _is_bind_open(item) else str(item), at)
            if step.kind == "BIND":
                step.value = item[1]
                lane.raw.popleft()
            elif step.kind == "CALL":
                if not self._parse_call(lane, step):
                    break
                if name_of(step.call) == LOCK:  # it waited for it, and got it or not
                    step.kind, step.value = "TOOK", (_lock_of(step.call), step.body[-1] is not False)
            else:
                values = _VALUES.get(step.kind, 0)
                if len(lane.raw) <= values:
                    break
                lane.raw.popleft()
                for _ in range(values):
                    step.value = lane.raw.popleft()[1]
                if step.kind == "TOOK":
                    step.value = step.value, True
            found.append(step)
        return found

    def _parse_call(self, lane: Lane, step: Step) -> bool:
        """Consume a call and its result; if its end was not read yet, consume nothing and return False."""
        raw = list(lane.raw)
        index, depth = 2, 1
        while depth:
            if index >= len(raw):
                return False
            step.end, item = raw[index]
            index += 1
            if not _is_bind_open(item) and isinstance(item, str):
                depth += {"CALL": 1, "RESULT": -1, "ERROR": -1}.get(item, 0)
                index += _VALUES.get(item, 0)
        if index > len(raw):
            return False
        step.call = plain(raw[1][1])
        step.body = _placed(raw[2:index], step.end)
        for _ in range(index):
            lane.raw.popleft()
        return True

    # ---- order ------------------------------------------------------------------------------------------

    def _wait(self, lane: Lane, position: int) -> None:
        """Wait until no other thread runs, or has a pending recorded step before *position*; then run."""
        self._stand(lane, position)
        began, moved, used = self._now(), self._moved, self._used()
        while True:
            with self._mutex:
                if self._may_run(lane):
                    self._run(lane)
                    return
                turn = self._sleepers[lane] = LiveLock()
                turn.acquire()
            turn.acquire(True, 1.0)
            waited, computed = self._now() - began, self._used() - used
            if self._moved != moved or self.held:
                began, moved, used = self._now(), self._moved, self._used()
            elif waited > _PATIENCE * (3 if computed > waited / 4 else 1):
                with self._mutex:
                    self._run(lane)
                return  # the other thread waits for this one, for something that is not on the tape

    def _may_run(self, lane: Lane) -> bool:
        """Whether no other thread runs, or has a pending recorded step before that of *lane*."""
        while self._coming and (self._coming[0].ahead or self._coming[0].left):
            self._coming.popleft()
        if self._coming and self._coming[0].next < lane.next:
            return False
        return not any(
            other.next < lane.next or other.runs for other in self._open.values() if other is not lane
        )

    def _run(self, lane: Lane) -> None:
        self._sleepers.pop(lane, None)
        self._running[lane.thread] = lane
        lane.runs = True
        self._moved = self._now()
        if lane.thread not in self._open:  # the others do not wait for it
            self._wake_next()

    def _stand(self, lane: Lane, position: int) -> None:
        """Let other threads run until *position*, the next step of *lane*."""
        with self._mutex:
            self._running.pop(lane.thread, None)
            lane.next, lane.runs = position, False
            self._wake_next()

    def _let_others(self, lane: Lane) -> None:
        """Let other threads run, also those behind *lane*, which waits for one of them."""
        self._moved = self._now()
        self._stand(lane, NEVER)

    def _wake_next(self) -> None:
        """Wake the thread that waits for the first position, if it may run; the others wait for it, too."""
        first = min(self._sleepers, key=lambda lane: lane.next, default=None)
        if first is not None and self._may_run(first):
            self._sleepers.pop(first).release()

    def _pass(self, lane: Lane) -> None:
        """Publish the progress of *lane* to the other threads."""
        with self._mutex:
            while lane.at < len(lane.steps) and lane.steps[lane.at].taken:
                lane.at += 1
            lane.next = lane.steps[lane.at].at if lane.at < len(lane.steps) else NEVER
            lane.naps = 0
            self._moved = self._now()
            if lane.at >= len(lane.steps) and (lane.thread >= settings.FIRST_THREAD or self._ended):
                self._close(lane)
            self._wake_next()

    def _close(self, lane: Lane) -> None:
        lane.over = True
        self._open.pop(lane.thread, None)
        hide(lane.containers())

    # ---- interface for the engine and the boundary ------------------------------------------------------

    def __enter__(self) -> None:
        """Do nothing: :meth:`checkpoint` orders the notes."""

    def __exit__(self, *exc_info: object) -> None:
        lane = self.lanes.get(self._thread_id())
        if lane is not None and lane.owner is not None:
            lane.owner = None
            self._pass(lane)

    def read(self) -> Any:
        """Return the next item of the feed of the calling thread's call."""
        if not self.started:
            return self._next()[1]
        lane = self.lane()
        if not lane.feeds:
            raise Diverged(
                protocol.ENGINE_CANNOT_READ, "the replay asks for more than the recorded call gave"
            )
        feed = lane.feeds[-1]
        item = feed.popleft()
        while isinstance(item, _At):
            if type(item) is _Took:  # by a callback that does not take the lock any more
                self.counts(lane.thread).call += item.waited
            else:
                self._reach(lane, item)
            item = feed.popleft()
        if type(item) is _Then:
            item.do()
            item = feed.popleft()
        if not feed:
            lane.feeds.pop()
        # The step keeps its error, and a repeated call raises it again.
        return copied(item) if isinstance(item, BaseException) else item

    def feeding(self) -> bool:
        """Whether the engine is in the middle of a call, or is still starting."""
        return not self.started or bool(self.lane().feeds)

    def on_start(self) -> None:
        """Start a thread, at its recorded position; from here on, the engine's own start is over."""
        if not self.started:
            AlignedBindings.current.forget_peeked()
        self.started = True
        lane = self.lane()
        if lane.thread < settings.FIRST_THREAD:
            self._begin(lane)
            start = lane.steps[lane.at] if lane.at < len(lane.steps) else None
            if start is not None and start.kind == "ON_START":
                self._wait(lane, start.at)
                start.taken = True
                self._pass(lane)

    def on_end(self) -> None:
        """End a thread: others do not wait for steps that it did not make."""
        lane = self.lane()
        if lane.thread >= settings.FIRST_THREAD and not lane.ended:
            return  # it leaves the tape
        with self._mutex:
            self._close(lane)
        self._let_others(lane)

    def serve(self) -> None:
        """Note that the calling thread goes on to serve; others do not wait for what it did at its end."""
        super().serve()
        self._let_others(self.lane())

    def _begin(self, lane: Lane) -> None:
        if not lane.ahead:
            with self._mutex:
                lane.begun = lane.ahead = True
                if not lane.left:
                    self._open[lane.thread] = lane
                if lane.thread >= settings.FIRST_THREAD and not self._has_served:
                    self._has_served = True
                    for other in tuple(self.lanes.values()):
                        other.at_start = len(other.journal)
                self._read_ahead(lane)
        if lane.thread < settings.FIRST_THREAD and (self._has_served or lane.at >= len(lane.steps)):
            with self._mutex:  # it runs besides the requests: no request reads ahead what it needs
                self._read_rest()
                ends = lane.at >= len(lane.steps) and not lane.over
                if ends:  # nobody waits for this thread
                    self._close(lane)
            if ends:
                self._stand(lane, NEVER)

    def next_binding(self) -> int | None:
        """Return the handle that the recording binds next, or None if its next step is not a binding."""
        lane = self.lane()
        self._begin(lane)
        index = lane.at
        while index < len(lane.steps) and (
            lane.steps[index].taken or lane.steps[index].kind in ("ON_START", "TOOK", "CHECKPOINT")
        ):
            index += 1
        if index == len(lane.steps) or lane.steps[index].kind != "BIND":
            return None
        lane.steps[index].taken = True
        return int(lane.steps[index].value)

    def sync(self) -> None:
        """Make the first or the last step of a thread, the last one at its recorded position.

        The first comes before its start; until then, the thread that starts it has the turn, and waits.
        """
        lane = self.lane()
        if not lane.begun:
            self._begin(lane)
            lane.request = next((one.request for one in tuple(self._running.values())), None)
            if lane.steps and lane.steps[0].kind == "SYNC":
                lane.steps[0].taken = True
                self._pass(lane)
            return
        if lane.ended or lane.left or not lane.steps or lane.steps[-1].kind != "SYNC":
            return
        self._wait(lane, lane.steps[-1].at)

    def take(self, name: str, attempt: Callable[..., bool], *how: Any) -> bool:
        """Take a lock with *attempt*, at its recorded position and with its recorded outcome.

        Where the recording does not have this step, the lock is taken at once: a thread that has its turn
        keeps it, and what it does between two recorded steps comes before what others do after the first.
        *how* is whether to wait for the lock, and for how many seconds; less than 0 is for ever.
        """
        blocking, timeout = how
        lane = self.lane()
        self._begin(lane)
        apart = bool(lane.left or lane.feeds or lane.over)
        if not (lane.left or lane.over) and lane.feeds and type(lane.feeds[-1][0]) is _Took:
            return self._take_again(lane, lane.feeds[-1].popleft(), attempt)
        index = None if apart else self._lock_step(lane, name)
        if index is not None:
            step = lane.steps[index]
            self._pass_over(lane, index)
            self._wait(lane, step.at)
            step.taken = True
            if step.end != step.at:
                self._wait(lane, step.end)
            self._pass(lane)
            if not step.value[1]:
                return False
            blocking, timeout = True, -1
        return attempt(False) or (blocking and self._block(lane, attempt, timeout, apart=apart))

    def _lock_step(self, lane: Lane, name: str) -> int | None:
        """Return the index of the recorded step that takes the lock *name*; None if there is none.

        No effect may lie between. A function that was renamed still uses the same lock. Of a lock without a
        creator, the user decides.
        """
        barrier = self._barrier(lane)
        creator, user = parts(name)
        by_creator = by_user = None
        is_next = True
        for index in range(lane.at, barrier):
            step = lane.steps[index]
            if step.taken or step.kind not in ("TOOK", "CALL", "CHECKPOINT"):
                continue
            if step.kind == "CHECKPOINT":
                break
            if step.kind == "CALL":
                is_next = False
            elif step.value[0] == name:
                return index
            else:
                recorded_creator, recorded_user = parts(step.value[0])
                if by_creator is None and creator and recorded_creator == creator:
                    by_creator = index
                unnamed = not (creator and recorded_creator)
                if by_user is None and unnamed and is_next and recorded_user == user:
                    by_user = index
        return by_user if by_creator is None else by_creator

    def _pass_over(self, lane: Lane, index: int) -> None:
        """Advance *lane* to behind the step *index*; calls in between may still be made."""
        for step in lane.steps[lane.at : index]:
            if step.kind != "CALL":
                step.taken = True
        lane.at = index + 1

    def _take_again(self, lane: Lane, took: _Took, attempt: Callable[..., bool]) -> bool:
        """Take a lock inside a callback at its recorded position, and with its recorded outcome."""
        self.counts(lane.thread).call += took.waited
        self._wait(lane, took.position)
        return took.got and (attempt(False) or self._block(lane, attempt, -1, apart=True))

    def _reach(self, lane: Lane, place: _At) -> None:
        """Wait for the recorded place of the next item of a callback."""
        self._wait(lane, place.position)
        if place.until is not None:
            self._moved = self._now()
            self._stand(lane, place.until)

    def _block(self, lane: Lane, attempt: Callable[..., bool], timeout: float, *, apart: bool) -> bool:
        """Wait for a lock while others run, one of which holds it."""
        began = self._now()
        self._let_others(lane)
        while True:
            left = _BLOCKED if timeout < 0 else min(_BLOCKED, began + timeout - self._now())
            got = left > 0 and attempt(True, left)
            if got or 0 <= timeout <= self._now() - began:
                break
            if (departed := self.departed()) and self._now() - self._moved > _LOST:
                what = "this waits for what a request that left the tape would have done"
                raise Diverged(protocol.LOST_TURN, what, lost=departed[0])
        if not apart:
            self._wait(lane, lane.steps[lane.at - 1].at if lane.at else 0)
        return got

    @staticmethod
    def _upcoming(lane: Lane) -> int | None:
        """Return the index of the next call, or end of the request."""
        index = lane.at
        while index < len(lane.steps) and (
            lane.steps[index].taken or lane.steps[index].kind not in ("CALL", "CHECKPOINT")
        ):
            index += 1
        return index if index < len(lane.steps) else None

    def checkpoint(self, value: Any) -> None:
        """Begin or end a request; checkpoints of the engine itself are not compared."""
        if not (isinstance(value, tuple) and value and value[0] in (ENTER, FINISH)):
            return
        lane = self.lane()
        self._begin(lane)
        found = [
            index
            for index, step in enumerate(lane.steps)
            if step.kind == "CHECKPOINT" and isinstance(step.value, tuple) and step.value[0] == value[0]
        ]
        if not found and lane.is_cut:
            raise self._cut(lane)
        if not found:
            self.leave("request")
            raise Diverged(protocol.NOT_THE_RECORDED_REQUEST, "the recording does not have this request")
        index = found[0]
        if lane.steps[index].value != value:
            self.leave("request")
            why = "the live request is not the recorded one"
            raise Diverged(protocol.NOT_THE_RECORDED_REQUEST, why, lane.steps[index].value, value)
        self._wait(lane, lane.steps[index].at)
        for step in lane.steps[: index + 1]:
            if step.kind != "CALL":
                step.taken = True
        lane.steps[index].taken = True
        lane.at = index + 1
        lane.ended = value[0] == FINISH
        lane.owner = index  # the others continue when the boundary has noted it

    def all_sent(self) -> None:
        """Nothing: each request is read ahead to its end, or to that of the tape."""

    def _cut(self, lane: Lane) -> Diverged:
        """Return what happens to a request where its recording was cut short, and leave *lane*."""
        self.leave()
        lane.left = ""  # it did all that was recorded
        return ending(self._ended or RuntimeError())

    def leave(self, why: str = "call") -> None:
        """Let the other threads continue without the calling one."""
        lane = self.lane()
        if lane.over:
            return
        lane.left = lane.left or why
        self._left.setdefault(lane.thread)
        with self._mutex:
            self._open.pop(lane.thread, None)
            hide(lane.containers())
        self._let_others(lane)

    def state(self) -> dict[str, Any]:
        """Return what the replay waits for; see :meth:`TapeTurns.state`."""
        with self._mutex:
            coming = [one for one in self._coming if not (one.ahead or one.left)]
            open_lanes = [one for one in (*self._open.values(), *coming) if one.next < NEVER]
            head = min(open_lanes, key=lambda one: one.next, default=None)
            return {
                "next": None if head is None else head.thread,
                "item": None,
                "waiting": [one.thread for one in open_lanes if one is not head],
                "ended": str(self._ended) if self._ended else None,
                "idle": self._now() - self._moved,
            }

    # ---- calls ------------------------------------------------------------------------------------------

    def call(self, described: Any, function: Any, args: tuple[Any, ...]) -> None:
        """Find the result for the call *described*, and feed it to the engine."""
        lane = self.lane()
        if lane.left or lane.thread in self._left:
            raise Diverged(protocol.ALREADY_LEFT, "this request has left the tape")
        if lane.feeds:
            self._nested(lane, described)
            return
        self._begin(lane)
        if lane.is_cut and self._upcoming(lane) is None:
            raise self._cut(lane)
        lane.asking, lane.answering = described, None
        self._live_factories.asked(described)
        lane.connection = self._live_connections.asked(described)
        name = name_of(described)
        if self._of_rows(lane, name, described):
            return
        self._note_waiting(described, name)
        key = lane.states.key(described)
        index, how = self._match(lane, key, described, name)
        if index is not None:
            if fetches(name):
                self._check_factories(lane, index, described)
            self._serve(lane, index, how, described)
            lane.states.asked(described, key)
            if self.kinds.named(name) == STATEMENT:
                lane.supposed.discard(receiver(described))
                self._executed(lane, index, described)
            return
        live = partial(utils.try_unwrap_apply, function, *args)
        while not self._answered_elsewhere(lane, described, key, live):
            with self._mutex:  # a later request may have an answer
                more = self._read_rest()
            if not more:
                self._unanswered(lane, described, "")

    def _answered_elsewhere(self, lane: Lane, described: Any, key: Any, live: Callable[[], Any]) -> bool:
        """Answer a call that this request never recorded; return whether anything that was read could."""
        name = name_of(described)
        answer = self.ambient.answer(name, described, live, lane.readings)
        if answer is None:
            return self._supposed(lane, described, key)
        lane.note("ambient", None, _brief(described))
        lane.feeds.append(deque(["RESULT", answer[0]]))
        self._nap(lane, name)
        return True

    def _note_waiting(self, described: Any, name: str) -> None:
        """Note whether a socket waits for what it receives: pools ask an idle one whether it is alive."""
        if not name.endswith((".settimeout", ".setblocking")):
            return
        on, how = receiver(described), described[-1]
        if how is False or how == 0:
            self._without_waiting.add(on)
        else:
            self._without_waiting.discard(on)

    def _executed(self, lane: Lane, index: int, described: Any) -> None:
        """Note that a live object executes the statement of the step *index*."""
        live, recorded = receiver(described), receiver(lane.steps[index].call)
        if live is not None and recorded is not None:
            lane.rows[live] = self._rows(lane, index, recorded)

    @staticmethod
    def _rows(lane: Lane, index: int, cursor: int, *, borrowed: bool = False) -> Rows:
        """Return the rows that were recorded of the recorded *cursor*, from the step *index* on."""
        found = []
        for at in range(index + 1, len(lane.steps)):
            step = lane.steps[at]
            if step.kind != "CALL":
                continue
            if cursor in _made_by(step):  # the handle is another cursor's from here on
                break
            if receiver(step.call) != cursor:
                continue
            if begins_anew(name_of(step.call)):
                break
            if fetches(name_of(step.call)):
                found.append((at, step.call, step.body))
        return Rows(found, borrowed=borrowed)

    def _of_rows(self, lane: Lane, name: str, described: Any) -> bool:
        """Answer a call that begins to fetch rows, or fetches some; False if it is none, or not known.

        Beginning to iterate, and a ``with``, return the object itself.
        """
        on = receiver(described)
        if on is None or not (iterates(name) or name.endswith(ENTERS)):
            return bool(fetches(name)) and self._fetched(lane, described)
        if self._match(lane, lane.states.key(described), described, name)[0] is not None:
            return False
        lane.feeds.append(deque(["RESULT", AlignedBindings.current.binding(on)]))
        return True

    def _fetched(self, lane: Lane, described: Any) -> bool:
        """Answer a call that fetches rows from those of the cursor's statement; False if it has none."""
        live = receiver(described)
        if live is None or live in lane.supposed:
            return False
        cursor = AlignedBindings.current.recorded.get(live)
        rows = lane.rows.get(live) or lane.borrowed.get(cursor)
        if rows is None:  # the statement created the cursor
            made = lane.created.get(live)
            if cursor is None or made is None:
                return False
            rows = lane.rows[live] = self._rows(lane, made, cursor)
        if rows.steps and not rows.borrowed:
            self._check_factories(lane, rows.steps[0], described)
        if rows.at < len(rows.steps) and not rows.differs and not rows.borrowed:
            index = rows.steps[rows.at]
            if handleless(lane.steps[index].call) == handleless(described):
                rows.repeats()
                self._serve(lane, index, "repeat" if lane.steps[index].taken else "same", described)
                return True
        answer = rows.answer(fetches(name_of(described)), described)
        if answer is None:
            self._unanswered(lane, described, "more rows than were recorded of this statement")
            return True
        for index in () if rows.borrowed else rows.steps:
            lane.steps[index].taken = True
        lane.note("rows", None, _brief(described))
        lane.feeds.append(deque(answer))
        return True

    def _check_factories(self, lane: Lane, index: int, described: Any) -> None:
        """End the request if the recorded rows are not of the kind that the running code asks for."""
        before, now = lane.steps[index].factories, self._live_factories.of(receiver(described))
        if before != now:
            self._unanswered(lane, described, "its rows are made by another row_factory or text_factory")

    def _nap(self, lane: Lane, name: str) -> None:
        """Let other threads run if the calling one sleeps again and again: it may wait for them."""
        if not name.endswith((".sleep", ".sched_yield")):
            return
        if lane.over and lane.thread < settings.FIRST_THREAD:
            rest = LiveLock()  # without a rest it would take the processor from the requests
            rest.acquire()
            rest.acquire(True, _REST)
            return
        lane.naps += 1
        upcoming = self._upcoming(lane)
        if lane.naps > _NAPS and upcoming is not None:
            self._wait(lane, lane.steps[upcoming].at)

    def _supposed(self, lane: Lane, described: Any, key: Any) -> bool:
        """Answer a call that this request never recorded from another request; return whether one could."""
        match self.kinds(described):
            case kinds.READ:
                return self._asked_before(lane, described, key)
            case kinds.STEP:
                return self._step_elsewhere(lane, described, key)
            case kinds.EFFECT | kinds.ENDS:
                return self._effect_elsewhere(lane, described, key)
        return False

    def _step_elsewhere(self, lane: Lane, described: Any, key: Any) -> bool:
        """Answer a step by the same step of another request."""
        on, name = receiver(described), name_of(described)
        if name.endswith(SETS):
            lane.note("ambient", None, _brief(described))
            lane.feeds.append(deque(["RESULT", None]))
            return True
        if on in self._without_waiting and _RECEIVES.match(name):
            lane.note("ambient", None, _brief(described))
            lane.feeds.append(deque(["ERROR", BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))]))
            return True
        has_rows = on in lane.supposed or self._handle(on) in lane.borrowed
        if _ROWS.match(name) and not has_rows:
            return False
        step = self._steps.get(key)
        if step is None or self._feed_elsewhere(lane, step, described) is None:
            return False
        lane.note("supposed", None, _brief(described))
        if self.kinds.named(name) == STATEMENT and on is not None:
            lane.supposed.add(on)
        lane.states.asked(described, key)
        return True

    def _effect_elsewhere(self, lane: Lane, described: Any, key: Any) -> bool:
        """Answer an effect by the one that it replaces, or another that succeeded."""
        on, asks = receiver(described), handleless(described)
        name, verb = name_of(described), verb_of(described)
        index = next(
            (
                n for n in lane.effects
                if not lane.steps[n].taken
                and name_of(call := lane.steps[n].call) == name
                and verb_of(call) == verb
                and (_succeeded(lane.steps[n].body) or handleless(call) == asks)
            ),
            None,
        )  # fmt: skip
        if index is not None:
            step = lane.steps[index]
            alike = handleless(step.call) == asks
            key = step.key
            self._serve(lane, index, "other" if alike else "instead", described)
        else:
            found = self._effects.get((name, verb)) or self._effects.get(name)
            if name.endswith(SETS):
                lane.feeds.append(deque(["RESULT", None]))
            elif found is None or self._feed_elsewhere(lane, found, described) is None:
                return False
            key = key if found is None else found.key
            lane.note("supposed", None, _brief(described), application_line())
        if on is not None:
            lane.supposed.add(on)
        lane.states.asked(described, key)
        if (seen := Diverged.seen) is not None:
            seen(f"the recording does not have the effect {shown(described)}")
        return True

    def _asked_before(self, lane: Lane, described: Any, key: Any) -> bool:
        """Answer a question that this request never recorded by the last answer that it had, if any."""
        upcoming = self._upcoming(lane)
        now = self._count if upcoming is None else lane.steps[upcoming].at
        question = self._past.last(key, now)
        if question is None:
            return False
        step, other, on = question.step, receiver(question.step.call), receiver(described)
        made = self._feed_elsewhere(lane, step, described)
        if made is None:
            return False
        for handle in _made_by(step):
            lane.borrowed[made[handle]] = self._rows(question.lane, question.at, handle, borrowed=True)
        if on is not None and other is not None and self.kinds.named(name_of(described)) == STATEMENT:
            lane.rows[on] = self._rows(question.lane, question.at, other, borrowed=True)
            lane.supposed.discard(on)
        between = self._past.between(step.end, now)
        lane.note("past", None, _brief(described), application_line(), between)
        lane.states.asked(described, key)
        return True

    @staticmethod
    def _handle(live: int | None) -> int | None:
        """Return the recorded handle of a live object."""
        return None if live is None else AlignedBindings.current.recorded.get(live)

    def number_of_result(self) -> tuple[int, ...]:
        """Return the number of an external object without a handle, which a call returns now."""
        lane = self.lane()
        if lane.answering is None:
            return lane.thread, self.fresh_handle()
        return tuple(self.counts(lane.thread).number())

    def note_made(self, live: int) -> None:
        """Note which recorded step made the object with the number *live*, if one did."""
        lane = self.lane() if self.started else None
        if lane is None:
            return
        self._live_factories.made(live, receiver(lane.asking))
        self._live_connections.made(live, lane.asking)
        if lane.answering is not None:
            lane.created[live] = lane.answering

    def _feed_elsewhere(self, lane: Lane, step: Step, described: Any) -> dict[int, int] | None:
        """Feed the result of another request's *step*, with new objects; None if it needs existing ones.

        Returns the handle here of each recorded one that it makes.
        """
        bindings, known = AlignedBindings.current, dict(pairs(step.call, described))
        made = dict[int, int]()
        missing = []

        def fresh(handle: int) -> int:
            made[handle] = other = self.fresh_handle()
            self.recorded[other] = self.recorded.get(handle, "new")
            return other

        def renamed(one: Any) -> Any:
            if not isinstance(one, stream.Binding):
                return one
            if one.handle in known and one.handle not in made:
                bindings.unify(fresh(one.handle), known[one.handle])
            if one.handle in made:
                return stream.Binding(made[one.handle])
            if one.handle not in self.shared:
                missing.append(one.handle)
            return one

        rename = functional.walker(renamed)
        body = [(item[0], fresh(item[1])) if _is_bind_open(item) else rename(item) for item in step.body]
        if missing:
            return None
        lane.feeds.append(deque(body))
        return made

    def _match(self, lane: Lane, key: Any, described: Any, name: str) -> tuple[int | None, str]:
        known = lane.by_key.get(key, ())
        if self.ambient.knows(name):
            return self._match_ambient(lane, known, described)
        ahead = next((one for one in known if one >= lane.at and not lane.steps[one].taken), None)
        kind, wrote = self.kinds(described), lane.wrote
        if kind in (EFFECT, ENDS):
            lane.wrote = kind == EFFECT
        if kind == EFFECT or (kind == ENDS and wrote):
            behind = next((one for one in known if one < lane.at and not lane.steps[one].taken), None)
            return (ahead, "same") if ahead is not None else (behind, "moved")
        barrier = self._barrier(lane)
        done = max((n for n in lane.effects if lane.steps[n].taken), default=-1)
        if ahead is not None and ahead < barrier:
            return ahead, "same"
        before = [one for one in known if one < barrier]
        valid = [one for one in before if one > done] or ([] if ahead is not None else before)
        if valid:
            fresh = [one for one in valid if not lane.steps[one].taken]
            return (fresh[0], "moved") if fresh else (valid[-1], "repeat")
        if ahead is not None:
            return ahead, "same"
        return None, ""

    def _match_ambient(self, lane: Lane, known: Any, described: Any) -> tuple[int | None, str]:
        """Match an ambient call, such as a clock, by its caller: its arguments do not distinguish it.

        As with locks, no effect may lie between; and the next call may be that of a function that was
        renamed, or of one that calls another for it now.
        """
        site = site_of(described)
        anywhere = name_of(described) == DRAWN  # an import, which its arguments do distinguish
        mine = [one for one in known if anywhere or site_of(lane.steps[one].call) == site]
        barrier = self._barrier(lane)
        for one in mine:
            if one < barrier and not lane.steps[one].taken:
                return one, "same"
        upcoming = self._upcoming(lane)
        if not mine and upcoming is not None and upcoming in known:
            there = site_of(lane.steps[upcoming].call)
            nearest, by_another, _ = site.partition(CALLED_BY)
            alike = nearest == there.partition(CALLED_BY)[0] or not (by_another or CALLED_BY in there)
            function = there.rpartition(CALLED_BY)[2]
            if alike and (function not in OWN_FUNCTIONS or runs(function)):  # renamed, or it calls this one
                return upcoming, "same"
        return None, ""

    @staticmethod
    def _barrier(lane: Lane) -> int:
        """Return the index of the next recorded effect; behind the last, the number of steps."""
        return next((n for n in lane.effects if n >= lane.at and not lane.steps[n].taken), len(lane.steps))

    def _serve(self, lane: Lane, index: int, how: str, described: Any) -> None:
        step = lane.steps[index]
        forward = not step.taken and index >= lane.at
        passed = [
            step
            for step in lane.steps[lane.at : index]
            if step.kind == "CALL" and not step.taken and self.kinds(step.call) != AMBIENT
        ]
        where = "" if forward and not passed and how == "same" else application_line()
        brief = "" if how in ("same", "moved", "repeat") else _brief(described)
        lane.note(how if not step.taken or how == "repeat" else "repeat", index, brief, where)
        bindings = AlignedBindings.current
        for recorded, live in pairs(step.call, described):
            bindings.unify(recorded, live)
        lane.answering = index
        self.counts(lane.thread).call = step.number
        if not forward:
            step.taken = True
            lane.feeds.append(deque(step.body))
            return
        for n in range(lane.at, index):
            if lane.steps[n].kind != "CALL":
                lane.steps[n].taken = True
        self._wait(lane, step.at)
        step.taken = True
        lane.at = index + 1

        def in_turn() -> None:
            self._wait(lane, step.end)
            self._pass(lane)

        # The result is given at its recorded position: others run while this thread waits for it.
        body = list(step.body)
        self.ambient.saw(name_of(step.call), body, lane.readings)
        body.insert(max(len(body) - 2, 0), _Then(in_turn))
        self._stand(lane, step.end)
        lane.feeds.append(deque(body))

    def _nested(self, lane: Lane, described: Any) -> None:
        """Compare a call made inside a callback: those are compared one by one."""
        tag = self.read()
        recorded = plain(self.read()) if tag == "CALL" else None
        if recorded is None or name_of(recorded) != name_of(described):
            self._unanswered(lane, described, "a callback calls something else than it did")

    def _unanswered(self, lane: Lane, described: Any, why: str) -> None:
        where = application_line()
        lane.note("unanswered", None, _brief(described), where, why)
        self.leave()
        if lane.thread < settings.FIRST_THREAD and settings.CURRENT.alignment:
            with open(settings.CURRENT.alignment, "w") as report:  # noqa: PTH123 - as little as can be
                json.dump(self.told(), report)
        because = f": {why}" if why else ""
        what = f"the recording has no answer to the call {shown(described)}{because}"
        raise Diverged(protocol.QUESTION_NOT_RECORDED, what)

    def told(self) -> dict[str, Any]:
        """Return what each request that began did, beside what it did while recording.

        The threads that a request started are under its ``threads``. Of the application's other threads it is
        what they did before it served: what they do while it serves may be under way.
        """
        self._await_threads()
        found = {}
        lanes = tuple(self.lanes.values())
        requests = (one for one in lanes if one.thread >= settings.FIRST_THREAD and one.steps)
        serves_from = min((one.steps[0].at for one in requests), default=None)
        threads: list[Lane] = []
        for lane in lanes:
            if not lane.steps or not lane.ahead:
                continue
            if lane.thread < settings.FIRST_THREAD and lane.request is not None:
                threads.append(lane)
                continue
            until, made, left = None, lane.journal, lane.left
            if lane.thread < settings.FIRST_THREAD:
                until = serves_from
                made = lane.journal[: lane.at_start if self._has_served else None]
            elif not (left or lane.ended or lane.over):
                left = "open"  # under way; one that is over did all of a recording that was cut short
            found[str(lane.thread - settings.FIRST_THREAD)] = self._told_of(lane, made, left, until)
        for lane in threads:
            assert lane.request is not None
            owner = found.get(str(lane.request - settings.FIRST_THREAD))
            if owner is not None and lane.steps[-1].kind == "SYNC":  # it had ended while recording
                left = lane.left or ("" if lane.over else "open")
                owner["threads"].append(self._told_of(lane, lane.journal, left, None))
        return found

    @staticmethod
    def _told_of(lane: Lane, made: list[list[Any]], left: str, until: int | None) -> dict[str, Any]:
        recorded = [
            [index, *_brief(step.call), step.connection]
            for index, step in enumerate(lane.steps)
            if step.kind == "CALL" and (until is None or step.at < until)
        ]
        known = {one[0] for one in recorded}
        ops = [one for one in made if one[1] is None or one[1] in known]
        return {"recorded": recorded, "ops": ops, "left": left, "threads": []}

    def _await_threads(self) -> None:
        """Give threads that requests started, and that still run, a moment to end."""
        began = self._now()
        while self._now() - began < _LOST and any(
            one.request not in (None, one.thread) and one.begun and not one.over and not one.left
            for one in tuple(self.lanes.values())
        ):
            turn = LiveLock()
            turn.acquire()
            turn.acquire(True, 0.05)


class AlignedBindings(OrderedBindings):
    """Replaces :class:`OrderedBindings`: within a call it reads from the call's feed, otherwise nothing.

    Each bound object has its own number in :attr:`handles`, in addition to the recorded handle, because two
    objects may share a recorded handle if a call is answered twice.
    """

    _source: AlignedTape
    current: AlignedBindings

    def __init__(self, tape: AlignedTape) -> None:
        super().__init__(tape)
        self._bindings: Any = {}  # a handle may have several objects, so objects do not store it
        self.handles = {}
        self.recorded: dict[int, int] = {}
        """The recorded handle of each live object that has one, by its number."""
        self._objects: dict[int, Any] = {}  # kept alive, because they are identified by address
        self._next_number = count().__next__

    def bind(self, obj: object) -> None:
        """Bind *obj* as the recorded call did; objects created by the application have no recorded handle."""
        if not self._source.feeding():
            handle = self._source.next_binding()
            if handle is not None:
                self._bindings[handle] = obj
            self._number(self._next_number(), obj, "new")
            return
        value = self._peek_item(resolve=False)
        if not isinstance(value, engine_io._BindOpenEvent):
            raise ExpectedBindMarker(value)
        self._discard_peeked()
        self._bindings[value.index] = obj
        if not self._source.started:
            self._source.recorded[value.index] = f"first {value.index}"
            self._source.shared.add(value.index)
        number = self._next_number()
        self._source.note_made(number)
        self.recorded[number] = value.index
        self._number(number, obj, self._source.recorded.get(value.index, "new"))

    def _number(self, number: int, obj: object, made: str) -> None:
        self._objects[number] = obj
        self._source.live[number] = made
        self.handles[id(obj)] = number

    def forget_peeked(self) -> None:
        """Drop the peeked item: the start of the application, which has been reached."""
        self._buffers.clear()

    def unify(self, recorded: int, live: int) -> None:
        """Map a recorded object to the live object in its position."""
        self._bindings[recorded] = self._objects[live]
        self.recorded[live] = recorded

    def binding(self, live: int) -> stream.Binding:
        """Return what stands for a live object on the tape."""
        handle = self.recorded.get(live)
        if handle is None:
            handle = self._source.fresh_handle()
            self.unify(handle, live)
        return stream.Binding(handle)

    def delete_handle(self, handle: int) -> None:
        """Do nothing: a call that is answered again may need the binding."""


def _lock_of(described: Any) -> str:
    """Return the name of a lock that a thread waited for."""
    return described[1][1] if isinstance(described, tuple) else ""


def _made_by(step: Step) -> list[int]:
    """Return the handles of the objects that a call made."""
    return [one[1] for one in step.body if _is_bind_open(one)]


def _succeeded(body: list[Any]) -> bool:
    """Whether a call returned normally, and none of its callbacks made a call."""
    return _ends_with(body, "RESULT")


def _is_answer(body: list[Any]) -> bool:
    """Whether a call returned or raised, and none of its callbacks made a call."""
    return _ends_with(body, "RESULT") or _ends_with(body, "ERROR")


def _ends_with(body: list[Any], tag: str) -> bool:
    tags = _tags(body)
    return tags[-1:] == [tag] and set(tags) <= {tag, "CALLBACK", "CALLBACK_RESULT"}


def _tags(body: list[Any]) -> list[str]:
    """Return the engine's tags in the result of a call."""
    at, tags = 0, list[str]()
    while at < len(body):
        if isinstance(body[at], _At):
            tags += ("CALL" if body[at].waited else "TOOK",) if type(body[at]) is _Took else ()
        elif not _is_bind_open(body[at]):
            tags.append(str(body[at]))
            at += _VALUES.get(tags[-1], 0)
        at += 1
    return tags


def _brief(described: Any) -> list[str]:
    """Return the name of a call, its first text, and all of it as text."""
    return [name_of(described), text_of(described), shown(described)]
