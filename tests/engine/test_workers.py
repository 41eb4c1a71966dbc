"""Workers: jobs in processes that are forked from one that has imported everything."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.exchange import Response
from loadgen.core.jobs import Record
from loadgen.core.spec import Load, RunSpec
from loadgen.hunt.workers import WorkerEnd, Workers
from loadgen.store.run_folder import RunFolder
from tests.engine.test_command_line import wait_for_requests

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]
LIMIT = 60.0
SERVER = """
import os
from flask import Flask

app = Flask(__name__)

@app.get("/")
def where():
    return {"here": os.getcwd()}

app.run()
"""


def job(folder: Path, target: str = "serve.py", iterations: int = 2) -> Record:
    """Return the job to record a server in a new folder, relative to the worker's directory."""
    folder.mkdir()
    return Record(
        spec=RunSpec(target=(target,), load=Load(concurrency=2, iterations=iterations)),
        folder=str(folder / "run"),
    )


def test_workers_are_forked_from_one_process(tmp_path: Path) -> None:
    """Each job has a directory, events and a log of its own; several run at a time."""
    places = [tmp_path / name for name in "abc"]
    ended = dict[str, WorkerEnd]()

    async def one(workers: Workers, place: Path) -> None:
        place.mkdir()
        (place / "serve.py").write_text(SERVER)
        ended[place.name] = await workers.do(job(place / "out"), place / "out", LIMIT, str(place))

    async def work() -> None:
        async with Workers() as workers:
            for group in (places[:1], places[1:]):
                async with anyio.create_task_group() as tasks:
                    for place in group:
                        tasks.start_soon(one, workers, place)

    anyio.run(work)
    for place in places:
        assert ended[place.name].code == 0, (place / "out" / "record.log").read_text()
        run, manifest = RunFolder.open(place / "out" / "run")
        assert manifest.requests == 4
        with run.read() as events:
            bodies = [event.body for event in events if isinstance(event, Response)]
        assert all(str(place) in str(body) for body in bodies)
        assert b'"session_end"' in ended[place.name].events.read_bytes()


def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    """Its exit code and its own words are known; a directory that is not there is refused at once."""
    (tmp_path / "serve.py").write_text("raise SystemExit('no such luck')")

    async def work() -> WorkerEnd:
        async with Workers() as workers:
            with pytest.raises(FileNotFoundError):
                await workers.do(job(tmp_path / "1"), tmp_path / "1", LIMIT, str(tmp_path / "nowhere"))
            return await workers.do(job(tmp_path / "2"), tmp_path / "2", LIMIT, str(tmp_path))

    ended = anyio.run(work)
    assert ended.code == 3
    assert "no such luck" in ended.failure()[1]


def test_the_forking_process_is_killed(tmp_path: Path) -> None:
    """The job that ran has no known end, and is ended; the next one starts another process."""
    (tmp_path / "serve.py").write_text(SERVER)

    async def work() -> WorkerEnd:
        async with Workers() as workers:
            (tmp_path / "1").mkdir()

            async def kill() -> None:
                out = tmp_path / "1" / "out"
                await anyio.to_thread.run_sync(wait_for_requests, out / "run", 20)
                assert workers.pid is not None
                os.kill(workers.pid, signal.SIGKILL)

            async with anyio.create_task_group() as group:
                group.start_soon(kill)
                out = tmp_path / "1" / "out"
                lost = await workers.do(job(out, iterations=100_000), out, LIMIT, str(tmp_path))
            assert (lost.code, lost.is_known) == (None, False)
            assert "was killed" in lost.failure()[1]
            return await workers.do(job(tmp_path / "2"), tmp_path / "2", LIMIT, str(tmp_path))

    assert anyio.run(work).code == 0
