"""Which Python runs the server, and what it is asked for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.core.relocation import IN_PLACE, Relocation
from loadgen.engine import interpreter, probe
from loadgen.engine.target import resolve
from loadgen.errors import MachineFault, RecordingFault, UsageError


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment of this Python, with a console script of its own and one of both."""
    folder = tmp_path_factory.mktemp("an environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    about = packages / "shop-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: shop\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[console_scripts]\nshop = shop:main\nflask = shop:flask\n")
    for name, first in {
        # As pip does if there is a space in the path.
        "shop": f"#!/bin/sh\n'''exec' \"{folder}/bin/python\" \"$0\" \"$@\"\n' '''\n",
        "by-env": "#!/usr/bin/env python3\n",
        "shell": "#!/bin/sh\n",
        "bare": "",
    }.items():
        (folder / "bin" / name).write_text(first)
        (folder / "bin" / name).chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def _not_activated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.chdir(tmp_path)


def prefix(*words: str, python: str | None = None) -> str:
    return resolve(words, python=python).python.paths["prefix"]


def test_the_own_interpreter() -> None:
    """It is known without being asked, by each of its names."""
    assert interpreter.own().own
    assert interpreter.chosen(sys.prefix) is interpreter.own()
    assert interpreter.own().engine == interpreter.SUPPORTED
    assert interpreter.own().brought() == {}
    assert "flask" in interpreter.own().scripts
    assert interpreter.own().providers(["flask", "nothing"], ["flask", "httpx", "gone"]) == {"flask"}


def test_which_environment(tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is given, that of the command, the activated one, and loadgen's own, in this order."""
    (tmp_path / "serve.py").write_text("")
    own, there = sys.prefix, str(other)
    assert [prefix(*words) for words in (("serve.py",), ("a:app",), ("python", "serve.py"), ())] == [own] * 4
    assert prefix(f"{other}/bin/python3", "serve.py") == there
    assert prefix(f"{other}/bin/shop", "x") == prefix(f"{other}/bin/shop") == there
    assert prefix("serve.py", python=there) == prefix("serve.py", python=f"{there}/bin/python") == there
    with pytest.raises(UsageError, match="belongs to"):
        prefix(f"{other}/bin/shop", "x", python=own)
    monkeypatch.setenv("VIRTUAL_ENV", there)
    for words in (("serve.py",), ("a:app",), ("python", "serve.py"), ("flask", "run")):
        assert prefix(*words) == there
    assert "from shop import flask" in resolve(["flask", "run"]).argv[1]
    assert prefix() == own  # the bundled server is loadgen's
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("PATH", f"{other}/bin:/usr/bin:/bin")
    assert prefix("shop", "x") == there  # a command that loadgen's environment does not have
    assert prefix("flask", "run") == own
    for gone in ("/nowhere", "gone"):
        monkeypatch.setenv("VIRTUAL_ENV", gone)
        assert prefix("serve.py") == own


@pytest.mark.parametrize("name", ["shell", "bare", "gone", "by-env"])
def test_no_command_of_an_environment(other: Path, name: str) -> None:
    """A script without a Python, or that is not installed in its environment, is refused."""
    with pytest.raises(UsageError, match="is not a command"):
        resolve([f"{other}/bin/{name}", "x"])


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\necho no", "does not describe itself"),
        ("#!/bin/sh\necho broken >&2; exit 3", "broken"),
        ("not a program", "does not run"),
        ("#!/bin/sh\necho '{}'", "is not a Python"),
    ],
)
def test_not_a_python(tmp_path: Path, script: str, why: str) -> None:
    """What is called so, but is not one, is refused with what it said."""
    (tmp_path / "python").write_text(script)
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(UsageError, match=why):
        interpreter.chosen("./python")


def test_a_python_that_the_engine_does_not_support(tmp_path: Path) -> None:
    """Its release is named."""
    told = {**probe.describe(), "release": [3, 10, 1], "executable": "/old/python"}
    (tmp_path / "python").write_text(f"#!{sys.executable}\nimport json\nprint(json.dumps({told!r}))")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(UsageError, match=r"not /old/python \(3.10.1\)"):
        interpreter.chosen("./python")


def test_the_engine_is_brought_along_if_it_fits(other: Path) -> None:
    """Where neither the build nor an installed engine fits, the message says how to install it."""
    there = interpreter.chosen(str(other))
    assert there.engine == "none"
    assert set(there.brought()) == {"retracesoftware", "_retracesoftware_"}
    with pytest.raises(MachineFault, match="built for another Python") as caught:
        replace(there, suffix=".cpython-399-vax.so").brought()
    assert f"{there.executable} -m pip install" in caught.value.advice


def test_where_a_replay_finds_it(tmp_path: Path, other: Path) -> None:
    """The given one counts; the recorded one moves with a checkout that it is in."""
    recorded = f"{other}/bin/python"
    assert interpreter.located(None, None, IN_PLACE) == ""
    assert interpreter.located(recorded, None, IN_PLACE) == recorded
    assert interpreter.located(recorded, sys.prefix, IN_PLACE) == ""
    assert interpreter.located("/gone/bin/python", str(other), IN_PLACE) == recorded
    assert interpreter.located("/then/bin/python", None, Relocation((("/then", str(other)),))) == recorded
    with pytest.raises(RecordingFault, match="/gone/bin/python, does not exist"):
        interpreter.located("/gone/bin/python", None, IN_PLACE)


def test_it_is_asked_with_any_python_3() -> None:
    """It runs alone: neither its folder nor anything outside the library is imported."""
    script = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); "
        "assert not [name for name in sys.modules if 'loadgen' in name], sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-c", script, probe.__file__], check=True)
    compile(Path(probe.__file__).read_text(), "probe", "exec", dont_inherit=True, flags=0)
