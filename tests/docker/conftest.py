"""Tests against a real Docker engine: they need one in CI, and are skipped with a reason elsewhere."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.containers import layout
from loadgen.engine.owner import LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "python:3.11-slim"
SLOW = """
import time
from flask import Flask
app = Flask(__name__)

@app.route("/api/<path:what>", methods=["GET", "POST"])
def answer(what):
    time.sleep(0.1)
    return {"id": 1, "what": what}

if __name__ == "__main__":
    app.run()
"""


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    import docker

    refused = ""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except docker.errors.DockerException as error:
        refused = str(error)
    if refused:
        with warnings.catch_warnings():  # the SDK does not close its socket
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"CI needs a Docker engine, and none answers: {refused}")
        pytest.skip(f"no Docker engine answers: {refused}")
    yield client
    client.close()


@dataclass
class Command:
    """A ``loadgen`` that runs, and what it made in Docker."""

    process: subprocess.Popen[bytes]
    engine: Any
    said: tuple[Path, Path]
    """Files of its stdout and stderr."""

    def made(self, kind: str) -> list[Any]:
        everything: dict[str, Any] = {"filters": {"label": LABEL}}
        if kind == "containers":
            everything |= {"all": True, "ignore_removed": True}
        return [one for one in getattr(self.engine, kind).list(**everything) if self._mine(one)]

    def left(self) -> list[str]:
        return [one.name for kind in ("containers", "networks", "volumes") for one in self.made(kind)]

    def container(self, service: str, limit: float = 60) -> Any:
        """Wait until the container of *service* runs, and return it."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            for one in self.made("containers"):
                if one.name.split("-", 2)[2] == service and one.status == "running":
                    return one
            assert self.process.poll() is None, self.said[1].read_text()
            time.sleep(0.05)
        raise AssertionError(f"no container {service} runs")

    def busy(self, service: str, requests: int = 20) -> Any:
        """Wait until the load generator *service* has had some answers, and return its container."""
        driver = self.container(service)
        while driver.status == "running":
            (line,) = driver.logs(stderr=False, tail=1).splitlines() or [b"{}"]
            if json.loads(line).get("requests", 0) >= requests:
                return driver
            time.sleep(0.05)
            driver.reload()
        raise AssertionError(f"{service} ended first: {driver.logs().decode()}")

    def finish(self, limit: float = 120) -> tuple[int, str, str]:
        """Wait for its end; whatever it was, nothing is left in Docker."""
        code = self.process.wait(timeout=limit)
        assert self.left() == []
        out, err = (path.read_text() for path in self.said)
        return code, out, err

    def end(self) -> None:
        """End it if it still runs, and clear away what it left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        for kind in ("containers", "networks", "volumes"):
            for one in self.made(kind):
                one.remove(**({"force": True} if kind != "networks" else {}))

    def _mine(self, one: Any) -> bool:
        labels = getattr(one, "labels", None) or one.attrs["Labels"]
        return bool(labels[LABEL].split("/")[1] == str(self.process.pid))


@dataclass
class Loadgen:
    """Starts ``loadgen`` in a folder of its own."""

    engine: Any
    folder: Path
    started: list[Command] = field(default_factory=list)

    def start(self, *arguments: str) -> Command:
        number = len(self.started)
        said = self.folder / f"{number}.out", self.folder / f"{number}.err"
        with said[0].open("wb") as out, said[1].open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "loadgen", *arguments], cwd=self.folder, stdout=out, stderr=err
            )
        command = Command(process, self.engine, said)
        self.started.append(command)
        return command

    def record(self, *arguments: str) -> Command:
        traffic = () if {"--scenario", "--from"} & {*arguments} else ("--scenario", "mixed")
        return self.start("record", "--runtime", "docker", *traffic, *arguments)

    def verify(self, *arguments: str) -> Command:
        return self.start("verify", "--runtime", "docker", *arguments)

    def server(self, code: str) -> str:
        """Write a server of our own, and return its path."""
        folder = self.folder / "server"
        folder.mkdir(exist_ok=True)
        (folder / "serve.py").write_text(code)
        return "server/serve.py"

    def failed_run(self) -> dict[str, Any]:
        """Return the manifest of the only run, which must have failed and must have its server's log."""
        (run,) = (path for path in (self.folder / "runs").iterdir() if not path.is_symlink())
        manifest: dict[str, Any] = json.loads((run / "run.json").read_text())
        assert manifest["result"]["state"] == "failed"
        assert (run / "server.log").is_file()
        return manifest


@pytest.fixture
def loadgen(engine: Any, tmp_path: Path) -> Iterator[Loadgen]:
    loadgen = Loadgen(engine, tmp_path)
    yield loadgen
    for command in loadgen.started:
        command.end()


@pytest.fixture(scope="session")
def recorded(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that takes a while to replay."""
    folder = tmp_path_factory.mktemp("recorded")
    code, _, err = Loadgen(engine, folder).record("-n", "40", "--run", "run").finish()
    assert code == 0, err
    return folder / "run"


def interrupt(command: Command) -> None:
    """Do what Ctrl-C does."""
    command.process.send_signal(signal.SIGINT)


def is_as_laid_out(container: Any, service: layout.Service) -> None:
    """Check that Docker was told what the layout says of *service*."""
    host, config = container.attrs["HostConfig"], container.attrs["Config"]
    assert tuple(config["Cmd"][: len(service.command)]) == service.command
    assert config["WorkingDir"] == service.workdir
    assert config["User"] == layout.USER
    assert host["ReadonlyRootfs"] is True
    assert host["Tmpfs"] == layout.TMPFS
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["PidsLimit"] == layout.PIDS
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert not host["PortBindings"]
    assert [bind.split(":")[1:] for bind in host["Binds"]] == [[layout.HOME, service.volume]]
    mode = host["NetworkMode"]
    assert (
        mode == "none"
        if service.network == "none"
        else mode.startswith("container:" if service.network.startswith("service:") else "loadgen-")
    )
