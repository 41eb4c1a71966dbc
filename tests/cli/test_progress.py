"""Progress: how far a session is, where that can be known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadgen.cli.show import Progress
from loadgen.core.latency import Histogram

if TYPE_CHECKING:
    import pytest


@dataclass
class Figures:
    """The figures of a session, as a test wants them."""

    elapsed: float
    requests: int = 0
    failures: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)


def test_what_is_left_is_shown_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """With a duration the time that is left, never less than none; with a list, of how many requests."""
    progress = Progress(quiet=True)
    progress.stage("recording")
    assert progress._render().plain == "recording …"
    progress.journal(Figures(12.0), None, until=30.0)
    assert progress._render().plain == "recording …  18 s left"
    progress.journal(Figures(32.0, requests=64), None, until=30.0)
    assert progress._render().plain.startswith("recording …  0 s left  64 requests  2/s  ")
    progress.journal(Figures(2.0, requests=64), 100)
    assert progress._render().plain.startswith("recording …  64/100 requests  32/s  ")
