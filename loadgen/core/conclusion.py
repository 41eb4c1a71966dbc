"""Decides which verdict counts: of several replays of a recording, and of all verifications of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadgen import protocol
from loadgen.core.diagnosis import diagnosed
from loadgen.core.verdict import Fault, Judgement, OneOf, Reason, worst

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadgen.core.verdict import Altered, Excerpt, Verdict


def counting_replay(verdicts: Sequence[Verdict]) -> int:
    """Return the index of the replay that counts: the worst one, the earliest of equals."""
    return worst(range(len(verdicts)), lambda at: verdicts[at].judgement)


def counting_verification(verdicts: Mapping[int, Verdict | None]) -> int | None:
    """Return the number of the verification that counts; ``None`` if there is none.

    This is the latest; or, if the latest was one of several replays, the one with their conclusion. A verdict
    of ``None`` means that the verification has no readable verdict.
    """
    if not verdicts:
        return None
    latest = max(verdicts)
    for number in sorted(verdicts, reverse=True):
        verdict = verdicts[number]
        if verdict is not None and verdict.facts.replays:
            return number if str(latest) in {one.folder for one in verdict.facts.replays} else latest
    return latest


def concluded(
    replays: Sequence[tuple[str, Verdict]],
    changed: Sequence[str] | None,
    engine_log: Excerpt | None = None,
    altered: Sequence[Altered] = (),
) -> Verdict:
    """Return the verdict of those *replays*, each with the name of its folder: the causes come from all.

    *changed* names the files of the code that are not what was recorded, ``None`` where that is not known;
    *altered*, what else is not; *engine_log* is the engine's first message in the log of the replay that
    counts. If loadgen is not what recorded them, see :func:`_of_another_loadgen`.
    """
    verdicts = [verdict for _, verdict in replays]
    libraries = [
        f"{one.name} {one.recorded} (now {one.now or 'gone'})" for one in altered if one.what == "package"
    ]
    known = [*changed, *libraries] if changed is not None else libraries or None
    found = diagnosed(verdicts[counting_replay(verdicts)], verdicts, known)
    loadgen = next((one for one in altered if one.what == "loadgen"), None)
    if loadgen is not None:
        found = _of_another_loadgen(found, loadgen, code_changed=bool(known))
    call_logs = [verdict.facts.call_log for verdict in verdicts if verdict.facts.call_log is not None]
    return replace(
        found,
        facts=replace(
            found.facts,
            changed_sources=None if changed is None else tuple(changed),
            altered=tuple(altered),
            engine_log=None if found.judgement is Judgement.IDENTICAL else engine_log,
            call_log=call_logs[-1] if call_logs else None,
            replays=tuple(OneOf(name, verdict.judgement, verdict.diverged) for name, verdict in replays),
        ),
    )


def outdated(found: Verdict, age: str) -> Verdict:
    """Return *found*, a verdict on a recording that is too old, of the *age* in words.

    What differs still does; an identical replay shows nothing about the services of today.
    """
    advice = "Record it again: loadgen accept RUN"
    reason = Reason("recording", f"the recording has expired: {age}", advice, protocol.EXPIRED)
    judgement = found.judgement if found.judgement is Judgement.DIVERGED else Judgement.UNDETERMINED
    return replace(found, judgement=judgement, reasons=(*found.reasons, reason))


_AGAIN = "Verify it with the loadgen that recorded it, or record it again: loadgen accept RUN"


def _of_another_loadgen(found: Verdict, loadgen: Altered, *, code_changed: bool) -> Verdict:
    """Return *found*, a verdict on the recording of another *loadgen*, without faults that it cannot prove.

    The change of loadgen explains any difference of unchanged code, and of changed code any after a request
    has left the tape. Without another cause, the verdict is undetermined.
    """
    what = f"loadgen changed after the recording, from {loadgen.recorded} to {loadgen.now}"
    on_the_tape = not found.undecided and all(one.left is None for one in found.divergences)
    proves = code_changed and on_the_tape

    def stays(fault: str) -> bool:
        return proves or fault == Fault.TRANSCRIPT

    causes = tuple(
        one
        if stays(one.fault)
        else replace(one, fault=Fault.UNKNOWN, why=f"{what}; {one.why}", advice=_AGAIN)
        for one in found.causes
    )
    blamed = (Fault.ENGINE, Fault.APPLICATION)
    reasons = tuple(
        replace(one, fault="harness", message=f"{what}, and: {one.message}", advice=_AGAIN)
        if one.fault in blamed and not stays(one.fault)
        else one
        for one in found.reasons
    )
    if found.judgement is not Judgement.DIVERGED or proves or any(stays(one.fault) for one in causes):
        return replace(found, causes=causes, reasons=reasons)
    doubt = Reason("harness", f"{what}, and the replay differs", _AGAIN, protocol.LOADGEN_CHANGED)
    return replace(found, judgement=Judgement.UNDETERMINED, causes=causes, reasons=(*reasons, doubt))
