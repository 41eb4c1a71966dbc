"""When a recording repeats the preemptions of a script, and when it is another one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadgen.core.schedules import FIRST, Choice
from loadgen.hunt.races.narrowing import as_made, made_again

STOP = Choice("line", FIRST + 1, 4, FIRST + 2, "app.py:9 new")
CALL = Choice("call", FIRST + 1, 4, FIRST + 2)
"""The same step, where the location is not known: in a call outside the application's files."""


@pytest.mark.parametrize(
    ("asked", "made", "is_repeated"),
    [
        ([STOP], [STOP], True),
        ([CALL], [STOP], True),
        ([STOP], [replace(STOP, at="app.py:12 old")], False),
        ([STOP], [replace(STOP, step=5)], False),
        ([STOP], [], False),
        ([], [STOP], True),
        ([STOP], [replace(STOP, thread=FIRST + 2), STOP], True),
        ([replace(STOP, kind="start")], [], True),
    ],
)
def test_a_recording_repeats_what_was_asked(
    asked: list[Choice],
    made: list[Choice],
    is_repeated: bool,  # noqa: FBT001
) -> None:
    """Each preemption at its step, and at its location if that is known; others do not matter."""
    assert made_again(asked, made) is is_repeated


def test_a_preemption_is_told_as_it_was_made() -> None:
    """Its location comes from the recording, so that the explanation has a line; what it asked for stays."""
    made = replace(STOP, to=FIRST + 3)
    assert as_made(CALL, [replace(STOP, step=1), made]) == STOP
    assert as_made(CALL, []) == CALL
