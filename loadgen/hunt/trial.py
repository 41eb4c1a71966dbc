"""Trial: record once and verify once, as a user does, in separate processes and a separate folder.

Two jobs of workers (:mod:`loadgen.worker`) do what ``loadgen record`` and ``loadgen verify`` do. Their
results are read from their files::

    <folder>/
        run/                the run folder; see loadgen.store.run_folder
        record.jsonl        events, see loadgen.core.events; record.log errors
        verify.jsonl, verify.log

A trial without a result is undetermined, with a message; only errors that all trials would have are raised.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from msgspec import structs

from loadgen.core.conclusion import counting_verification
from loadgen.core.diagnosis import numberless
from loadgen.core.jobs import Record, Verify
from loadgen.core.option import command
from loadgen.core.spec import RunSpec, VerifySpec
from loadgen.core.verdict import Judgement
from loadgen.errors import LoadgenError, ServerEnded
from loadgen.hunt.workers import Workers
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
ATTRIBUTING = 3
"""Number of replays; separates races from values that are missing on the tape."""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """The settings of a trial."""

    record: RunSpec
    verify: VerifySpec | None = field(default_factory=VerifySpec)
    """None: it is only recorded."""
    directory: str | None = None
    """Where its commands run; None: in the current directory."""

    @property
    def command(self) -> str:
        """The shell command to repeat the trial, in a new run folder."""
        record = command("record", self.record.public)
        return record if self.verify is None else f"{record}; {command('verify', self.verify)}"


@dataclass(frozen=True, slots=True)
class TrialCause:
    """A cause of a divergence, see :class:`loadgen.core.verdict.Cause`, or why the trial is undetermined."""

    fault: str
    kind: str
    """The kind of the difference, equal in other trials: without numbers and values."""
    headline: str
    why: str
    count: int
    """Number of requests concerned."""
    advice: str = ""
    """What to do next, if it could not be recorded or verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The result of one trial."""

    judgement: Judgement
    message: str = ""
    """The first cause, in a sentence."""
    causes: tuple[TrialCause, ...] = ()
    """Why it is not identical, in the server's order."""
    requests: int = 0
    """Number of recorded requests."""
    diverged: int = 0
    """Number of differing answers."""
    record_code: int | None = None
    """Exit code of ``loadgen record``, negative for a signal; None if it exceeded its limit."""
    verify_code: int | None = None
    """Exit code of ``loadgen verify``; None also if it was not run."""
    record_seconds: float = 0
    """Elapsed time of the command in seconds, like ``verify_seconds``."""
    verify_seconds: float = 0
    server_ended: str = ""
    """How the server ended by itself while it was being recorded, if it did."""
    sessions: tuple[float, float] | None = None
    """Duration of the requests alone in seconds, recorded and replayed."""
    folder: str = ""
    """The folder of its files, if they are kept."""
    command: str = ""
    """The shell command to repeat it."""

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrialResult:
        """Decode a result from the output of :meth:`to_json`.

        Raises:
            ValueError, TypeError, KeyError: *content* is not valid.
        """
        fields = dict(content)
        fields["judgement"] = Judgement(fields["judgement"])
        fields["causes"] = tuple(TrialCause(**one) for one in fields["causes"])
        if fields["sessions"] is not None:
            recorded, replayed = fields["sessions"]
            fields["sessions"] = (float(recorded), float(replayed))
        return cls(**fields)


async def run(plan: TrialPlan, folder: Path, workers: Workers, *, limit: float = LIMIT) -> TrialResult:
    """Let *workers* run *plan* in *folder*, which must not exist or be empty, and return the result.

    What is only recorded is undetermined; its run is in *folder*.

    If cancelled, it ends the processes that it started, cleanly if possible, before it returns. If this
    process is killed, they end by themselves.

    Raises:
        UsageError: the commands refuse their arguments, as they would in every trial of this plan.
        OSError: *folder* cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = (folder / RUN).absolute()
    recording = await workers.do(Record(spec=plan.record, folder=str(run)), folder, limit, plan.directory)
    result = TrialResult(
        judgement=Judgement.UNDETERMINED,
        record_code=recording.code,
        record_seconds=recording.seconds,
        folder=str(folder),
        command=plan.command,
    )
    requests = _recorded(run)
    if requests is None:
        said = recording.failed
        how = ""
        if said is not None and said.kind == ServerEnded.__name__:
            how = said.message.splitlines()[0]
        return replace(_because(result, _reason(*recording.failure())), server_ended=how)
    result = replace(result, requests=requests)
    if plan.verify is None:
        return result
    verifying = await workers.do(Verify(spec=plan.verify, run=str(run)), folder, limit, plan.directory)
    result = replace(result, verify_code=verifying.code, verify_seconds=verifying.seconds)
    verdict = concluded(run)
    if verdict is None or verifying.code != verdict.judgement.exit_code:
        return _because(result, _reason(*verifying.failure()))
    seconds = verdict.facts.seconds
    return replace(
        _because(result, *_causes(verdict)),
        judgement=verdict.judgement,
        diverged=verdict.diverged,
        sessions=(seconds.recording or 0.0, seconds.replay) if seconds else None,
    )


def _recorded(run: Path) -> int | None:
    """Return the number of recorded requests; None if the recording is not complete."""
    try:
        _, manifest = RunFolder.open(run)
    except LoadgenError:
        return None
    return manifest.requests if manifest.result.state is State.COMPLETE else None


async def attribute(folder: Path, verify: VerifySpec, *, limit: float = LIMIT) -> None:
    """Replay the run of a kept trial several times, because one replay often does not show the fault."""
    verifications = folder / RUN / "verify"
    shutil.rmtree(verifications, ignore_errors=True)
    again = structs.replace(verify, replays=ATTRIBUTING)
    async with Workers() as workers:
        await workers.do(Verify(spec=again, run=str(folder / RUN)), folder, limit)


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
        yield _reason(reason.fault, reason.message, reason.advice)


def _reason(fault: str, message: str, advice: str) -> TrialCause:
    first, *rest = message.split("\n", 1)
    return TrialCause(fault, numberless(first), first, "".join(rest), 0, advice)


def kind(head: Divergence) -> str:
    """Return the kind of *head*, which the same cause has in other runs too."""
    what = head.evidence or " and ".join(one.field for one in head.differences) + " differs"
    return numberless(f"{head.method} {head.target}: {what}")


def concluded(run: Path) -> Verdict | None:
    """Return the final verdict of ``loadgen verify``; ``None`` if a replay left none."""
    verdicts = {number: read_verdict(path)[0] for number, path in verifications(run).items()}
    number = counting_verification(verdicts)
    return None if number is None or None in verdicts.values() else verdicts[number]


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object at *path*, or an empty one; commands write it atomically."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
