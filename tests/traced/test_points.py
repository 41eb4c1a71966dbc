"""Points: in the application's own code only, and the same in every run of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadgen.traced.points import KINDS, Locations, writes
from tests.traced.test_own import serve

if TYPE_CHECKING:
    from pathlib import Path

APP = """
import threading
total, items = 0, {"a": 1}

class Thing:
    def __init__(self):
        self.count = 0
    def __del__(self):
        pass

def add(n):
    global total
    total += n
    seen = total
    total = seen

def loop(thing):
    for _ in range(3):
        thing.count += len(items)
    return max(1, 2)

def main():
    add(1)
    loop(Thing())
"""
DRIVER = """
import sys, threading
sys.path.insert(0, {folder!r})
from loadgen.traced import points
import app
seen = []
locations = points.Locations({folder!r})
points.install({kind!r}, locations, lambda: True, threading.get_ident,
             lambda kind, number, where: seen.append((kind, number, where())))
thread = threading.Thread(target=app.main)
thread.start()
thread.join()
assert [number for _, number, _ in seen] == list(range(1, len(seen) + 1))
for kind, _, where in seen:
    print(kind, where)
"""


def seen(folder: Path, kind: str) -> list[str]:
    (folder / "app.py").write_text(APP, encoding="utf-8")
    script = DRIVER.format(folder=str(folder), kind=kind)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_lines_and_writes(tmp_path: Path) -> None:
    """Each line is a point, and in one that reads and writes shared state, the place before it is written."""
    found = seen(tmp_path, "lines")
    assert [one for one in found if one.endswith(" add")] == [
        "line app.py:13 add", "store app.py:13 add", "line app.py:14 add", "line app.py:15 add",
    ]  # fmt: skip
    assert found.count("line app.py:19 loop") == found.count("store app.py:19 loop") == 3
    assert not [one for one in found if "__del__" in one or "<module>" in one]


def test_calls(tmp_path: Path) -> None:
    """A function begins, a built-in one returns, a loop goes back: where the GIL may go to another thread."""
    found = seen(tmp_path, "calls")
    assert "call app.py:11 add" in found
    assert not [one for one in found if one.endswith(" add")][1:]  # nothing inside: no call is made there
    assert len([one for one in found if one.startswith("call app.py:19 loop")]) >= 3
    assert "call app.py:20 loop" in found


@pytest.mark.parametrize("kind", KINDS)
def test_points_are_the_same_again(tmp_path: Path, kind: str) -> None:
    """Two runs of the same code have the same points: a replay counts what the recording counted."""
    assert seen(tmp_path, kind) == seen(tmp_path, kind)


def test_only_the_application_has_points(tmp_path: Path) -> None:
    """Neither libraries in its folder, nor templates, nor anything elsewhere; without a folder, nothing."""
    locations = Locations(str(tmp_path))
    assert locations.is_own(f"{tmp_path}/app.py")
    assert not locations.is_own(f"{tmp_path}/venv/lib/site-packages/flask/app.py")
    assert not locations.is_own(f"{tmp_path}/templates/page.html")
    assert not locations.is_own(f"{tmp_path}-other/app.py")
    assert not Locations("").is_own("/app.py")


def test_an_installed_package_that_is_served_is_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files have points and are named from where it is installed; other libraries have none."""
    site = tmp_path / "lib" / "site-packages"
    serve(monkeypatch, shop=site / "shop" / "__init__.py", single=site / "single.py")
    locations = Locations(str(tmp_path / "data"), ("shop", "single"))
    for name in ("shop/views.py", "single.py"):
        assert locations.is_own(str(site / name))
    assert not locations.is_own(str(site / "flask" / "app.py"))
    assert not locations.is_own(str(site / "flask" / "single.py"))
    assert not locations.is_own(str(site / "shopping" / "app.py"))
    code = compile("x = 1", str(site / "shop" / "views.py"), "exec")
    assert locations.named(code, 3) == "shop/views.py:3 <module>"


def test_writes_of_what_the_line_did_not_read_have_no_point() -> None:
    """To stop there would be to stop where the line begins."""

    def plain(thing: type) -> None:
        thing.x = 1  # type: ignore[attr-defined]

    def update(thing: type) -> None:
        thing.x += 1  # type: ignore[attr-defined]

    assert not writes(plain.__code__)
    assert len(writes(update.__code__)) == 1
