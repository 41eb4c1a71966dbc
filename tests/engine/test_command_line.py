"""The commands as a user runs them: whole processes, their exit codes, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadgen.store.run_folder import read_transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.engine, pytest.mark.once]


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "loadgen", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, output and errors."""
    with start(cwd, *arguments) as process:
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def run_at_once(cwd: Path, *commands: Sequence[str]) -> list[tuple[int, str, str]]:
    """Run commands side by side; return what :func:`run` does of each, and leave none behind."""
    with ExitStack() as ended:
        processes = []
        for arguments in commands:
            processes.append(ended.enter_context(start(cwd, *arguments)))
            ended.callback(processes[-1].kill)
        streams = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, *text) for process, text in zip(processes, streams, strict=True)]


def servers_of(run: Path) -> list[int]:
    """Return the processes that record or replay *run*."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"{run.resolve()}/".encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_for_requests(run: Path, count: int) -> None:
    """Wait until a transcript has *count* requests."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        path = run / "transcript.jsonl"
        if path.exists() and path.read_bytes().count(b'"request"') >= count:
            return
        time.sleep(0.01)
    pytest.fail("the recording did not begin")


def gone(run: Path, within: float) -> bool:
    """Say whether the servers of *run* end within some seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not servers_of(run):
            return True
        time.sleep(0.05)
    return False


def test_default_is_the_latest_run(tmp_path: Path) -> None:
    """Without arguments, record and verify do the main job; results are on stdout, plain when piped."""
    code, out, err = run(tmp_path, "record", "-n", "3")
    assert (code, err) == (0, "")
    assert "120 requests" in out
    code, out, err = run(tmp_path, "verify")
    assert (code, err) == (0, "")
    assert out.startswith("IDENTICAL")
    assert "\x1b" not in out
    latest = tmp_path / "runs" / "latest"
    assert latest.is_symlink()
    assert json.loads((latest / "verify" / "1" / "verdict.json").read_text())["verdict"] == "identical"
    assert (latest / "recording.bin").stat().st_mode & 0o777 == 0o600


def test_json(tmp_path: Path) -> None:
    """With ``--json``, stdout is one JSON document, and nothing else is printed."""
    code, out, err = run(tmp_path, "record", "-n", "1", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["result"]["state"] == "complete"
    code, out, err = run(tmp_path, "verify", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["verdict"] == "identical"


def test_walkthrough(tmp_path: Path) -> None:
    """The walkthrough tells its story, and its counts hold."""
    code, out, err = run(tmp_path, "record", "--scenario", "walkthrough")
    assert code == 0
    assert "15 requests" in out
    assert err.rstrip().endswith("All operations completed successfully!")
    assert run(tmp_path, "verify")[0] == 0


def test_concurrent_recordings(tmp_path: Path) -> None:
    """Recordings on one machine, in one directory, at the same time do not disturb each other."""
    for code, out, err in run_at_once(tmp_path, *[("record", "-n", "4", "-c", "4")] * 3):
        assert (code, err) == (0, ""), out
    runs = [path for path in (tmp_path / "runs").iterdir() if not path.is_symlink()]
    assert len(runs) == 3
    for code, out, err in run_at_once(tmp_path, *[("verify", str(path)) for path in runs]):
        assert (code, err) == (0, ""), out


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C finishes what is under way: exit code 130, and a complete run that verifies."""
    with start(tmp_path, "record", "-n", "2000", "--run", "run") as process:
        wait_for_requests(tmp_path / "run", 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert "Traceback" not in err
    assert gone(tmp_path / "run", 1)
    code, out, err = run(tmp_path, "verify", "run")
    assert (code, err) == (0, ""), out


def test_interrupted_twice(tmp_path: Path) -> None:
    """A second Ctrl-C ends at once; the run is kept, marked failed, and never identical."""
    with start(tmp_path, "record", "-n", "2000", "--run", "run") as process:
        wait_for_requests(tmp_path / "run", 60)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert gone(tmp_path / "run", 1)
    state = json.loads((tmp_path / "run" / "run.json").read_text())["result"]["state"]
    assert run(tmp_path, "verify", "run")[0] == (0 if state == "complete" else 3)


def test_killed(tmp_path: Path) -> None:
    """Killed with -9, loadgen leaves a readable transcript and no server; verify says it cannot be told."""
    with start(tmp_path, "record", "-n", "2000", "--run", "run") as process:
        wait_for_requests(tmp_path / "run", 60)
        process.kill()
    assert gone(tmp_path / "run", 15), "an orphan was left behind"
    path = tmp_path / "run"
    with read_transcript(path / "transcript.jsonl", path / "bodies") as events:
        assert sum(1 for _ in events) > 60
    assert not events.ended
    code, out, _ = run(tmp_path, "verify", "run")
    assert code == 3
    assert "UNDETERMINED" in out


def test_recorded_server_killed(tmp_path: Path) -> None:
    """A recorded server that dies is reported at once, with its end; what was journaled is kept."""
    with start(tmp_path, "record", "-n", "2000", "--run", "run") as process:
        wait_for_requests(tmp_path / "run", 60)
        for pid in servers_of(tmp_path / "run"):
            os.kill(pid, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, out
    assert "SIGKILL" in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["result"]["state"] == "failed"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import nonexistent_module_of_no_one", "nonexistent_module_of_no_one"),
        ("def broken(:", "SyntaxError"),
        ("print('served nothing')", "served nothing"),
        ("raise SystemExit(7)", "exit code 7"),
    ],
    ids=["import", "syntax", "ends", "exits"],
)
def test_target_does_not_start(tmp_path: Path, source: str, says: str) -> None:
    """A target that does not serve ends with its own words, exit code 3, and no traceback of ours."""
    (tmp_path / "serve.py").write_text(source)
    code, out, err = run(tmp_path, "record", "serve.py")
    assert (code, out) == (3, "")
    assert says in err
    assert "loadgen/cli" not in err
    assert not list((tmp_path / "runs").glob("latest"))


