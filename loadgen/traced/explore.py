"""The schedule ``explore``: choosing threads while recording, and repeating the preemptions in a replay.

The settings are :attr:`loadgen.traced.settings.Settings.explore`::

    strategy   for loadgen.traced.strategies.make: random:0.1, pct:3, pause:2, script, none
    seed       of the strategy's choices
    points     lines, calls or none; see loadgen.traced.points
    code       folder of the application's code, where the points are
    log        file of the choices, written while recording and read in a replay
    users      number of virtual users, which is the number of requests to gather
    script     with the strategy script: file of the choices to repeat
    measured   number of steps of each kind of request, by its label
    trace      whether to write each line that runs
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from retracesoftware import utils
from retracesoftware.proxy.typeutils import modify

from loadgen.traced import choices, points, settings
from loadgen.traced.chosen import ChosenTurn
from loadgen.traced.strategies import label, make

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["install", "label", "see_releases", "taking"]

_TRACED = "internal"
_SIGNALS = (threading.__file__, "wait")
"""File and function in which a lock is taken that another thread will release: in a condition."""


def install(system: Any) -> ChosenTurn | None:
    """While recording, install the scheduler and return it; in a replay, repeat the recorded preemptions."""
    wanted = settings.CURRENT.explore
    locations = points.Locations(wanted["code"], settings.CURRENT.packages)
    gate = system.gate.get

    def mark() -> None:
        system.sync()  # not yet imported here

    def is_traced() -> bool:
        return bool(gate() == _TRACED)

    if system.retrace_mode != "record":
        if not settings.CURRENT.aligned:  # changed code has different points
            _repeat(wanted, locations, is_traced, system.thread_id, mark)
        return None
    users = int(wanted.get("users", 1))
    strategy = make(
        wanted["strategy"],
        int(wanted.get("seed", 1)),
        wanted.get("measured", {}),
        choices.script(wanted["script"], users) if wanted.get("script") else None,
    )
    about = {name: wanted.get(name) for name in ("strategy", "seed", "points")}
    turn = ChosenTurn(
        strategy,
        system.thread_id,
        locations.innermost,
        choices.Log(wanted["log"], {**about, "first": settings.FIRST_THREAD}).add,
        users=users,
        scripted=wanted["strategy"] == "script",
        trace=bool(wanted.get("trace")),
    )

    def at(kind: str, number: int, where: Callable[[], str]) -> None:
        turn.point(kind, number, where, mark)

    points.install(wanted["points"], locations, is_traced, system.thread_id, at)
    system.loadgen_chosen = turn
    return turn


def _repeat(
    wanted: dict[str, Any],
    locations: points.Locations,
    is_traced: Callable[[], bool],
    thread: Callable[[], int],
    mark: Callable[[], None],
) -> None:
    """Reproduce the two marks of each recorded preemption at their points."""
    recorded = choices.preempted(wanted["log"])
    if not recorded:
        return

    def at(kind: str, number: int, where: Callable[[], str]) -> None:
        del kind, where
        if number in recorded.get(thread(), ()):
            mark()
            mark()

    points.install(wanted["points"], locations, is_traced, thread, at)


def taking(turn: ChosenTurn, attempt: Callable[..., bool], *how: Any) -> Callable[[], bool]:
    """Return a function that takes a lock with *attempt*; call it outside the trace, on the same thread."""
    lock = attempt.args[0]  # type: ignore[attr-defined]
    caller = sys._getframe(3).f_code
    return partial(turn.acquire, lock, attempt, *how, signal=(caller.co_filename, caller.co_name) == _SIGNALS)


def see_releases(kind: Any, turn: ChosenTurn | None, is_traced: Callable[[], bool]) -> None:
    """Notify *turn* of each lock of *kind* that traced code releases.

    A replay has no turn but gets the same functions, because a call of a built-in one would be a point.
    """
    give = kind.release

    def release(lock: Any, *exc_info: object) -> None:
        del exc_info
        give(lock)
        if turn is not None and is_traced() and not (hasattr(lock, "_is_owned") and lock._is_owned()):
            turn.released(lock)

    utils.exclude_from_stacktrace(release)
    with modify(kind):
        kind.release = kind.__exit__ = release
        if hasattr(kind, "release_lock"):
            kind.release_lock = release
        if hasattr(kind, "_release_save"):
            save = kind._release_save

            def release_save(lock: Any) -> Any:
                state = save(lock)
                if turn is not None and is_traced():
                    turn.released(lock)
                return state

            kind._release_save = release_save
