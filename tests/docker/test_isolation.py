"""The isolation of the containers, checked from inside them during a real session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.containers import layout
from tests.docker.conftest import SLOW, Loadgen, interrupt, is_as_laid_out

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker
PROBE = """
import json, os, pathlib, socket

def fails(attempt):
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return ""

def write(path):
    pathlib.Path(path, "probe").write_text("x")
    pathlib.Path(path, "probe").unlink()

status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "routes": [line.split()[1] for line in open("/proc/net/route").read().splitlines()[1:]],
    "way_out": fails(lambda: socket.create_connection(("192.0.2.1", 80), 1)),
    "names": fails(lambda: socket.getaddrinfo("example.com", 80)),
    "databases": [str(p) for p in pathlib.Path("/tmp").rglob("*.db")],
    "uid": os.getuid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "write_root": fails(lambda: write("/")),
    "write_app": fails(lambda: write("/app")),
    "write_code": fails(lambda: write("/opt/loadgen")),
    "write_tmp": fails(lambda: write("/tmp")),
    "write_volume": fails(lambda: write("/loadgen")),
    "environment": sorted(
        item.partition("=")[0] for item in open("/proc/1/environ").read().split("\\0") if item
    ),
}))
"""
SERVER_ENVIRONMENT = {
    "DB_FILE", "HOME", "LANG", "PATH", "PYTHONFAULTHANDLER", "PYTHONHASHSEED", "PYTHONPATH",
    "PSYCOPG_IMPL", "PYTHONBREAKPOINT",
    "PYTHONUNBUFFERED", "RETRACE_MODULES_PATH",
}  # fmt: skip


def probe(container: Any) -> dict[str, Any]:
    """Look around inside *container*."""
    done = container.exec_run(["python", "-c", PROBE])
    assert done.exit_code == 0, done.output
    seen: dict[str, Any] = json.loads(done.output)
    return seen


def hardened(seen: dict[str, Any]) -> bool:
    return (
        seen["uid"] == int(layout.USER.split(":")[0])
        and seen["capabilities"] == 0
        and seen["no_new_privileges"] == "1"
        and all(seen[f"write_{where}"] for where in ("root", "app", "code"))
        and not seen["write_tmp"]
    )


def test_a_replay_has_no_route_no_names_and_no_database(loadgen: Loadgen, recorded: Path) -> None:
    """The replayed server sees a loopback interface and nothing else; its verifier sees the same."""
    command = loadgen.verify(str(recorded))
    command.busy("replay")
    server, verifier = probe(command.container("flask-replay")), probe(command.container("replay"))
    code, out, err = command.finish()
    assert code == 0, out + err
    for seen in (server, verifier):
        assert seen["interfaces"] == ["lo"]
        assert seen["routes"] == []
        assert seen["way_out"] == "OSError"  # network is unreachable
        assert seen["names"] == "gaierror"
        assert seen["databases"] == []
        assert hardened(seen)
    assert set(server["environment"]) <= SERVER_ENVIRONMENT
    assert server["write_volume"], "a replay must not be able to change what it replays"
    assert not verifier["write_volume"]


def test_a_recorded_server_has_no_way_out(loadgen: Loadgen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network ends at the load generator, and it inherits nothing from our environment."""
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    command = loadgen.record("-n", "100", "--run", "run", loadgen.server(SLOW))
    command.busy("record")
    server, driver = command.container("flask-record"), command.container("record")
    seen, client = probe(server), probe(driver)
    assert server.attrs["HostConfig"]["PortBindings"] in ({}, None)
    interrupt(command)
    assert command.finish()[0] == 130
    for one in (seen, client):
        assert one["way_out"], "there is a way out of the internal network"
        assert one["names"] == "gaierror"
        assert hardened(one)
        assert "SECRET_OF_THE_HOST" not in one["environment"]
    assert set(seen["environment"]) <= SERVER_ENVIRONMENT
    assert b"SECRET_OF_THE_HOST" not in (loadgen.folder / "run" / "recording.bin").read_bytes()


@pytest.mark.parametrize(
    "service",
    [one for one in layout.SERVICES if one is not layout.REPLAY_ALONE],  # test_modes.py has that one
    ids=lambda service: service.name,
)
def test_docker_was_told_the_layout(loadgen: Loadgen, recorded: Path, service: layout.Service) -> None:
    """What runs is what :mod:`loadgen.containers.layout` says, as Docker itself tells it."""
    if service.name in {"flask-record", "record"}:
        command = loadgen.record("-n", "100", loadgen.server(SLOW))
    else:
        command = loadgen.verify(str(recorded))
    container = command.container(service.name)
    interrupt(command)
    interrupt(command)
    command.finish()
    is_as_laid_out(container, service)
