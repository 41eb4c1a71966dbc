"""The tape of changed code, without an engine."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from loadgen.traced import aligned
from loadgen.traced.aligned import AlignedTape
from loadgen.traced.lanes import Lane
from loadgen.traced.settings import FIRST_THREAD

if TYPE_CHECKING:
    import pytest


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
