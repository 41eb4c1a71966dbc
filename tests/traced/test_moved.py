"""Files are opened at their current locations by functions that are given, and return, the recorded paths."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import io, os, pathlib, sys
from loadgen.traced import moved, settings
now, then = sys.argv[1:]
settings.CURRENT.moved = [(then, now)]
settings.CURRENT.interpreter = {"prefix": "/recorded/prefix"}
os.chdir(now)
moved.install()

assert sys.prefix == "/recorded/prefix"
assert os.getcwd() == then and os.getcwdb() == os.fsencode(then)
assert pathlib.Path("data.txt").read_text() == "data"
assert pathlib.Path(then, "data.txt").read_text() == "data"
assert open(os.fsencode(then) + b"/data.txt").read() == "data"
assert sorted(os.listdir(then)) == ["data.txt", "link", "module.py"]
assert os.readlink(f"{then}/link") == f"{then}/data.txt"
assert os.path.realpath("data.txt") == f"{then}/data.txt"
try:
    os.stat(f"{then}/absent")
except FileNotFoundError as error:
    assert str(error) == f"[Errno 2] No such file or directory: '{then}/absent'", error

sys.path.insert(0, then)
import module
assert module.__file__ == f"{then}/module.py" == module.where.__code__.co_filename
sys.path[:] = [entry.replace(now, then) for entry in sys.path]
import _elementtree  # an extension module
"""


def test_recorded_paths_are_opened_where_they_are(tmp_path: Path) -> None:
    """Calls, errors, imports and the working directory: nothing that a program sees has a path of today."""
    now = tmp_path / "now"
    now.mkdir()
    (now / "data.txt").write_text("data")
    (now / "link").symlink_to(now / "data.txt")
    (now / "module.py").write_text("def where(): pass")
    words = [sys.executable, "-B", "-c", PROGRAM, str(now), "/recorded/checkout"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
