"""A client's command gets the URL, its output and exit code are kept, and the session ends with it."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.client.gateway.command import running
from loadgen.client.gateway.session import Door, Visiting
from loadgen.core.exchange import Response
from loadgen.core.stop import Stop
from loadgen.core.transcript import Run
from loadgen.errors import UsageError
from loadgen.store.journal import Journal
from loadgen.store.run_folder import read_transcript
from tests.client.raw_server import OK, Received, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadgen.core.events import Visit

pytestmark = pytest.mark.anyio


LOOPBACK = Door()
CLIENT = (
    f"{sys.executable} -c 'import os, sys, urllib.request as u; "
    'print(u.urlopen(os.environ["LOADGEN_URL"] + "/a").read().decode()); '
    'print(u.urlopen("{url}/b").status, file=sys.stderr); sys.stdout.write("caf\\u00e9"); sys.exit(3)\''
)


class Session:
    """A session to a server that answers at once, or never."""

    def __init__(self, folder: Path, url: str, journal: Journal, door: Door) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.stop = Stop()
        self.journal = journal
        self.visiting = Visiting(url, journal, door, timeout=5, stop=self.stop, say=self.said.append)
        self.output = folder / "client.log"

    async def command(self, command: str) -> Visit:
        return await self.visiting.program(lambda url: running(command, url, self.output, self.said.append))


@asynccontextmanager
async def session(folder: Path, door: Door = LOOPBACK) -> AsyncIterator[Session]:
    async def answer(received: Received) -> bytes | None:
        return OK

    async with raw_server(answer) as server:
        with Journal(folder / "transcript", folder / "bodies") as journal:
            journal.write(Run("r", "gateway", 0, 0, 1, ""))
            yield Session(folder, server.url, journal, door)


async def test_a_command(tmp_path: Path) -> None:
    """It finds the gateway in {url} and LOADGEN_URL; its output and exit code are kept, not judged."""
    async with session(tmp_path) as here:
        visit = await here.command(CLIENT)
    assert (visit.exit_code, here.journal.requests, visit.most_open) == (3, 2, 1)
    assert sorted(here.said) == ["200", "café", "ok"]
    assert sorted(here.output.read_text("utf-8").splitlines()) == ["200", "café", "ok"]
    with read_transcript(tmp_path / "transcript", tmp_path / "bodies") as events:
        assert sum(isinstance(one, Response) for one in events) == 2


async def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    """The shell's message is the client's output."""
    async with session(tmp_path) as here:
        visit = await here.command("no-such-client {url}")
    assert (visit.exit_code, here.journal.requests) == (127, 0)
    assert "no-such-client" in here.said[0]


async def test_a_command_that_is_stopped(tmp_path: Path) -> None:
    """Ctrl-C ends the client and its children; it is not the client's own end."""
    async with session(tmp_path) as here, anyio.create_task_group() as group:

        async def stop() -> None:
            while not here.said:  # noqa: ASYNC110
                await anyio.sleep(0.02)
            here.stop.requested = True

        group.start_soon(stop)
        with anyio.fail_after(10):
            visit = await here.command("sleep 1000 & echo begun; sleep 1000")
    assert visit.exit_code is None


async def test_what_a_client_leaves_open_is_answered(tmp_path: Path) -> None:
    """A client that ends without waiting for its answer: the request is recorded all the same."""
    async with session(tmp_path) as here:
        send = (
            'import os, socket, urllib.parse as p; u = p.urlsplit(os.environ["LOADGEN_URL"]); '
            's = socket.create_connection((u.hostname, u.port)); s.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")'
        )
        await here.command(f"{sys.executable} -c '{send}'")
    assert (here.journal.requests, here.journal.statuses) == (1, {200: 1})


async def test_whoever_comes(tmp_path: Path) -> None:
    """The port is open for a time, or until the run is stopped, and its address is said first."""
    async with session(tmp_path) as here, anyio.create_task_group() as group:

        async def come() -> None:
            while not here.said:  # noqa: ASYNC110
                await anyio.sleep(0.02)
            port = int(here.said[0].removeprefix("listening on http://127.0.0.1:").partition(",")[0])
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\n\r\n")
                await stream.receive()
            here.stop.requested = True

        group.start_soon(come)
        with anyio.fail_after(10):
            await here.visiting.whoever_comes(None)
    assert here.journal.requests == 1
    (tmp_path / "again").mkdir()
    async with session(tmp_path / "again") as here:
        with anyio.fail_after(10):
            assert (await here.visiting.whoever_comes(0.2)).connections == 0
    assert here.said[0].endswith(", for 0.2 s")


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
async def test_it_says_when_others_can_reach_it(tmp_path: Path, host: str, warns: bool) -> None:  # noqa: FBT001
    """Only an address that other machines may reach is worth a warning."""
    async with session(tmp_path, Door(host=host)) as here:
        await here.visiting.whoever_comes(0.05)
    assert any("other machines can reach" in line for line in here.said) is warns


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 70000)]
)
async def test_an_address_that_cannot_be_had(tmp_path: Path, host: str, port: int) -> None:
    """It is a usage error that names the option."""
    async with session(tmp_path, Door(host=host, port=port)) as here:
        with anyio.fail_after(10), pytest.raises(UsageError, match="cannot listen on"):
            await here.visiting.whoever_comes(None)
