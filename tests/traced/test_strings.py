"""Strings on the tape are read back as they were written, however many there are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.traced.strings import LONGEST, REMEMBERED, ROOM, Strings

SCRIPT = """
import json, sys
from retracesoftware import stream
from loadgen.traced import strings

path, safe, count = sys.argv[1], sys.argv[2] == "True", int(sys.argv[3])
if safe:
    strings.reserve_the_first_strings()
written = strings.TAPE.written if safe else lambda value: value
writer = stream.writer(path=path, thread=lambda: 1, format="unframed_binary", preamble={"of": "a test"})
for number in range(count):
    writer.write(written(f"string {number}"))
late = ["", "x", "user_id", "ERROR", sys.intern("select 1"), "é", sys.intern("日")]
late.append(("user_id", ["x"], {"title": ""}))
for _ in range(3):
    for one in late:
        writer.write(written(one))
writer.__exit__(None, None, None)
reader = stream.TapeReader(path, 1, False, stream.read_process_info(path, raw=True)[1])
found = []
try:
    while True:
        one = reader()
        if not isinstance(one, stream.Heartbeat) and not str(one).startswith("string "):
            found.append(one)
except RuntimeError:
    pass  # the end
print(json.dumps(found == late * 3))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("safe", "count", "expected"), [(False, 70_000, False), (True, 70_000, True), (True, 0, True)]
)
def test_late_strings(tmp_path: Path, safe: bool, count: int, expected: bool) -> None:  # noqa: FBT001
    """After 65,536 strings, the engine alone reads interned strings that are new back as others."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "tape"), str(safe), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (json.dumps(expected), "")


def test_what_is_written_is_equal_and_not_shared() -> None:
    """Early and late, copies are equal; late strings are new objects, but for those that are stored once."""
    strings = Strings()
    once = strings.once("select 1")
    value = [("user_id", 1), {"title": None, "rows": ["é", "日", ""]}, {1}, bytearray(b"x")]
    for _ in range(2):
        assert strings.written(value) == value
        for number in range(ROOM):
            strings.written(f"string {number}")
    late = "user_id"
    assert strings.written(late) is not late
    assert strings.written("SELECT 1".lower()) is once
    assert strings.once("another") == "another"


def test_a_string_that_comes_again_is_stored_once() -> None:
    """The engine's reader keeps each string that was written in full, so a replay would grow with them."""
    strings = Strings()
    texts = ["GET", "/api/stats", "x" * LONGEST]
    given = [tuple(text.encode().decode() for text in texts) for _ in range(3)]
    first, second, third = (strings.written(one) for one in given)
    assert first == second == third == tuple(texts)
    assert [a is b for a, b in zip(second, third, strict=True)] == [True, True, False]
    for number in range(2 * REMEMBERED):  # others that never come again need no room
        strings.written(f"another {number}")
    assert len(strings._came) <= REMEMBERED
