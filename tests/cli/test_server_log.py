"""Quotes from a server's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen import protocol
from loadgen.engine.log import AFTER, LAST_WORDS, ending, first_message, last_words

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return where a log is."""
    return tmp_path / "server.log"


def test_first_message_and_the_lines_around_it(log: Path) -> None:
    """The first message of the engine counts, without colours, with some lines before and after it."""
    lines = [f"\x1b[35mline {number}\x1b[0m" for number in range(1, 31)]
    lines[9] = "Checkpoint difference: 1 was expecting 2"
    lines[12] = f"{protocol.LOG_LEFT}request 7: ..."
    log.write_text("\n".join(lines) + "\n")
    found = first_message(log)
    assert found is not None
    assert (found.line, found.first, len(found.lines)) == (10, 7, 3 + 1 + AFTER)
    assert found.lines[0] == "line 7"
    assert found.lines[3].startswith("Checkpoint difference")


@pytest.mark.parametrize("content", [None, "", "GET / 200\nTraceback of the application\n"])
def test_no_message(log: Path, content: str | None) -> None:
    """A log without one, or no log, has no first message."""
    if content is not None:
        log.write_text(content)
    assert first_message(log) is None


def test_crash_is_told_by_its_own_thread(log: Path) -> None:
    """Of the threads listed by a crash, the crashed one is quoted."""
    log.write_text(
        "GET / 200\nFatal Python error: Segmentation fault\n\n"
        "Thread 0x01 (most recent call first):\n  File other.py, line 1 in wait\n\n"
        "Current thread 0x02 (most recent call first):\n  File here.py, line 2 in crash\n\n"
        "Thread 0x03 (most recent call first):\n  File main.py, line 3 in main\n\nExtension modules: x\n"
    )
    assert last_words(log) == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x02 (most recent call first):",
        "  File here.py, line 2 in crash",
    ]


def test_last_lines_where_nothing_crashed(log: Path) -> None:
    """Any other end is reported by the last lines."""
    log.write_text("".join(f"{number}\n" for number in range(50)))
    assert last_words(log) == [str(number) for number in range(50 - LAST_WORDS, 50)]
    assert last_words(log.with_name("none")) == []


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, "exit code 0"), (3, "exit code 3"), (-11, "killed by SIGSEGV"), (-40, "killed by signal 40")],
)
def test_ending(code: int, told: str) -> None:
    """A signal is reported by its name, if it has one."""
    assert ending(code) == told


def test_a_crash_that_shared_connections_explain(tmp_path: Path) -> None:
    """A server that opened an SQLite connection for several threads may have crashed for that; others not."""
    log = tmp_path / "server.log"
    note = f"{protocol.LOG_SHARED}:memory:\n"
    crash = "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1:\n  File x\n\n"
    log.write_text(note + "serving\n" + crash)
    words = last_words(log)
    assert words[0] == "Fatal Python error: Segmentation fault"
    assert words[-1].startswith("The server opened an SQLite connection to :memory: for several threads.")
    log.write_text(note + "serving\n")
    assert last_words(log) == [note.rstrip(), "serving"]
    log.write_text("serving\n" + crash)
    assert "SQLite" not in "".join(last_words(log))


def test_frames_beneath_the_application_are_left_out(tmp_path: Path) -> None:
    """Of a traceback the user sees the frames of the application, unless the engine or loadgen raised it."""
    log = tmp_path / "server.log"
    above = [
        "Traceback (most recent call last):",
        '  File "/env/lib/retracesoftware/run.py", line 107, in run_python_command',
        '    runpy.run_path(script_path, run_name="__main__")',
        '  File "<frozen runpy>", line 291, in run_path',
        '  File "/src/loadgen/traced/gaps/imports.py", line 56, in execute_module',
        "    execute(code, namespace, names)",
        "    ^^^^^^^^",
    ]
    own = ['  File "/shop/app.py", line 4, in <module>', '    app.secret_key = os.environ["SECRET_KEY"]']
    end = ['  File "<frozen os>", line 679, in __getitem__', "KeyError: 'SECRET_KEY'"]
    log.write_text("\n".join((*above, *own, *end)))
    assert last_words(log) == [above[0], *own, end[1]]
    log.write_text("\n".join((*above, end[1])))
    assert last_words(log) == [above[0], *above[4:], end[1]]
    log.write_text("\n".join((*above, *own, *end, "", "During handling:", "", *above, *own, "ValueError")))
    assert last_words(log)[-4:] == [above[0], *own, "ValueError"]
