"""Trial: record once and verify once, as a user does, in processes and a folder of its own.

It is made by two jobs of workers (:mod:`loadgen.worker`), which do what ``loadgen record`` and ``loadgen
verify`` do. Their results are read from the files that they leave::

    <folder>/
        run/                the run folder; see loadgen.store.run_folder
        record.jsonl        what happened, see loadgen.core.events; record.log what went wrong
        verify.jsonl, verify.log

A trial without an answer is undetermined, with a message; it raises only errors that all trials would hit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
from msgspec import structs

from loadgen import errors
from loadgen.core.conclusion import counting_verification
from loadgen.core.diagnosis import numberless
from loadgen.core.events import Failed, from_line
from loadgen.core.jobs import ENTRY, Record, Verify
from loadgen.core.option import command
from loadgen.core.spec import RunSpec, VerifySpec, to_json
from loadgen.core.verdict import Judgement
from loadgen.engine.log import ending
from loadgen.engine.process import send
from loadgen.errors import LoadgenError, UsageError
from loadgen.store.manifest import State
from loadgen.store.run_folder import RunFolder
from loadgen.store.verification import read_verdict, verifications

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from loadgen.core.verdict import Divergence, Verdict

RUN = "run"
"""The name of the run folder in a trial's folder."""
LIMIT = 600.0
"""Time limit for each of the two commands, in seconds."""
GRACE = 25.0
"""Grace period in seconds for a command to clean up after SIGTERM, before it is killed."""
ATTRIBUTING = 3
"""Number of replays; separates races from values that are missing on the tape."""
LAST_WORDS = 3
"""Lines of its log that the message of a command which failed unexpectedly quotes."""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """What to try."""

    record: RunSpec
    verify: VerifySpec = field(default_factory=VerifySpec)

    @property
    def command(self) -> str:
        """What a shell runs to try it again, in a run folder of its own."""
        return f"{command('record', self.record.public)}; {command('verify', self.verify)}"


@dataclass(frozen=True, slots=True)
class TrialCause:
    """One cause of a divergence, see :class:`loadgen.core.diagnosis.Cause`, or why it cannot be told."""

    fault: str
    kind: str
    """What differs, without what is particular to this run: numbers, values. The same in other trials."""
    headline: str
    why: str
    count: int
    """Requests that it concerns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The result of one trial."""

    judgement: Judgement
    message: str = ""
    """The first of the causes, in a sentence."""
    causes: tuple[TrialCause, ...] = ()
    """Why it is not identical; of what differs, the first in the server's order first."""
    requests: int = 0
    """Requests that were recorded."""
    diverged: int = 0
    """Answers that differ."""
    record_code: int | None = None
    """Exit code of ``loadgen record``, negative for a signal; none where it was ended by its limit."""
    verify_code: int | None = None
    """Of ``loadgen verify``; none also where it was not run."""
    record_seconds: float = 0
    """Wall seconds of the command, as those of ``verify_seconds``."""
    verify_seconds: float = 0
    sessions: tuple[float, float] | None = None
    """Seconds of the requests alone, recorded and replayed."""
    folder: str = ""
    """Where its files are, if they are kept."""
    command: str = ""
    """What a shell runs to try it again."""

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrialResult:
        """Return the result that :meth:`to_json` gave *content* of.

        Raises:
            ValueError, TypeError, KeyError: it is not one.
        """
        fields = dict(content)
        fields["judgement"] = Judgement(fields["judgement"])
        fields["causes"] = tuple(TrialCause(**one) for one in fields["causes"])
        if fields["sessions"] is not None:
            recorded, replayed = fields["sessions"]
            fields["sessions"] = (float(recorded), float(replayed))
        return cls(**fields)