def test_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    """Nothing already recorded is ever lost."""
    assert run(tmp_path, "record", "-n", "1", "--run", "run")[0] == 0
    before = (tmp_path / "run" / "transcript.jsonl").read_bytes()
    code, _, err = run(tmp_path, "record", "-n", "1", "--run", "run")
    assert code == 2
    assert "not empty" in err
    assert (tmp_path / "run" / "transcript.jsonl").read_bytes() == before


def test_names_beyond_ascii(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locale without an encoding, as in a bare container, is no reason to refuse a name in UTF-8."""
    monkeypatch.setenv("LC_ALL", "POSIX")
    (tmp_path / "straße.py").write_text(
        "from flask import Flask\napp = Flask(__name__)\n"
        "@app.get('/ä')\ndef one(): return 'größe'\napp.run()\n",
        encoding="utf-8",
    )
    (tmp_path / "über.txt").write_text("curl http://localhost/ä\n", encoding="utf-8")
    code, out, err = run(tmp_path, "record", "--run", "rün", "--from", "über.txt", "straße.py")
    assert code == 0, err
    assert "200: 8" in out
    assert run(tmp_path, "verify", "rün")[0] == 0


def test_an_application_that_is_installed(tmp_path: Path) -> None:
    """What its modules draw while they are imported is on the tape, as if they lay in its folder."""
    library = tmp_path / "elsewhere" / "site-packages"
    (library / "shelf").mkdir(parents=True)
    (library / "shelf" / "__init__.py").write_text("from shelf.web import app\n")
    (library / "shelf" / "web.py").write_text(
        "import os\nfrom flask import Flask\nSECRET = os.urandom(8).hex()\n"
        "app = Flask(__name__)\n@app.get('/')\ndef one(): return SECRET\n"
    )
    (tmp_path / "here").mkdir()
    path = f"PYTHONPATH={library}"
    recorded = run(tmp_path / "here", "record", "--run", "run", "--server-env", path, "-n", "1", "shelf:app")
    assert recorded[0] == 0, recorded
    verified = run(tmp_path / "here", "verify", "run")
    assert verified[0] == 0, verified
