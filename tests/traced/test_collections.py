"""When garbage is collected: decided by what a collection costs, and by how the process grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from loadgen.traced.gaps import collector
from loadgen.traced.gaps.collector import GROWTH, LOOK_EVERY, RARITY, Collections


@dataclass
class Process:
    """What the decision depends on."""

    now: float = 0.0
    takes: float = 1.0
    """Seconds of a collection."""
    pages: int = 1000
    collected: int = 0

    def collect(self) -> int:
        self.now += self.takes
        self.collected += 1
        return 0

    def collections(self) -> Collections:
        class Simulated(Collections):
            _now = staticmethod(lambda: self.now)
            _collect = staticmethod(self.collect)
            _open = staticmethod(lambda *_: -1)
            _read = staticmethod(lambda *_: b"5000 %d 100" % self.pages)

        made: Any = Simulated()
        return made  # type: ignore[no-any-return]

    def serve(self, collections: Collections, requests: int, cost: float) -> None:
        """Serve some requests one after the other."""
        for _ in range(requests):
            collects = collections.next()
            self.now += cost
            if collects:
                collections.collect()


def test_switched_off_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is switched from then on shows, and does nothing."""
    told = list[str]()

    class Gc:
        isenabled: Any
        disable = enable = isenabled = staticmethod(lambda: told.append("stock"))

    monkeypatch.setattr(collector, "gc", Gc)
    collector.switch_off()
    shown = [Gc.isenabled()]
    for switch in (Gc.disable, Gc.enable):
        switch()
        shown.append(Gc.isenabled())
    assert (shown, told) == ([True, False, True], ["stock"])


@pytest.mark.slow
def test_collections_are_a_fixed_share_of_the_work() -> None:
    """However long a collection takes, so many requests share its cost; none is put off for ever."""
    for takes in (0.001, 0.3, 20.0):
        process = Process(takes=takes)
        process.serve(process.collections(), 200_000, 0.004)
        share = process.collected * takes / process.now
        assert 0 < share < 1 / RARITY + takes / process.now
        assert share > 0.5 / RARITY


def test_what_is_small_is_collected_at_once() -> None:
    """Where a collection costs next to nothing, nearly each request makes one."""
    process = Process(takes=0.00001)
    process.serve(process.collections(), 100, 0.004)
    assert process.collected >= 50


def test_one_request_at_a_time_is_asked() -> None:
    """While the request that shall collect is under way, others do not: the next is due after one's cost."""
    process = Process(takes=0.3)
    collections = process.collections()
    process.serve(collections, 1, 0.004)
    process.now += 0.3 * RARITY
    assert [collections.next() for _ in range(50)] == [True, *[False] * 49]
    process.now += 0.3 * RARITY  # it takes for ever
    assert collections.next()


def test_a_process_that_grows_is_collected_earlier() -> None:
    """Garbage is in proportion to what is alive: what grows by a part of its size is collected."""
    process = Process(takes=1000.0)
    collections = process.collections()
    process.serve(collections, 3 * LOOK_EVERY, 0.0)
    assert process.collected == 1
    process.pages = int(process.pages * GROWTH) + 1
    process.serve(collections, LOOK_EVERY, 0.0)
    assert process.collected == 2
    process.serve(collections, 3 * LOOK_EVERY, 0.0)
    assert process.collected == 2
