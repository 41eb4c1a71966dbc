"""The scheduler of ``explore``: while recording, a strategy chooses the thread that runs next.

As with :class:`loadgen.traced.turn.Turn`, one thread at a time runs traced code, so the order of the threads'
steps is the order of execution. Here a strategy chooses the next thread among those that are *ready*:

- A thread that enters a call keeps the turn for a moment (:data:`HOLD`). Most calls are over by then, so the
  set of ready threads does not depend on the machine. A longer call is *slow*, and recorded as such.
- A thread that fails to take a lock gives up its turn at once. It is ready when the thread that has the turn
  releases the lock.
- Requests are *gathered*: while fewer requests are open than there are virtual users, the scheduler waits a
  little for more, so that it has a choice.
- At a point in the application's own code, a switch is recorded as two marks on the tape: "stopped here" and
  "continues". If there is no switch, nothing is written.

Decisions that depend on time (a slow call, a thread that does not arrive, a thread that waits off the tape)
are made by a separate thread, which checks every few milliseconds while some thread waits for its turn.
"""

from __future__ import annotations

import _thread
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.tape import LiveLock
from loadgen.traced.turn import STALLED, OwnerState, has_stalled, look, lost
from loadgen.traced.waiting import WaitGraph, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from loadgen.traced.strategies import Strategy
    from loadgen.traced.waiting import Wait

HOLD = 0.02
"""Seconds for which a thread in a call keeps the turn."""
SCRIPTED_HOLD = 2.0
"""The same if a script names the slow calls."""
GATHERING = 0.25
"""Seconds to wait for the first requests of all virtual users."""
WINDOW = 0.04
"""Seconds to wait for the next request of each of them."""
COMING = 3.0
"""Seconds to wait for a thread that a script names."""
EARLY = 0.5
"""The same if it is a request whose virtual user still waits for an answer."""
TOO_LONG = 5.0
"""Seconds without a step that may wait, after which a point in the code ends the turn."""
STARVED, OFTEN = 1.0, 10
"""Seconds in which no thread began or ended, and number of calls of others, after which the thread that has
been ready for longest continues: they may wait for it in a loop."""
SCRIPTED_STARVED = 5.0
"""The same seconds if a script says who continues."""
NEXT_STARVED = 0.1
"""The same until the next one of them: the first may only wait, too."""
POLL = 0.004
RETRY = (0.005, 0.1)
"""First and longest interval, in seconds, at which a thread retries a lock, which may be released off the
tape."""
STILL = 1.0
"""Seconds without progress after which a thread that waits for its own lock is deadlocked."""


class Deadlock(RuntimeError):  # noqa: N818 - what it is called
    """Threads of the application wait for each other's locks; raised in the one that closes the cycle."""


class _Blocked(NamedTuple):
    lock: int
    until: float | None
    mine: LiveLock


class _Thread:
    """State of a running thread."""

    __slots__ = ("entered", "ident", "label", "native", "steps")

    def __init__(self, ident: int, native: int, label: str, entered: int) -> None:
        self.ident = ident
        self.native = native
        self.label = label
        self.entered = entered
        self.steps = 0


