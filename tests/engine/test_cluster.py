"""A cluster: Dask's own commands as on several machines, workers that die, and workers that differ."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engine.test_command_line import run, start

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.once,
    pytest.mark.engine,
    # Without importing it: the inner loop collects this file, too.
    pytest.mark.skipif(find_spec("distributed") is None, reason="needs distributed"),
]
DASK = str(Path(sys.executable).parent / "dask")
OFFER = ("--nthreads", "1", "--resources", "loadgen=1", "--no-dashboard")
NAMED = ("--folder", "hunt")
TINY = ("-c", "2", "-n", "1", "--quiet", "--json")


def eventually(what: str, holds: object) -> None:
    """Wait until *holds* does."""
    assert callable(holds)
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def under(folder: Path) -> list[int]:
    """Return the processes whose command line names *folder*."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


@dataclass
class Dask:
    """A scheduler and its workers, started by Dask's commands."""

    folder: Path
    stack: ExitStack
    options: tuple[str, ...] = ()
    """Such as those of TLS."""
    allowed_failures: int = 3
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.folder / f"{arguments[0]}.log").open("ab"))
        process = subprocess.Popen(
            [DASK, *arguments, *self.options],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            start_new_session=True,
            env={
                **os.environ,
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(self.allowed_failures),
            },
        )
        self.stack.callback(self.end, process)
        return process

    def begin(self, protocol: str = "tcp") -> str:
        """Start the scheduler and return its address."""
        file = self.folder / "scheduler.json"
        self.command(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--protocol", protocol,
            "--scheduler-file", str(file),
        )  # fmt: skip
        eventually("the scheduler started", file.exists)
        address = json.loads(file.read_text())["address"]
        assert isinstance(address, str)
        return address

    def worker(self, address: str, name: str, *offer: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is up."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        log = self.folder / "worker.log"
        ready = log.read_text().count("Registered to:") if log.exists() else 0
        process = self.command(
            "worker", address, "--name", name, "--local-directory", str(place), *(offer or OFFER)
        )
        eventually("the worker started", lambda: log.read_text().count("Registered to:") > ready)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
        """End a command and all that is in its session, as a machine that is switched off does."""
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        process.wait(30)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    """Return a cluster that is gone after the test."""
    with ExitStack() as stack:
        yield Dask(tmp_path, stack)


def trials_in(worker: Path) -> list[int]:
    """Return the processes of the trials that run on the worker in this folder."""
    return [process for process in under(worker) if process in under(Path("loadgen-trial-"))]


def test_a_worker_is_lost(dask: Dask, tmp_path: Path) -> None:
    """Two workers, one of which is killed in the middle of a trial: every trial has its result, once.

    Nothing of the lost worker's trial stays behind; a hunt that is interrupted leaves nothing either.
    """
    address = dask.begin()
    lost = dask.worker(address, "one")
    dask.worker(address, "two")
    with start(
        tmp_path, "stress", "--cluster", address, "--seeds", "1..4", "--folder", "hunt", *TINY
    ) as hunt:
        eventually("a trial began", lambda: trials_in(tmp_path / "one"))
        dask.end(lost)
        out, err = hunt.communicate(timeout=900)
    assert hunt.returncode == 0, err
    summary = json.loads(out)
    assert (summary["verdict"], summary["identical"], summary["planned"]) == ("identical", 4, 4)
    lines = (tmp_path / "hunt" / "trials.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["trial"] for line in lines) == [f"c2-s{seed}" for seed in range(1, 5)]
    eventually("the lost worker's trial ended", lambda: not trials_in(tmp_path / "one"))

    with start(
        tmp_path, "stress", "--cluster", address, "-c", "2", "-n", "100000", "--folder", "long"
    ) as hunt:
        eventually("a trial began", lambda: trials_in(tmp_path / "two"))
        for _ in range(2):
            hunt.send_signal(signal.SIGINT)
            time.sleep(0.5)
        assert hunt.wait(60) == 130
    eventually("the interrupted trial ended", lambda: not trials_in(tmp_path / "two"))


POISON = """
    import os, signal
    from loadgen import scenario

    @scenario
    async def poison(user):
        await user.http.get("/api/stats")
        with open(f"/proc/{os.getppid()}/stat") as process:  # which forked this one, and belongs to Dask's
            dask = int(process.read().rpartition(")")[2].split()[1])
        os.kill(dask, signal.SIGKILL)

    @scenario
    async def harmless(user):
        await user.http.get("/api/stats")
    """


def test_what_cannot_be_done_is_told(dask: Dask, tmp_path: Path) -> None:
    """A trial that kills its workers is reported, and the others are made; kept files come here.

    A cluster without the resource, without a scheduler, or with other files is refused before the start.
    """
    dask.allowed_failures = 0
    address = dask.begin()
    code, _, err = run(tmp_path, "stress", "--cluster", address)
    assert code == 3
    assert "none of the 0 workers" in err
    assert 'dask worker SCHEDULER --resources "loadgen=1"' in err
    dask.worker(address, "one")
    (tmp_path / "users.py").write_text(textwrap.dedent(POISON), encoding="utf-8")
    scenarios = ("--scenario", "users.py:poison", "--scenario", "users.py:harmless")
    code, out, err = run(
        tmp_path,
        "stress",
        "--cluster",
        address,
        "--seeds",
        "1",
        *scenarios,
        *TINY,
        "--keep",
        "--folder",
        "hunt",
    )
    assert code == 3, err
    summary = json.loads(out)
    assert (summary["identical"], summary["undetermined"]) == (1, 1)
    assert "it lost several workers" in summary["failures"][0]["message"]
    assert list((tmp_path / "hunt" / "trials").glob("*/run/verify/1/verdict.json"))

    code, _, err = run(tmp_path, "stress", "--cluster", "tcp://127.0.0.1:9", "--folder", "none")
    assert code == 3
    assert "no Dask scheduler answers" in err
    code, _, err = run(tmp_path, "stress", "--cluster", "tls://127.0.0.1:9")
    assert code == 2
    assert "--tls-ca" in err


def certify(folder: Path) -> tuple[str, str, str]:
    """Make an authority and a certificate by it, as the docs do; return authority, certificate and key."""
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1")
    for command in (
        (*new, "-subj", "/CN=our own", "-keyout", "ca.key", "-out", "ca.pem"),
        (
            *new,
            "-subj",
            "/CN=loadgen",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ),
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem")


def test_tls(dask: Dask, tmp_path: Path) -> None:
    """With an authority of one's own, the whole way is encrypted, and nobody else is let in."""
    (tmp_path / "stranger").mkdir()
    stranger = certify(tmp_path / "stranger")
    ca, cert, key = certify(tmp_path)
    dask.options = ("--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key)
    address = dask.begin("tls")
    assert address.startswith("tls://")
    dask.worker(address, "one")
    ours = ("--tls-ca", ca, "--tls-cert", cert, "--tls-key", key)
    code, out, err = run(tmp_path, "stress", "--cluster", address, *ours, "--seeds", "1", *TINY)
    assert code == 0, err
    assert json.loads(out)["identical"] == 1
    code, out, err = run(
        tmp_path, "races", "--cluster", address, *ours, "--budget", "5s", "--unique", "json:$.never", *TINY
    )
    assert code == 3, err  # nothing broke, and that was never checked
    found = json.loads(out)
    assert found["trials"] >= 1
    assert (found["failed_trials"], found["race"]) == (0, None)
    theirs = ("--tls-ca", stranger[0], "--tls-cert", stranger[1], "--tls-key", stranger[2])
    code, _, err = run(tmp_path, "stress", "--cluster", address, *theirs, "--seeds", "1", *TINY)
    assert code == 3
    assert "no Dask scheduler answers" in err
