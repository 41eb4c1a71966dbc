"""Progress: how far a session is, if known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.cli.console import TextConsole
from loadgen.cli.progress import Progress
from loadgen.core.events import Figures, Note, Stage, Story

if TYPE_CHECKING:
    import pytest


def test_what_is_left_is_shown_where_it_is_known() -> None:
    """With a duration: the remaining time, never below zero; with a list: the total number of requests."""
    progress = Progress(quiet=True)

    def shown(figures: Figures) -> str:
        progress(figures)
        return progress._render().plain

    progress(Stage(what="recording"))
    assert progress._render().plain == "recording …"
    assert shown(Figures(elapsed=12.0, until=30.0)) == "recording …  18 s left"
    late = shown(Figures(elapsed=32.0, requests=64, until=30.0))
    assert late.startswith("recording …  0 s left  64 requests  2/s  ")
    counted = shown(Figures(elapsed=2.0, requests=64, total=100))
    assert counted.startswith("recording …  64/100 requests  32/s  ")


def test_output_of_a_client_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A long line is passed on as it is, markup included: it may be a path, or JSON that is piped on."""
    line = '{"path": "/' + "long/" * 60 + '", "[bold]": 1}'
    Progress(quiet=False)(Story(line=line))
    assert capsys.readouterr().err == f"{line}\n"


def test_names_of_the_user_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A colon in the name of a target, or a bracket in that of a file, is neither emoji nor markup."""
    line = "shop:factory: requesting each path of [bold]x"
    Progress(quiet=False)(Note(line=line))
    assert capsys.readouterr().err == f"{line}\n"
    console = TextConsole()
    console.print(line)
    assert console.text() == line