class ChosenTurn:
    """The right to run traced code; the strategy chooses who gets it.

    *thread_id* returns the calling thread's number, *location* the application's line of a frame, *add*
    writes an entry of the schedule. With *trace*, each line that runs is written too.
    """

    def __init__(
        self,
        strategy: Strategy,
        thread_id: Callable[[], int],
        location: Callable[[FrameType | None], str],
        add: Callable[[dict[str, Any]], None],
        *,
        users: int,
        scripted: bool = False,
        trace: bool = False,
    ) -> None:
        self.strategy = strategy
        self.trace = trace
        self._thread_id = thread_id
        self._location = location
        self._add = add
        self._scripted = scripted
        self._hold = SCRIPTED_HOLD if scripted else HOLD
        self._starved = self._starves_after = SCRIPTED_STARVED if scripted else STARVED
        self._users = self._expected = max(1, users)
        self._gathered = False
        self._mutex = LiveLock()
        self._threads: dict[int, _Thread] = {}
        self._labels: dict[int, str] = {}
        self._over: set[int] = set()
        self._entered = 0
        self._requests = 0
        self._owner: int | None = None
        self._outside = False
        self._since = 0.0
        self._progress, self._calls = time.monotonic(), 0
        """When a thread last began or ended, or a starved one went on; and the number of calls since."""
        self._why: tuple[int | None, int, str] = (None, 0, "start")
        """While no thread has the turn: the thread that gave it up, its step, and the reason."""
        self._wanted: tuple[int, float] | None = None
        self._ready: dict[int, LiveLock] = {}
        self._away: set[int] = set()
        self._blocked: dict[int, _Blocked] = {}
        self._locks = WaitGraph()
        self._looked = 0.0
        """When an owner was last looked at that had not given up its turn for long."""
        self._seen: OwnerState | None = None
        """Its state by then; the number of its steps is that of the turn."""
        # The originals, captured before the engine replaces them.
        self._now = time.monotonic
        self._frames = sys._current_frames
        self._frame = sys._getframe
        self._ident = _thread.get_ident
        self._native = _thread.get_native_id
        self._start = _thread.start_new_thread
        self._say = sys.stderr.write
        self._alarm = LiveLock()
        self._alarm.acquire()
        self._watching = self._awake = False

    # ---- actions of the running thread -------------------------------------------------------------------

    def announce(self, thread: int, label: str) -> None:
        """Set the label of *thread*, which is about to begin."""
        self._labels[thread] = label

    def enter(self) -> None:
        """Take the turn, after a call or at the beginning of a thread."""
        me = self._thread_id()
        if self._owner == me and not self._outside:
            return
        with self._mutex:
            thread = self._open(me)
            self._away.discard(me)
            thread.steps += 1
            self._calls += 1
            if self._owner == me:
                self._outside, self._since = False, self._now()
                starving, ready = self._starving(), sorted(self._ready)
                to = self.strategy.here(me, thread.steps, "call", ready) if starving is None else starving
                mine = self._hand_over(me, thread, to, "call", "", 0)
            else:
                mine = self._park(me)
                if self._owner is None:
                    self._pick()
        self._wait(mine)

    def leave(self) -> None:
        """Enter a call; the thread keeps the turn for a moment."""
        me = self._thread_id()
        if self._owner != me:
            return
        with self._mutex:
            self._outside, self._since = True, self._now()
            steps = self._threads[me].steps
            if self.strategy.is_slow(me, steps) and (self._ready or self._scripted):
                self._away.add(me)
                self._give_up(me, "slow")

    def gone(self) -> None:
        """End the thread's part: it is over, or leaves traced code for a long time."""
        me = self._thread_id()
        with self._mutex:
            thread = self._threads.pop(me, None)
            if thread is None:
                return
            self._over.add(me)
            self._requests -= me >= FIRST_THREAD
            self._away.discard(me)
            self._ready.pop(me, None)
            self._went_on()
            self.strategy.ended(me, thread.steps)
            self._add({"end": me, "label": thread.label, "steps": thread.steps})
            if self._owner == me:
                self._give_up(me, "end", thread.steps)

    def point(self, kind: str, number: int, at: Callable[[], str], mark: Callable[[], object]) -> None:
        """Switch threads, if so chosen, at point *number* of this thread in the application's own code.

        Called for every line that runs, so work that only a switch needs comes last. *mark* writes a mark to
        the tape.
        """
        me = self._thread_id()
        thread = self._threads.get(me)
        if thread is None:
            return
        thread.steps += 1
        if self.trace:
            self._add({"ran": me, "step": thread.steps, "at": at()})
        has_turn = self._owner == me
        if has_turn and not self.strategy.stops(me, thread.steps) and not self._is_overdue():
            return
        if has_turn:
            with self._mutex:
                to = self.strategy.here(me, thread.steps, kind, sorted(self._ready))
                if to == me and self._is_overdue():
                    self.strategy.starved(next(iter(self._ready)))
                    to = self.strategy.after(me, thread.steps, kind, sorted(self._ready))
                if to == me or not self._can_come(to):
                    return
        mark()
        with self._mutex:
            if has_turn:
                parked = self._hand_over(me, thread, to, kind, at(), number)
            else:  # it waited off the tape and lost its turn, so it has to wait for it here
                self._note(me, thread.steps, "off", self._owner, at(), number)
                parked = self._park(me)
                if self._owner is None:
                    self._pick()
        self._wait(parked)
        mark()

    def _is_overdue(self) -> bool:
        return bool(self._ready) and self._now() - self._since > TOO_LONG

    # ---- locks -------------------------------------------------------------------------------------------

    def acquire(
        self,
        lock: object,
        attempt: Callable[..., bool],
        blocking: bool = True,  # noqa: FBT001, FBT002 - as the lock's own method has it
        timeout: float = -1,
        *,
        signal: bool = False,
    ) -> bool:
        """Take *lock* with its method *attempt*; called outside the trace, with the turn.

        With *signal*, another thread will release the lock, so it has no holder.

        Raises:
            Deadlock: this closes a cycle of waiting threads.
        """
        me, name = self._thread_id(), id(lock)
        until = None if timeout < 0 else self._now() + timeout
        got = attempt(False)
        while not got:
            if not blocking or (until is not None and self._now() >= until):
                return False
            mine = self._block(me, name, until)
            try:
                got = self._await(me, mine, attempt, until) or attempt(False)
            finally:
                with self._mutex:
                    self._locks.goes_on(me)
                    self._outside = self._outside or self._owner == me  # still in the call
        entered_again = hasattr(lock, "_is_owned") and self._locks.holder(name) == me  # an RLock
        if not (signal or entered_again):
            self._locks.took(me, name, self._location(self._frame(1)))
        return True

    def released(self, lock: object) -> None:
        """Note that a thread released *lock*: threads that wait for it are ready."""
        name = id(lock)
        with self._mutex:
            self._locks.released(name)
            for thread, wait in tuple(self._blocked.items()):
                if wait.lock == name:
                    self._unblock(thread)

    def _block(self, me: int, lock: int, until: float | None) -> LiveLock:
        with self._mutex:
            location = self._where(me)
            circle = self._locks.waits(me, lock, location, for_ever=until is None)
            if circle:
                self._locks.goes_on(me)
                self._deadlock(circle)
            mine = LiveLock()
            mine.acquire()
            self._blocked[me] = _Blocked(lock, until, mine)
            self._wake_watch()
            if self._owner == me:
                self._give_up(me, "lock")
        return mine

    def _await(self, me: int, mine: LiveLock, attempt: Callable[..., bool], until: float | None) -> bool:
        """Wait until the lock may be free or the time-out has passed, and it is this thread's turn.

        Return whether the thread has the lock: a lock released off the tape is taken at once.
        """
        got, rest = False, RETRY[0]
        while not mine.acquire(True, rest):
            rest = min(2 * rest, RETRY[1])
            with self._mutex:
                wait = self._blocked.get(me)
                if wait is None:
                    continue
                if alone := self._is_still() and self._locks.alone(me):
                    del self._blocked[me]
                    self._owner, self._outside = me, True
                    self._deadlock(alone)
                is_over = until is not None and self._now() >= until
                got = not is_over and self._locks.holder(wait.lock) is None and attempt(False)
                if is_over or got:
                    self._unblock(me)
                    if self._owner is None:
                        self._pick()
        return got

    def _unblock(self, thread: int) -> None:
        wait = self._blocked.pop(thread)
        self._ready[thread] = wait.mine
        self._wake_watch()

    def _is_still(self) -> bool:
        """Whether all threads have waited for locks for long: none runs, is ready, or is in a call."""
        idle = self._owner is None and not self._ready and not self._away
        return idle and self._now() - self._since > STILL

    def _deadlock(self, circle: list[Wait]) -> None:
        self._add({"deadlock": [
            {"thread": wait.thread, "at": wait.location, "holder": wait.holder, "taken": wait.taken}
            for wait in circle
        ]})  # fmt: skip
        raise Deadlock(f"deadlock: {told(circle, FIRST_THREAD)}")

    def _where(self, thread: int) -> str:
        if thread not in self._threads:
            return ""
        ident = self._threads[thread].ident
        # Frames of other threads only if need be: they stay alive for as long as they are referred to here.
        mine = ident == self._ident()
        return self._location(self._frame(1) if mine else self._frames().get(ident))

    # ---- under the mutex ---------------------------------------------------------------------------------

    def _open(self, me: int) -> _Thread:
        thread = self._threads.get(me)
        if thread is None:
            self._entered += 1
            text = self._labels.pop(me, "")
            thread = self._threads[me] = _Thread(self._ident(), self._native(), text, self._entered)
            self._over.discard(me)
            self._went_on()
            self._requests += me >= FIRST_THREAD
            self._expected = max(self._expected, min(self._users, self._requests))
            self.strategy.began(me, text)
        return thread

    def _can_come(self, to: int) -> bool:
        """Whether *to* is ready or may become so: it is in a call, or a request that has not arrived yet."""
        if to in self._ready or not self._scripted:
            return to in self._ready
        return to not in self._over and to not in self._blocked and to != self._owner

    def _hand_over(
        self, me: int, thread: _Thread, to: int, kind: str, at: str, point: int
    ) -> LiveLock | None:
        """Pass the turn from *me* to *to*, and return the lock to wait for; None if *me* continues."""
        if to == me or not self._can_come(to):
            return None
        self._note(me, thread.steps, kind, to, at or self._where(me), point)
        mine = self._park(me)
        if to in self._ready:
            self._give(to)
        else:
            self._owner, self._outside = None, False
            self._await_thread(to)
        return mine

    def _await_thread(self, to: int) -> None:
        self._wanted = (to, self._now() + (EARLY if self.strategy.is_early(to) else COMING))

    def _give_up(self, me: int, kind: str, steps: int = 0) -> None:
        """Let another thread continue, because *me* cannot."""
        self._owner, self._outside = None, False
        self._since = self._now()
        self._why = (me, steps or self._threads[me].steps, kind)
        self._pick()

    def _pick(self) -> None:
        """Give the free turn to a thread, or leave it free until more threads have arrived."""
        if not self._ready:
            return
        now = self._now()
        if self._wanted is not None:
            to, until = self._wanted
            if to not in self._ready and now < until and to not in self._over:
                return
            self._wanted = None
            if to in self._ready:
                self._give(to)
                return
            self.strategy.missed(to)
        elif self._is_gathering(now):
            return
        me, step, kind = self._why
        starving = self._starving()
        ready = sorted(self._ready)
        to = self.strategy.after(me, step, kind, ready) if starving is None else starving
        if to not in self._ready:
            if self._can_come(to):
                self._await_thread(to)
                return
            to = min(self._ready, key=lambda one: self._threads[one].entered)
        at = "" if me is None or kind == "end" else self._where(me)
        self._note(me, step, kind, to, at, 0)
        self._why = (None, 0, "start")
        self._give(to)

    def _starving(self) -> int | None:
        """Return the thread that has been ready for longest, if the others may wait for it in a loop."""
        if not self._ready or self._calls < OFTEN or self._now() - self._progress < self._starved:
            return None
        self._went_on()
        self._starved = NEXT_STARVED
        longest = next(iter(self._ready))
        self.strategy.starved(longest)
        return longest

    def _went_on(self) -> None:
        self._progress, self._calls, self._starved = self._now(), 0, self._starves_after

    def _is_gathering(self, now: float) -> bool:
        if not self._requests:
            return False
        if self._gathered and self._scripted:
            return False
        window = WINDOW if self._gathered else GATHERING
        if self._requests < self._expected and now - self._since < window:
            return True
        self._expected = max(1, self._requests)
        self._gathered = True
        return False

    def _give(self, to: int) -> None:
        self._owner, self._outside, self._since = to, False, self._now()
        self._ready.pop(to).release()

    def _park(self, me: int) -> LiveLock:
        mine = LiveLock()
        mine.acquire()
        if self._owner is None and not self._ready:
            self._since = self._now()
        self._ready[me] = mine
        self._wake_watch()
        return mine

    def _note(self, me: int | None, step: int, kind: str, to: int | None, at: str, point: int) -> None:
        entry: dict[str, Any] = {"choice": kind, "thread": me, "step": step, "to": to}
        if point:
            entry["point"] = point
        self._add({**entry, "at": at} if at else entry)

    def _wait(self, mine: LiveLock | None) -> None:
        if mine is not None:
            mine.acquire()

    # ---- decisions that depend on time -------------------------------------------------------------------

    def _wake_watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._start(self._watch, ())
        if not self._awake:
            self._awake = True
            self._alarm.release()

    def _watch(self) -> None:
        rest = LiveLock()
        rest.acquire()
        while True:
            self._alarm.acquire()
            while True:
                rest.acquire(True, POLL)
                with self._mutex:
                    if not self._ready:
                        self._awake = False
                        break
                    self._look()

    def _look(self) -> None:
        """Make the decisions that depend on time; called while some thread waits for its turn."""
        owner, now = self._owner, self._now()
        if owner is None:
            self._pick()
        elif self._outside and now - self._since > self._hold:
            self._away.add(owner)
            self._give_up(owner, "slow")
        elif not self._outside and now - max(self._since, self._looked) > STALLED:
            thread = self._threads[owner]
            before, self._looked = self._seen, now
            self._seen = look((thread.steps, thread.native))
            if before is not None and has_stalled(before, self._seen):
                self._say(lost(self._where(owner)))
                self._give_up(owner, "off")
