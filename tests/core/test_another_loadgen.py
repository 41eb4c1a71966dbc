"""Recordings of another loadgen, and recordings that are too old: what a verdict can still say."""

from __future__ import annotations

import pytest

from loadgen import protocol
from loadgen.core.conclusion import concluded, outdated
from loadgen.core.verdict import Altered, Fault, Judgement, Reason, Undecided, Verdict
from tests.core.test_diagnosis import departed, differing, verdict

CHANGED = Altered("loadgen", "loadgen", "0.1.0 (a)", "0.1.0 (b)")
LEFT = differing(1, left=departed(protocol.ANOTHER_CALL))


def conclusion(
    found: Verdict, code: tuple[str, ...] | None = (), altered: tuple[Altered, ...] = (CHANGED,)
) -> Verdict:
    return concluded([("1", found)], code, None, altered)


@pytest.mark.parametrize("code", [(), None])
@pytest.mark.parametrize("found", [verdict(LEFT), verdict(differing(1))])
def test_unchanged_code_is_not_judged(found: Verdict, code: tuple[str, ...] | None) -> None:
    """A difference of unchanged code is undetermined, and says that loadgen changed."""
    told = conclusion(found, code)
    assert (told.judgement, told.diverged) == (Judgement.UNDETERMINED, 1)
    assert told.reasons[-1].code == protocol.LOADGEN_CHANGED
    (cause,) = told.causes
    assert cause.fault is Fault.UNKNOWN
    assert "from 0.1.0 (a) to 0.1.0 (b)" in cause.why
    assert conclusion(found, code, ()).judgement is Judgement.DIVERGED


def test_changed_code_that_left_the_tape_is_not_judged() -> None:
    """Where requests left the tape, either change explains it, and what follows."""
    told = conclusion(verdict(LEFT, differing(2, ("status", "200", "404"))), ("/srv/app.py",))
    assert told.judgement is Judgement.UNDETERMINED
    assert {cause.fault for cause in told.causes} == {Fault.UNKNOWN}


def test_changed_code_on_the_tape_is_judged() -> None:
    """Changed code that follows the tape, and answers differently, is a regression whatever loadgen it is."""
    told = conclusion(verdict(differing(1)), ("/srv/app.py",))
    assert told.judgement is Judgement.DIVERGED
    assert told.causes[0].fault is Fault.APPLICATION


@pytest.mark.parametrize("fault", ["engine", "application"])
def test_a_replay_that_fails_is_nobody_elses_fault(fault: str) -> None:
    """The engine's failure, and a question that was not recorded, are not blamed on engine or application."""
    asked = Undecided(1, 0, "GET", "/", protocol.QUESTION_NOT_RECORDED, "…")
    stuck = Verdict(Judgement.UNDETERMINED, (Reason(fault, "stuck"),), undecided=(asked,))
    (reason,) = conclusion(stuck, ("/srv/app.py",)).reasons
    assert reason.fault == "harness"
    assert reason.message.startswith("loadgen changed")


def test_identical_stays_identical() -> None:
    """A replay that does not differ is identical, and names the change."""
    told = conclusion(verdict())
    assert (told.judgement, told.facts.altered) == (Judgement.IDENTICAL, (CHANGED,))


@pytest.mark.parametrize(
    ("found", "judgement"),
    [
        (verdict(), Judgement.UNDETERMINED),
        (verdict(differing(1)), Judgement.DIVERGED),
        (Verdict(Judgement.UNDETERMINED, (Reason("engine", "stuck"),)), Judgement.UNDETERMINED),
    ],
)
def test_a_recording_that_is_too_old_is_never_identical(found: Verdict, judgement: Judgement) -> None:
    """What differs still does; the reason is the last one."""
    told = outdated(found, "90 days")
    assert (told.judgement, told.reasons[:-1]) == (judgement, found.reasons)
    assert told.reasons[-1].code == protocol.EXPIRED
