"""The pytest plug-in: recordings as tests, and a fixture that records what a test does.

``pytest --loadgen recordings/`` collects an item for each run in that folder. It is loaded by every pytest of
an environment that has loadgen, so it imports nothing else of loadgen until it is used.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.core.option import shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from loadgen.store.runs import FoundRun
    from loadgen.suite import SuiteRow

START_LIMIT = 60.0
"""Seconds in which a server must start to be recorded."""
END_LIMIT = 60.0
"""Seconds in which its recording must be complete."""
LOOK_EVERY = 0.05
MARK = "loadgen"
"""The mark of every item of a recording."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("loadgen", "recorded runs as tests")
    group.addoption(
        "--loadgen", action="append", default=[], metavar="FOLDER", help="Verify each recorded run in FOLDER."
    )
    group.addoption(
        "--loadgen-ignore",
        action="append",
        default=[],
        metavar="RULE",
        help="Leave a field out of the comparison: header:NAME or json:PATH.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark that every recording has."""
    config.addinivalue_line("markers", f"{MARK}: a recorded run, verified by loadgen")


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add an item for each run; folders that are damaged, or not runs, have one too, and it fails."""
    if not (given := config.getoption("loadgen")):
        return
    from loadgen.errors import UsageError  # noqa: PLC0415 - see above
    from loadgen.store.runs import find_runs  # noqa: PLC0415

    try:
        found = find_runs([config.invocation_params.dir / one for one in given])
    except UsageError as error:
        raise pytest.UsageError(f"--loadgen: {error.message}") from None
    for one in found:
        recording = RecordedRun.from_parent(session, path=one.path / "run.json")
        items.append(VerifiedRun.from_parent(recording, name=one.label, found=one))


class RecordedRun(pytest.File):
    """The manifest of a recorded run."""

    def collect(self) -> list[pytest.Item]:
        """Return nothing: its item is made for it."""
        return []


class NotIdentical(Exception):  # noqa: N818 - a verdict
    """A run diverged, or could not be judged."""


class VerifiedRun(pytest.Item):
    """A recorded run, to be verified."""

    def __init__(self, *, found: FoundRun, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.found = found
        tags = found.manifest.spec.label.tags if found.manifest else ()
        for tag in tags:
            self.config.addinivalue_line("markers", f"{tag}: a tag of a recorded run")
        for mark in (MARK, *tags):
            self.add_marker(mark)
        self.extra_keyword_matches |= {found.label, found.path.name, *tags}

    def runtest(self) -> None:
        """Verify it.

        Raises:
            NotIdentical: with what was found, and where its report is.
        """
        import anyio  # noqa: PLC0415 - see above

        from loadgen.core.comparison import ignoring  # noqa: PLC0415
        from loadgen.core.events import ignore  # noqa: PLC0415
        from loadgen.core.spec import VerifySpec  # noqa: PLC0415
        from loadgen.core.verdict import Judgement  # noqa: PLC0415
        from loadgen.suite import verify_all  # noqa: PLC0415

        spec = VerifySpec(ignore=tuple(self.config.getoption("loadgen_ignore")))
        ignoring(spec.ignore)
        (row,) = anyio.run(verify_all, [self.found], spec, 1, ignore)
        if row.judgement is not Judgement.IDENTICAL:
            raise NotIdentical("\n".join(self._told(row)))

    def _told(self, row: SuiteRow) -> Iterator[str]:
        from loadgen.cli.suites import words, write_report  # noqa: PLC0415 - see above

        (told,) = words([row])
        yield f"{row.judgement.value.upper()}  {told.what}"
        yield from told.details
        if row.verified is not None:
            report = write_report(row)
            self.user_properties.append(("loadgen_report", str(report)))
            yield f"report: {report}"
        yield f"again: {shell('verify', self.found.path)}"
        yield f"if the new answers are wanted: {shell('accept', self.found.path)}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what was found, without a traceback of loadgen."""
        if isinstance(excinfo.value, NotIdentical):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return how the item is called."""
        return self.path, None, f"recording: {self.name}"


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A server that is being recorded."""

    url: str
    run: Path
    """Its run folder, complete when the block is left."""


@pytest.fixture
def loadgen_record(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., AbstractContextManager[RecordedSession]]:
    """Record what a test sends to a server.

    ``with loadgen_record("shop:app", run="recordings/shop") as session: ...`` runs the server under the
    engine, behind a gateway at ``session.url``. Without *run* it is recorded into the test's own folder.
    """

    def record(
        *target: str, run: str | Path | None = None, name: str = "", tags: Sequence[str] = ()
    ) -> AbstractContextManager[RecordedSession]:
        folder = tmp_path / "run" if run is None else request.config.rootpath / run
        return _recording(target, folder, request.config.rootpath, name or request.node.name, tags)

    return record


@contextmanager
def _recording(
    target: Sequence[str], run: Path, directory: Path, name: str, tags: Sequence[str]
) -> Iterator[RecordedSession]:
    from loadgen.core.jobs import ENTRY, Record  # noqa: PLC0415 - see above
    from loadgen.core.spec import Label, ListenTraffic, RunSpec, to_json  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spec = RunSpec(
        target=tuple(target),
        traffic=ListenTraffic(listen=f"127.0.0.1:{port}"),
        label=Label(name=name, tags=tuple(tags)),
    )
    job = to_json(Record(spec=spec, folder=str(run)))
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-m", ENTRY, job.decode()],
            cwd=directory,
            stdin=subprocess.PIPE,  # that it closes tells the worker that this process is gone
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(port, process)
            if process.poll() is None:
                yield RecordedSession(f"http://127.0.0.1:{port}", run)
                process.send_signal(signal.SIGINT)
            if process.wait(END_LIMIT):
                output.seek(0)
                raise AssertionError(f"{' '.join(target)} could not be recorded: {_last(output.read())}")
        finally:
            process.kill()
            process.communicate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the gateway listens, which it does when the server is ready, or the process has ended."""
    end = time.monotonic() + START_LIMIT
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise AssertionError(f"the server did not start in {START_LIMIT:g} s") from None
            time.sleep(LOOK_EVERY)
        else:
            return


def _last(said: bytes) -> str:
    """Return what a worker reported as its failure, or its last words."""
    from loadgen.core.events import Failed, from_line  # noqa: PLC0415 - see above

    lines = said.splitlines()
    for line in reversed(lines):
        try:
            event = from_line(line)
        except ValueError:
            continue
        if isinstance(event, Failed):
            return f"{event.message}\n  {event.advice}".rstrip()
    return b"\n".join(lines[-10:]).decode("utf-8", "replace")