async def run(plan: TrialPlan, folder: Path, *, limit: float = LIMIT) -> TrialResult:
    """Try *plan* in *folder*, which must not exist or be empty, and return what came of it.

    Cancelled, it ends the processes that it started, cleanly if they let it, before it returns. Should this
    process be killed, they end by themselves.

    Raises:
        UsageError: the commands refuse their arguments: every trial of this plan will fail like this one.
        OSError: *folder* cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recording = await work(Record(spec=plan.record, folder=str(folder / RUN)), folder, limit)
    result = TrialResult(
        judgement=Judgement.UNDETERMINED,
        record_code=recording.code,
        record_seconds=recording.seconds,
        folder=str(folder),
        command=plan.command,
    )
    requests = _recorded(folder / RUN)
    if requests is None:
        return _because(result, recording.failure())
    result = replace(result, requests=requests)
    verifying = await work(Verify(spec=plan.verify, run=str(folder / RUN)), folder, limit)
    result = replace(result, verify_code=verifying.code, verify_seconds=verifying.seconds)
    verdict = concluded(folder / RUN)
    if verdict is None or verifying.code != verdict.judgement.exit_code:
        return _because(result, verifying.failure())
    seconds = verdict.facts.seconds
    return replace(
        _because(result, *_causes(verdict)),
        judgement=verdict.judgement,
        diverged=verdict.diverged,
        sessions=(seconds.recording or 0.0, seconds.replay) if seconds else None,
    )


def _recorded(run: Path) -> int | None:
    """Return how many requests were recorded; None if the recording is not complete."""
    try:
        _, manifest = RunFolder.open(run)
    except LoadgenError:
        return None
    return manifest.requests if manifest.result.state is State.COMPLETE else None


async def attribute(folder: Path, verify: VerifySpec, *, limit: float = LIMIT) -> None:
    """Replay the run of a kept trial several times: whose fault it is, one replay often cannot tell."""
    verifications = folder / RUN / "verify"
    shutil.rmtree(verifications, ignore_errors=True)
    again = structs.replace(verify, replays=ATTRIBUTING)
    await work(Verify(spec=again, run=str(folder / RUN)), folder, limit)


def _because(result: TrialResult, *causes: TrialCause) -> TrialResult:
    return replace(result, causes=causes, message=causes[0].headline if causes else "")


def _causes(verdict: Verdict) -> Iterator[TrialCause]:
    """Yield why *verdict* is not identical."""
    for one in verdict.causes:
        yield TrialCause(
            one.fault.value, kind(one.first), one.headline, one.why, one.count + one.consequences
        )
    if not verdict.causes and verdict.order is not None:
        yield TrialCause("unknown", "server order differs", str(verdict.order.differences[0]), "", 0)
    for reason in verdict.reasons:
        yield _reason(reason.fault, reason.message)


def _reason(fault: str, message: str) -> TrialCause:
    first, *rest = message.split("\n", 1)
    return TrialCause(fault, numberless(first), first, "".join(rest), 0)


def kind(head: Divergence) -> str:
    """Return what *head* has in common with the first divergences of the same cause in other runs."""
    what = head.evidence or " and ".join(one.field for one in head.differences) + " differs"
    return numberless(f"{head.method} {head.target}: {what}")


def concluded(run: Path) -> Verdict | None:
    """Return the verdict that ``loadgen verify`` concluded with; ``None`` where a replay left none."""
    verdicts = {number: read_verdict(path)[0] for number, path in verifications(run).items()}
    number = counting_verification(verdicts)
    return None if number is None or None in verdicts.values() else verdicts[number]


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object at *path*, an empty one where there is none: a command writes it whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True, slots=True)
class _Ended:
    """A command that has ended."""

    name: str
    code: int | None
    """Its exit code, negative for a signal; none if its time was up."""
    seconds: float
    events: Path
    log: Path

    def failure(self) -> TrialCause:
        """Say why it failed, in its own words where it had any."""
        if self.failed is not None and self.code is not None:
            error = errors.from_event(self.failed.kind, self.failed.message, self.failed.advice)
            return _reason(error.fault, f"{self.name}: {error.message}")
        if self.code is None:
            took = f"it took longer than {self.seconds:.0f} s, and was ended"
            return _reason(errors.HarnessFault.fault, f"{self.name}: {took}")
        return _reason(
            "unknown", "\n".join((f"{self.name}: {ending(self.code)}", *_lines(self.log)[-LAST_WORDS:]))
        )

    @property
    def failed(self) -> Failed | None:
        """What it said of why it could not be done."""
        for line in reversed(_lines(self.events)):
            with suppress(ValueError):  # cut off
                if isinstance(event := from_line(line.encode()), Failed):
                    return event
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


async def work(job: Record | Verify, folder: Path, limit: float) -> _Ended:
    """Let a worker do *job*, to its end or until *limit* seconds have passed."""
    began, name = monotonic(), "record" if isinstance(job, Record) else "verify"
    events, log = folder / f"{name}.jsonl", folder / f"{name}.log"
    lifeline, held = os.pipe()  # its standard input: the command ends when we have
    try:
        with events.open("wb") as out, log.open("wb") as err:
            process = await anyio.open_process(
                # -P: what is called loadgen in the working directory is not what the user runs
                [sys.executable, "-P", "-m", ENTRY, to_json(job).decode()],
                stdin=lifeline,
                stdout=out,
                stderr=err,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
            )
        try:
            with anyio.move_on_after(limit):
                await process.wait()
            code = process.returncode
        finally:
            await _end(process)
    finally:
        os.close(lifeline)
        os.close(held)
    ended = _Ended(name, code, round(monotonic() - began, 3), events, log)
    if code == UsageError.exit_code and (said := ended.failed) is not None:
        raise UsageError(f"loadgen {name}: {said.message}", advice=said.advice)
    return ended


async def _end(process: anyio.abc.Process) -> None:
    """End what still runs of a command: asked twice, as by an impatient user, and then at once."""
    if process.returncode is not None:
        return
    with anyio.CancelScope(shield=True):
        for number in (signal.SIGINT, signal.SIGTERM):
            send(process, number)
        with anyio.move_on_after(GRACE):
            await process.wait()
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
