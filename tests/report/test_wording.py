"""Causes in words: complete sentences, with their location, without secrets, for any verdict."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from loadgen import protocol
from loadgen.core.comparison import Difference
from loadgen.core.departure import Departure
from loadgen.core.diagnosis import diagnosed
from loadgen.core.masking import MASK, Masker, parse
from loadgen.core.verdict import Divergence, Judgement, Verdict
from loadgen.report.evidence import gather
from loadgen.report.page import model, render
from loadgen.report.story import tell
from loadgen.report.wording import causes, sentence
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make
from tests.resealing import reseal

if TYPE_CHECKING:
    from pathlib import Path

OWN = "/srv/shop/shop.py:65 in sampled: return time.time() > 0"
LIBRARY = "/srv/.venv/lib/python3.11/site-packages/flask/app.py:902 in dispatch: return view()"
NOT_RECORDED = "the request makes a call that was not recorded, after its last recorded one"
LEFT = Sample(
    left=dict.fromkeys((20, 33, 41), Departure(protocol.CALL_NOT_RECORDED, NOT_RECORDED, (LIBRARY, OWN)))
)


def nothing() -> Masker:
    return Masker(parse(()))


def told(path: Path, sample: Sample) -> dict[str, Any]:
    """Return the page's data."""
    run, manifest = make(path, sample)
    found, masker = find_verification(run.path), nothing()
    evidence = gather(run, manifest, found, masker)
    story = tell(manifest, found, sample.requests, masker)
    assert render(evidence, masker, version="0").startswith(b"<!doctype html>")
    return {**model(evidence, story, masker, version="0"), "lead": story.lead}


@pytest.mark.parametrize(
    ("field", "recorded", "replayed", "says"),
    [
        (
            "outcome",
            "answered 200",
            "no answer: ReadTimeout timed out",
            "recorded: answered 200; in the replay: no answer: ReadTimeout timed out",
        ),
        (
            "served",
            "by the recorded server",
            "by a server, not the tape",
            "it was served by the recorded server; in the replay, by a server, not the tape",
        ),
        ("status", "200", "500", "status was 200 and is 500"),
        ("body:$.n", "1", "2", "body $.n was 1 and is 2"),
        ("header:location", "(absent)", "'/a'", "header location was absent and is '/a'"),
        ("body:$.n", "x" * 99, "2", f"body $.n was {'x' * 47}… and is 2"),
    ],
)
def test_difference_is_a_sentence(field: str, recorded: str, replayed: str, says: str) -> None:
    """An outcome is told as what happened, in full but for where; a value as what it was and is."""
    assert sentence(Difference(field, recorded, replayed), nothing()) == says


def test_lead_and_cause_tell_what_where_whose_and_what_next(tmp_path: Path) -> None:
    """The first divergence in the server's order is the headline, the application's own call its place."""
    data = told(tmp_path / "run", LEFT)
    (cause,) = data["causes"]
    assert data["lead"] == (
        "3 of 60 answers differ, all from one cause. The first, in the server's order, is request 20: "
        f"recorded: answered 201; in the replay it left the tape: {NOT_RECORDED}."
    )
    assert (cause["fault"], cause["count"], cause["here"]) == ("unknown", 3, 3)
    assert cause["where"] == "/srv/shop/shop.py:65 in sampled"
    assert cause["why"].startswith("Its code is unchanged, but it made a different call than recorded")
    assert cause["advice"]
    assert [one["cause"] for one in data["divergences"]] == [1, 1, 1]
    assert data["divergences"][0]["stack"] == [LIBRARY, OWN]


@pytest.mark.slow
def test_lead_does_not_count_causes_of_what_it_does_not_know(tmp_path: Path) -> None:
    """Where more differ than a verdict has the details of, the rest may have further causes."""
    data = told(tmp_path / "run", Sample(requests=2600, diverge=tuple(range(1, 2600, 2))))
    assert data["lead"].startswith("1,300 of 2,600 answers differ. ")


def differing(seq: int, *differences: Difference) -> Divergence:
    return Divergence(seq, 0, "GET", "/a?token=s3cr3t-t0ken", differences, position=seq)


def test_cause_of_another_replay_is_told_masked_field_by_field() -> None:
    """What differs in another replay only is in none of this one's transcripts: rules mask it, not memory."""
    secret = "s3cr3t-t0ken"
    rules = parse(["json:$.password", "query:token"])
    other = [
        differing(1, Difference("header:set-cookie", f"'id={secret}'", "'id=other'")),
        differing(2, Difference("body:$.password", f'"{secret}"', '"other"')),
        differing(3, Difference("body at byte 7", secret, "other")),
    ]
    this = Verdict(
        Judgement.DIVERGED, diverged=1, divergences=(differing(9, Difference("status", "200", "500")),)
    )
    that = Verdict(Judgement.DIVERGED, diverged=3, divergences=tuple(other))
    shown = causes(diagnosed(this, [this, that], []), Masker(rules))
    text = json.dumps([{**asdict(one), "head": None} for one in shown])
    assert secret not in text
    assert text.count(MASK) >= 6
    assert [one.elsewhere for one in shown] == [True, True, True, False]
    assert f"was {MASK} and is {MASK} in another replay" in shown[0].what


def test_secrets_are_out_of_why_where_and_stack(tmp_path: Path) -> None:
    """Free text is rid of every value that a rule masked in the transcripts."""
    secret = "s3cr3t-t0ken"
    call = f"/srv/shop.py:3 in f_{secret}: check('{secret}')"
    sample = Sample(
        headers=(("Authorization", f"Bearer {secret}"),),
        left={20: Departure(protocol.ANOTHER_CALL, f"query '{secret}'", (call,))},
    )
    data = told(tmp_path / "run", sample)
    assert secret not in json.dumps(data)
    assert MASK in data["causes"][0]["why"]
    assert MASK in data["causes"][0]["where"]
    assert MASK in data["divergences"][0]["stack"][0]


def test_several_replays_are_told_by_the_one_that_has_their_verdict(tmp_path: Path) -> None:
    """The latest of three replays may be identical: what is shown by default is the verdict on them all."""
    run, _ = make(tmp_path / "run", Sample(diverge=(7,)))
    verify = run.path / "verify"
    concluded = json.loads((verify / "1" / "verdict.json").read_text())
    for number in (2, 3, 4, 5):
        (verify / str(number)).mkdir()
        alone = {**concluded, "verdict": "identical", "diverged": 0, "divergences": [], "causes": []}
        reseal(verify / str(number) / "verdict.json", alone)

    def conclude(number: int, *folders: int) -> int:
        replays = [{"folder": str(one), "verdict": "identical", "diverged": 0} for one in folders]
        file = verify / str(number) / "verdict.json"
        reseal(file, replays=replays)
        found = find_verification(run.path)
        assert found is not None
        return found.number

    assert conclude(1, 1, 2, 3) == 5  # 4 and 5 were made since, before there were replays in verdicts
    assert conclude(3, 3, 4, 5) == 3
    assert conclude(5, 5) == 5
