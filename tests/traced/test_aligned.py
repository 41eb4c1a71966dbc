"""The tape of changed code, without an engine."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import retracesoftware.proxy.io as engine_io

from loadgen.traced import aligned
from loadgen.traced.aligned import AlignedBindings, AlignedTape
from loadgen.traced.lanes import Lane
from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.tape import OrderedBindings, TapeTurns


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made here is not the process's tape for the tests that follow."""
    for kind in (TapeTurns, OrderedBindings):
        monkeypatch.setattr(kind, "current", None, raising=False)


def test_a_request_has_one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its own thread and one that reads ahead see it first at the same moment."""
    both, found = threading.Barrier(2), list[Lane]()

    def made(*args: Any) -> Lane:
        both.wait(10)
        return Lane(*args)

    monkeypatch.setattr(aligned, "Lane", made)
    tape = AlignedTape(lambda: None, thread_id=lambda: FIRST_THREAD, initial_thread_id=0)
    tape.counts = lambda number: SimpleNamespace(call=number)
    threads = [
        threading.Thread(target=lambda number=number: found.append(tape.lane(number)))
        for number in (None, FIRST_THREAD)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] is found[1] is tape.lane()


def test_objects_have_their_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that two requests bind at the same moment."""
    tape = AlignedTape(lambda: None, thread_id=lambda: FIRST_THREAD, initial_thread_id=0)
    bindings = AlignedBindings(tape)
    both, noted = threading.Barrier(2), dict[int, str]()

    def note_made(number: int) -> None:
        noted[number] = threading.current_thread().name
        both.wait(10)

    tape.started = True
    monkeypatch.setattr(tape, "feeding", lambda: True)
    monkeypatch.setattr(tape, "note_made", note_made)
    monkeypatch.setattr(bindings, "_peek_item", lambda **_: engine_io._BindOpenEvent(7))
    monkeypatch.setattr(bindings, "_discard_peeked", lambda: None)
    made = [object(), object()]
    threads = [threading.Thread(target=bindings.bind, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(noted) == len({bindings.handles[id(one)] for one in made}) == len(made)
