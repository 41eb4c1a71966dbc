"""Which file of a folder is what, and what its compose file sets."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.convention import expanded, latest, layout_of
from loadgen.core.events import ignore
from loadgen.core.spec import (
    CommandTraffic,
    Label,
    ListenTraffic,
    ModeName,
    RecordTopology,
    RunSpec,
    Runtime,
)
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a test"
    made.mkdir()
    (made / "test.py").touch()
    return made


def of(spec: RunSpec, *, inside: bool = False) -> RunSpec:
    async def call() -> RunSpec:
        return await expanded(spec, ignore, inside=inside)

    return anyio.run(call)


@pytest.mark.parametrize(
    ("beside", "roles"),
    [
        (("client.py",), ("test.py", "client.py", ModeName.BOUNDARY)),
        (("client.py", "app.py"), ("test.py", "client.py", ModeName.BOUNDARY)),
        (("app.py",), ("app.py", "test.py", ModeName.CLIENT)),
        ((), None),
    ],
)
def test_roles(folder: Path, beside: tuple[str, ...], roles: tuple[str, str, ModeName] | None) -> None:
    """The load decides: a test beside it is a server, a test beside an application is a client."""
    for name in beside:
        (folder / name).touch()
    found = layout_of(folder)
    assert (found and (found.server, found.client, found.mode)) == roles


def test_a_folder_is_expanded(folder: Path) -> None:
    """Server, client and name come from the folder; what is given counts; other targets stay."""
    (folder / "client.py").touch()
    spec = of(RunSpec(target=(str(folder),), python="/bin/python"))
    assert (spec.target, spec.cwd, spec.label.name) == (("test.py",), str(folder), "a test")
    assert spec.traffic == CommandTraffic(client=f"SERVER_URL='{{url}}' /bin/python '{folder}/client.py'")
    given = RunSpec(
        target=("a test",),
        cwd=str(folder.parent),
        python="/bin/python",
        traffic=ListenTraffic(listen="0"),
        label=Label(name="mine"),
    )
    spec = of(given)
    assert (spec.traffic, spec.label, spec.cwd) == (given.traffic, given.label, str(folder))
    for target in ((), ("server_app",), ("serve.py",), ("shop:app",), (str(folder), "x")):
        assert of(RunSpec(target=target)) == RunSpec(target=target)
    with pytest.raises(UsageError, match=r"neither test\.py and client\.py"):
        of(RunSpec(target=(str(folder.parent),)))


def test_in_containers(folder: Path) -> None:
    """The client is called by its path there, and the image gets the requirements."""
    (folder / "client.py").touch()
    (folder / "requirements.txt").write_text("flask\n")
    spec = of(RunSpec(target=(str(folder),), topology=RecordTopology(runtime=Runtime.DOCKER)))
    assert spec.topology.requirements == str(folder / "requirements.txt")
    assert spec.traffic == CommandTraffic(client="SERVER_URL='{url}' python /app/client.py")
    inner = of(RunSpec(target=(str(folder),)), inside=True)
    assert (inner.python, inner.topology.requirements) == (None, None)


@pytest.mark.parametrize(
    ("services", "server", "client"),
    [
        (
            """
            server-record: {environment: {COLOUR: green, DB_FILE: /x, PYTHONPATH: /y, PORT: 80, "ON": true}}
            record: {environment: {SHOP: "http://server-record:5000/a", OTHER: "http://other:1"}}
            """,
            ("COLOUR=green", "PORT=80", "ON=true"),
            "SHOP='{url}/a' OTHER=http://other:1 ",
        ),
        (
            """
            web: {command: "python /app/test.py", environment: ["A=${B:-c d}"]}
            load: {command: [python, client.py], environment: ["SERVER_URL=http://web:5000", EMPTY]}
            """,
            ("A=c d",),
            "",
        ),
    ],
)
def test_variables(folder: Path, services: str, server: tuple[str, ...], client: str) -> None:
    """A service is found by its name or its command; addresses of the server become the gateway's."""
    (folder / "client.py").touch()
    (folder / "compose.yml").write_text("services:\n" + textwrap.indent(textwrap.dedent(services), "  "))
    spec = of(RunSpec(target=(str(folder),), python="/bin/python"))
    assert spec.server_env == server
    assert isinstance(spec.traffic, CommandTraffic)
    assert f"SERVER_URL='{{url}}' {client}" in spec.traffic.client


def test_a_damaged_compose_file(folder: Path) -> None:
    """It is refused with its name."""
    (folder / "client.py").touch()
    (folder / "compose.yml").write_text("services: [")
    with pytest.raises(UsageError, match=r"compose\.yml cannot be read"):
        of(RunSpec(target=(str(folder),), python="/bin/python"))


def test_the_latest_run(folder: Path) -> None:
    """A recorded folder stands for its latest run; any other folder for itself."""
    (folder / "runs" / "1").mkdir(parents=True)
    (folder / "runs" / "latest").symlink_to("1")
    assert latest(folder) == folder
    (folder / "app.py").touch()
    assert latest(folder) == folder / "runs" / "1"
