"""Schedules as values: the written schedule is read back, and a script is a schedule too."""

from __future__ import annotations

import json

import pytest

from loadgen.core.schedules import (
    FIRST,
    Choice,
    Deadlock,
    Ended,
    Ran,
    parse,
    script,
    steps,
    users,
)
from loadgen.traced import choices, settings

HEAD = json.dumps({"format": "loadgen-schedule/1"}) + "\n"


def test_both_sides_agree_on_the_format() -> None:
    """What runs in the server, and may not be imported here, writes the format that is read here."""
    assert json.loads(HEAD)["format"] == choices.FORMAT
    assert settings.FIRST_THREAD == FIRST


def test_every_kind_of_line_is_read() -> None:
    """Choices, lines that ran, deadlocks, ends; a line of another kind is left out."""
    lines = [
        HEAD,
        '{"choice": "line", "thread": 1000004, "step": 9, "point": 6, "to": 1000001, "at": "app.py:8 f"}\n',
        '{"ran": 1000001, "step": 3, "at": "app.py:9 hit"}\n',
        '{"deadlock": [{"thread": 1000001, "at": "a.py:4 f", "holder": 1000002, "taken": "a.py:2 g"}]}\n',
        '{"end": 1000001, "label": "POST /hit", "steps": 12}\n',
        '{"new": 1}\n',
        '{"choice": "line", "thr',
    ]
    choice, ran, deadlock, ended = parse(lines)
    assert choice == Choice("line", 1000004, 9, 1000001, "app.py:8 f", 6)
    assert ran == Ran(1000001, 3, "app.py:9 hit")
    assert isinstance(deadlock, Deadlock)
    assert str(deadlock) == "request 1 at a.py:4 waits for a lock that request 2 took at a.py:2"
    assert ended == Ended(1000001, "POST /hit", 12)
    assert steps([choice, ended, Ended(3, "", 9), Ended(0, "", 99)]) == {"POST /hit": 12, "": 9}


def test_a_script_is_read_as_it_was_written() -> None:
    """The choices of a script are those that it was made of, whoever reads it."""
    made = [Choice("start", None, 0, FIRST + 1), Choice("line", FIRST + 1, 3, FIRST + 2, "app.py:1 f", 2)]
    lines = script(made, [1, 0]).splitlines(keepends=True)
    assert (parse(lines), users(lines)) == (made, [1, 0])
    assert users([HEAD]) == []
    for wrong in ("[]\n", '{"users": 3}\n', '{"users": ["a"]}\n', "", "{"):
        with pytest.raises(ValueError, match=r"\S"):
            users([wrong])


def test_what_is_no_schedule_is_refused() -> None:
    """Another format is never taken for this one."""
    with pytest.raises(ValueError, match="format"):
        parse(['{"format": "other"}\n'])
