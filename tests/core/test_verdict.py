"""The verdict as a value: its JSON codec is lossless, and refuses anything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadgen.core.comparison import RULES, Difference, ignoring
from loadgen.core.conclusion import counting_replay, counting_verification
from loadgen.core.departure import Departure
from loadgen.core.verdict import (
    CallDifference,
    CallLog,
    Cause,
    Database,
    Divergence,
    Excerpt,
    Facts,
    Fault,
    Judgement,
    LoggedCall,
    LoggedCalls,
    OneOf,
    Reason,
    Seconds,
    Undecided,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = st.text(max_size=8)
NUMBER = st.integers(0, 9)
MAYBE = st.none() | NUMBER
SECONDS = st.floats(0, 9, allow_nan=False)


def tuples(of: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(of, min_size=least, max_size=2).map(tuple)


LEFT = st.builds(Departure, TEXT, TEXT, tuples(TEXT), MAYBE, MAYBE)
DIVERGENCE = st.builds(
    Divergence, NUMBER, NUMBER, TEXT, TEXT, tuples(st.builds(Difference, TEXT, TEXT, TEXT), 1),
    st.none() | LEFT, MAYBE, MAYBE, MAYBE,
)  # fmt: skip
CAUSE = st.builds(
    Cause, st.sampled_from(Fault), TEXT, TEXT, DIVERGENCE, NUMBER, tuples(NUMBER), NUMBER, tuples(NUMBER)
)
SEEN = st.builds(LoggedCalls, tuples(st.builds(LoggedCall, tuples(TEXT), TEXT)), NUMBER, tuples(TEXT))
FACTS = st.builds(
    Facts,
    run=TEXT,
    engine_alone=st.booleans(),
    versions=st.dictionaries(TEXT, TEXT, max_size=2),
    database=st.none() | st.builds(Database, TEXT, st.booleans()),
    seconds=st.none() | st.builds(Seconds, st.none() | SECONDS, SECONDS),
    changed_sources=st.none() | tuples(TEXT),
    engine_log=st.none() | st.builds(Excerpt, NUMBER, tuples(TEXT), NUMBER),
    call_log=st.none() | st.builds(CallLog, NUMBER, st.none() | SEEN),
    replays=tuples(st.builds(OneOf, TEXT, st.sampled_from(Judgement), NUMBER)),
    compared_with=st.none() | st.tuples(TEXT, TEXT),
)
VERDICT = st.builds(
    Verdict,
    st.sampled_from(Judgement),
    tuples(st.builds(Reason, TEXT, TEXT, TEXT, TEXT)),
    divergences=tuples(DIVERGENCE),
    undecided=tuples(st.builds(Undecided, NUMBER, NUMBER, TEXT, TEXT, TEXT, TEXT, TEXT, tuples(TEXT))),
    calls=tuples(st.builds(CallDifference, NUMBER, TEXT, TEXT, TEXT, TEXT)),
    order=st.none() | DIVERGENCE,
    order_steps=MAYBE,
    client_order_same=st.none() | st.booleans(),
    rules=st.sampled_from([(), RULES, (*RULES, *ignoring(["json:$.a[*]..b[0]", "header:X"]))]),
    causes=tuples(CAUSE),
    facts=FACTS,
)


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VERDICT)
def test_a_verdict_survives_its_file(verdict: Verdict) -> None:
    """What is read is what was written, causes, rules and facts included."""
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def sample() -> dict[str, Any]:
    left = Departure("another-call", "why", ("a.py:1 in f: x",), 1, 2)
    one = Divergence(3, 0, "GET", "/", (Difference("status", "200", "500"),), left, 4, 0, 1)
    cause = Cause(Fault.APPLICATION, "why", "do", one, 1, (3,), 1, (5,))
    facts = Facts(run="r", seconds=Seconds(1.5, 2.5), replays=(OneOf("1", Judgement.DIVERGED, 1),))
    verdict = Verdict(
        Judgement.DIVERGED, (Reason("engine", "it is stuck"),), 5, 5, 1, (one,), causes=(cause,), facts=facts
    )
    content: dict[str, Any] = json.loads(json.dumps(verdict.to_json()))
    return content


def places(content: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of each value in *content*."""
    found = [path] if path else []
    inner: Mapping[Any, object] = (
        content
        if isinstance(content, dict)
        else dict(enumerate(content))
        if isinstance(content, list)
        else {}
    )
    for key, value in inner.items():
        found += places(value, (*path, key))
    return found


@pytest.mark.parametrize("path", places(sample()), ids=str)
def test_damage_is_never_read(path: tuple[str | int, ...]) -> None:
    """A value that is gone, or of another type, makes it no verdict, wherever it is."""
    for damage in ("gone", {"no": 1.5}, [[1.5]]):
        content: Any = sample()
        here = content
        for key in path[:-1]:
            here = here[key]
        if damage == "gone" and isinstance(here, dict):
            del here[path[-1]]
        else:
            here[path[-1]] = damage if damage != "gone" else 9.5
        with pytest.raises(ValueError, match=r"damaged|format"):
            Verdict.from_json(content)


def test_more_than_a_verdict_is_damage() -> None:
    """A field that nobody writes is not left out silently."""
    with pytest.raises(ValueError, match="damaged"):
        Verdict.from_json({**sample(), "more": 1})


def test_another_format_is_another_versions() -> None:
    """It is said, and nothing is guessed."""
    with pytest.raises(ValueError, match="another version of loadgen"):
        Verdict.from_json({**sample(), "format": "loadgen-verdict/1"})


# ---- which counts ----------------------------------------------------------------------------------------


def verdicts(*judgements: Judgement) -> list[Verdict]:
    return [Verdict(one) for one in judgements]


def test_of_several_replays_the_worst_counts() -> None:
    """One that diverged outweighs one that cannot tell, that an identical one; the first of equals."""
    good, bad, none = Judgement.IDENTICAL, Judgement.DIVERGED, Judgement.UNDETERMINED
    assert counting_replay(verdicts(good, none, good)) == 1
    assert counting_replay(verdicts(none, bad, bad)) == 1
    assert counting_replay(verdicts(good, good)) == 0


def test_of_all_verifications_the_latest_counts() -> None:
    """Unless the latest was one of several replays: then the one with their conclusion does."""
    alone = Verdict(Judgement.IDENTICAL)

    def of(*folders: int) -> Verdict:
        replays = tuple(OneOf(str(one), Judgement.DIVERGED, 1) for one in folders)
        return Verdict(Judgement.DIVERGED, facts=Facts(replays=replays))

    assert counting_verification({}) is None
    assert counting_verification({9: alone, 10: alone}) == 10
    assert counting_verification({1: of(1, 2), 2: alone, 3: alone}) == 3
    assert counting_verification({1: alone, 2: of(2, 3, 4), 3: alone, 4: alone}) == 2
    assert counting_verification({1: of(1), 2: None}) == 2
