"""The parts of a session in containers that need no Docker."""

from __future__ import annotations

import io
import platform
import tarfile
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from loadgen.client.plan import plan
from loadgen.containers import attached, carry, exits, image, layout
from loadgen.containers.clean import clean
from loadgen.containers.daemon import ContainerExit, Daemon
from loadgen.containers.driver_events import DriverEvents
from loadgen.containers.group import ContainerExits
from loadgen.core.events import Event, Failed, SessionEnd, Stage, Story, to_line
from loadgen.core.spec import FileTraffic, RunSpec, ScenarioTraffic, Traffic
from loadgen.engine import owner, scratch, traced_process
from loadgen.errors import EngineFault, HarnessFault, Interrupted, LoadgenError, MachineFault, ServerFault
from loadgen.traced import liveness


def test_both_ends_of_the_liveness_speak_the_same() -> None:
    """The server's half may not be imported by the driver's, so they are compared here."""
    assert (attached.STOP, attached.COMPLETE, attached.RELEASE, traced_process.RELEASE) == (
        liveness.STOP,
        liveness.COMPLETE,
        liveness.RELEASE,
        liveness.RELEASE,
    )


def test_traffic_is_named_in_the_containers(tmp_path: Path) -> None:
    """A built-in scenario keeps its name; a file is called by its path there, with what of it was chosen."""
    (tmp_path / "shop.py").write_text("from loadgen import scenario\n@scenario\nasync def buy(user): ...\n")
    (tmp_path / "calls.txt").write_text("curl http://h/\n")

    def inside(traffic: Traffic) -> Traffic:
        scenario, _ = plan(traffic)
        session: Any = SimpleNamespace(spec=RunSpec(traffic=traffic), scenario=scenario)
        return carry.traffic(session)

    assert inside(ScenarioTraffic()) == ScenarioTraffic()
    for name in ("", ":buy"):
        found = inside(ScenarioTraffic(scenario=f"{tmp_path / 'shop.py'}{name}"))
        assert found == ScenarioTraffic(scenario=f"/loadgen/scenarios/shop.py{name}")
    played = inside(FileTraffic(file=str(tmp_path / "calls.txt")))
    assert played == FileTraffic(file="/loadgen/scenarios/calls.txt")


def test_what_is_emitted_is_heard() -> None:
    """Every event survives the way through a container's log; an error keeps its kind; noise is left out."""
    events = (
        Stage(what="one"),
        Story(line="two"),
        SessionEnd(iterations=3, failed=1, errors={"E: x": 1}, interrupted=True),
        Failed(kind="ServerFault", message="three", advice="four"),
    )
    seen = list[Event]()
    listener = DriverEvents(seen.append)
    for line in ("noise", "[]", *(to_line(event).decode() for event in events)):
        listener.hear(line)
    assert tuple(seen) == events
    assert listener.end == events[2]
    assert isinstance(listener.error, ServerFault)
    assert (listener.error.message, listener.error.advice) == ("three", "four")


@pytest.mark.parametrize(
    ("ends", "kind", "words"),
    [
        (
            ContainerExits(ContainerExit(137, out_of_memory=True), ContainerExit(3, out_of_memory=False)),
            ServerFault,
            "out of memory",
        ),
        (
            ContainerExits(ContainerExit(137, out_of_memory=False), ContainerExit(3, out_of_memory=False)),
            ServerFault,
            "SIGKILL",
        ),
        (ContainerExits(ContainerExit(1, out_of_memory=False), None), ServerFault, "exit code 1"),
        (
            ContainerExits(ContainerExit(0, out_of_memory=False), ContainerExit(137, out_of_memory=False)),
            HarnessFault,
            "SIGKILL",
        ),
        (
            ContainerExits(ContainerExit(0, out_of_memory=False), None),
            EngineFault,
            "exited before the load generator connected",
        ),
    ],
)
def test_blame(tmp_path: Path, ends: ContainerExits, kind: type[LoadgenError], words: str) -> None:
    """The container that did not leave by itself is to blame, with the end of its log."""
    (tmp_path / "log").write_text("last words\n")
    error = exits.fault(
        ends, None, phase="record", memory="512m", log=tmp_path / "log", driver_log=tmp_path / "log"
    )
    assert isinstance(error, kind)
    assert words in error.message


def test_a_driver_that_we_interrupted_is_not_quoted(tmp_path: Path) -> None:
    """It was ended because its server was gone: that is what is told."""
    ends = ContainerExits(ContainerExit(137, out_of_memory=False), ContainerExit(130, out_of_memory=False))
    error = exits.fault(
        ends,
        Interrupted("interrupted"),
        phase="replay",
        memory="1g",
        log=tmp_path / "no",
        driver_log=tmp_path,
    )
    assert isinstance(error, EngineFault)
    assert "interrupted" not in error.message


@pytest.mark.slow
def test_an_image_is_named_after_its_content(tmp_path: Path) -> None:
    """The same content has the same digest, any other content another; what is no code is left out."""
    (tmp_path / "serve.py").write_text("1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")
    recipe = image.Recipe("base", None, tmp_path)

    def pack(base: str = "sha256:1") -> tuple[str, set[str]]:
        file = io.BytesIO()
        digest = image._pack(recipe, base, file)
        file.seek(0)
        return digest, set(tarfile.open(fileobj=file).getnames())

    first, names = pack()
    assert pack() == (first, names)
    assert pack("sha256:2")[0] != first
    assert {"app/serve.py", "pyproject.toml", "compose/Dockerfile", "loadgen/__init__.py"} <= names
    assert not any(".git" in name or name.endswith(".pyc") for name in names)
    (tmp_path / "serve.py").write_text("2")
    assert pack()[0] != first


def test_only_dead_processes_of_this_machine_abandon_what_they_made() -> None:
    """A number that was used again, or another machine's process, is not taken for a dead one."""
    mine = owner.mine()
    host, pid, _ = mine.split("/")
    assert not owner.abandoned(mine)
    assert owner.abandoned(f"{host}/{pid}/1")
    assert owner.abandoned(f"{host}/{2**22 + 1}/1")
    assert not owner.abandoned(f"elsewhere/{pid}/1")
    assert not owner.abandoned("")


def test_more_users_may_have_more_threads() -> None:
    """The limit never stops the concurrency that was asked for."""
    assert layout.pids(8) == layout.PIDS
    assert layout.pids(1024) > 2 * 1024


def test_clean_removes_folders_of_processes_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a Docker engine, too; those of running processes, other machines and other programs stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def connect() -> Daemon:
        raise MachineFault("no Docker engine answers")

    monkeypatch.setattr(Daemon, "connect", connect)
    host = platform.node()
    mine = Path(scratch.new_database()).parent
    kept = [mine, tmp_path / "loadgen-elsewhere.7.1-abc", tmp_path / "loadgen-other"]
    gone = tmp_path / f"loadgen-{host}.{2**22 + 1}.1-a_c"
    for folder in (*kept[1:], gone):
        folder.mkdir()
    (gone / "app.db").write_text("data")
    cleaned = anyio.run(partial(clean, images=False))
    assert cleaned.removed == [f"folder {gone}"]
    assert f"folder {mine}" in cleaned.in_use
    assert "no Docker engine answers" in cleaned.not_asked
    assert all(folder.exists() for folder in kept)
    assert not gone.exists()
    with pytest.raises(MachineFault):
        anyio.run(partial(clean, images=True))
