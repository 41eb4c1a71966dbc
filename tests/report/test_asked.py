"""The call diff: what changed code asks otherwise, by route, on the page and in every export."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from loadgen.core.alignment import Aligned, Change, How, Outcome
from loadgen.core.masking import MASK, Masker, parse
from loadgen.core.verdict import Altered, CallDifference, Facts, Judgement, Route, Runs, Verdict
from loadgen.report import wording
from loadgen.report.asked import call_diff, diff_lines
from loadgen.report.evidence import gather
from loadgen.report.junit import junit
from loadgen.report.markdown import summary
from loadgen.report.page import model
from loadgen.report.story import tell
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.verification import Verification

ONE, MANY = "select * from users", "select * from posts where user = ?"
INSERT = "db.Cursor.execute(#{0}, 'insert into users values (?)', ('user-{0}',))"
UPDATE = "db.Cursor.execute(#{0}, 'update users set name = ``` where id = ?', ({0},))"
AT = "/srv/shop/store.py:7 in add: cursor.execute(sql)"


def changed(seq: int) -> Aligned:
    """Return a request that runs 1 + N statements, and changes something else."""
    return Aligned(
        seq,
        Outcome.DIVERGED,
        "another effect",
        INSERT.format(seq),
        UPDATE.format(seq),
        AT,
        (
            Change(How.CHANGED, "effect", INSERT.format(seq), UPDATE.format(seq), AT),
            Change(How.REMOVED, "read", "db.Cursor.execute('select 1')"),
        ),
        ran=(ONE, MANY),
        runs=(ONE, *[MANY] * seq),
    )


BUG = Sample(asked=(changed(3), changed(9)))
REFACTORED = Sample(
    asked=(Aligned(3, Outcome.SAME, changes=(Change(How.REPEATED, "read", "", "db.query('a')", AT),)),)
)


def nothing() -> Masker:
    return Masker(parse(()))


def verified(path: Path, sample: Sample) -> tuple[RunFolder, Manifest, Verification]:
    run, manifest = make(path / "run", sample)
    found = find_verification(run.path)
    assert found is not None
    return run, manifest, found


def test_calls_that_differ_in_numbers_alone_are_one_row() -> None:
    """Each request of a route asks for another user; what differs between them is no other change."""
    calls = [
        CallDifference(seq, "effect", INSERT.format(seq), "", AT, "removed", "POST /users") for seq in (1, 2)
    ]
    calls += [CallDifference(3, "read", "", "db.query('b')", AT, "added", "GET /users/N")]
    calls += [CallDifference(0, "read", "db.query('c')", "db.query('c')", AT, "moved", "")]
    groups = call_diff(Verdict(Judgement.DIVERGED, calls=tuple(calls)), nothing())
    assert [(one.title, [(row.what, row.seq, row.times) for row in one.rows]) for one in groups] == [
        ("POST /users", [("effect left out", 1, 2)]),
        ("GET /users/N", [("read more", 3, 1)]),
        ("before it served", [("read moved", 0, 1)]),
    ]
    assert [diff_lines(one, 5) for one in groups] == [
        ["- db.Cursor.execute('insert into users values (?)', ('user-1',))  [effect left out, 2 times]"],
        ["+ db.query('b')  [read more]"],
        ["~ db.query('c')  [read moved]"],
    ]


def test_what_is_not_listed_is_counted() -> None:
    """A route with many calls is cut, and says so."""
    calls = tuple(
        CallDifference(1, "read", "", f"db.query('{name}')", AT, "added", "GET /") for name in "abcd"
    )
    (one,) = call_diff(Verdict(Judgement.IDENTICAL, calls=calls), nothing())
    assert diff_lines(one, 2)[2:] == ["  … and 2 more calls"]


@pytest.mark.parametrize(
    ("recorded", "replayed", "says"),
    [
        (Runs(2, 2), Runs(4, 7, 1), "now runs 1 + N statements (N from 3 to 6) instead of 2"),
        (Runs(3, 6, 1), Runs(1, 1), "now runs 1 statement instead of 1 + N (N from 2 to 5)"),
        (Runs(0, 1), Runs(0, 2), "now runs 0 to 2 statements instead of 0 to 1"),
    ],
)
def test_a_route_that_runs_another_number_of_statements(recorded: Runs, replayed: Runs, says: str) -> None:
    """It is what a reviewer wants to see of a change, even if no answer differs; it comes first."""
    route = Route("GET /api/users", 8, recorded, replayed)
    assert wording.route("GET /api/users", route, nothing()) == f"GET /api/users {says}"
    other = CallDifference(1, "read", "", "db.query()", AT, "added", "GET /other")
    groups = call_diff(Verdict(Judgement.IDENTICAL, calls=(other,), facts=Facts(routes=(route,))), nothing())
    assert [one.title for one in groups] == [f"GET /api/users {says}", "GET /other"]


def test_what_changed_around_the_code_is_told() -> None:
    """A library is run as it is now; a file and a variable are as they were recorded."""
    altered = (
        Altered("package", "sqlalchemy", "2.0.30", "2.0.31"),
        Altered("package", "redis", "5.0", ""),
        Altered("file", "/srv/settings.toml", "", ""),
        Altered("variable", "FLAG", "", ""),
    )
    assert wording.altered(Verdict(Judgement.IDENTICAL, facts=Facts(altered=altered)), nothing()) == [
        "sqlalchemy 2.0.30 is now 2.0.31",
        "redis 5.0 is now gone",
        "/srv/settings.toml changed; the replay had what was recorded",
        "FLAG has another value; the replay had what was recorded",
    ]


def test_another_effect_is_told_as_one(tmp_path: Path) -> None:
    """The request did not leave the tape, and its answer may be the same."""
    _, _, found = verified(tmp_path, BUG)
    assert found.verdict is not None
    lead = wording.lead(found.verdict, nothing())
    assert lead.startswith("2 of 60 requests differ, all from one cause.")
    assert "request 3: the replay calls db.Cursor.execute('update" in lead
    assert "instead of db.Cursor.execute('insert" in lead
    assert "tape" not in lead


def test_the_page_has_them_by_route_and_beside_the_answers(tmp_path: Path) -> None:
    """Of each request, too, whether or not its answer differs."""
    run, manifest, found = verified(tmp_path, BUG)
    evidence = gather(run, manifest, found, nothing())
    story = tell(manifest, found, 60, nothing())
    told = model(evidence, story, nothing(), version="0")
    verification = told["verification"]
    assert verification["asked"] == "2 effects changed, 2 reads fewer"
    assert verification["calls"][0]["title"] == "GET /api/users now runs 4 statements instead of 2"
    assert [row["what"] for row in verification["calls_of"]["9"]] == ["effect changed", "read left out"]
    assert (told["divergences"][0]["left"], told["divergences"][0]["evidence"]) == (False, "")


@pytest.mark.parametrize(("sample", "failed"), [(BUG, True), (REFACTORED, False)])
def test_junit_says_whether_the_effects_are_the_same(tmp_path: Path, sample: Sample, *, failed: bool) -> None:
    """Only of changed code is it asked; the diff is there for code that is identical in its answers, too."""
    _, manifest, found = verified(tmp_path, sample)
    suite = ET.fromstring(junit(manifest, found, nothing()))
    case = suite.find(".//testcase[@classname='loadgen.calls']")
    assert case is not None
    assert (case.find("failure") is not None) is failed
    out = case.findtext("system-out") or ""
    assert ("+ db.Cursor.execute('update" in out) is failed
    assert ("+ db.query('a')  [read repeated]" in out) is not failed
    _, manifest, found = verified(tmp_path / "unchanged", Sample())
    assert b"loadgen.calls" not in junit(manifest, found, nothing())


def test_the_summary_has_a_diff(tmp_path: Path) -> None:
    """In a fence that no call can end."""
    run, manifest, found = verified(tmp_path, BUG)
    text = summary(run, manifest, found, nothing())
    assert text.count("```") == 2
    diff = text.partition("```diff\n")[2].partition("\n```")[0].splitlines()
    assert diff[0].startswith("@@ ")
    assert diff[1].startswith("- db.Cursor.execute('insert")
    assert diff[2].startswith("+ db.Cursor.execute('update")
    run, manifest, found = verified(tmp_path / "same", REFACTORED)
    assert "+ db.query('a')  [read repeated]" in summary(run, manifest, found, nothing())


def test_calls_hold_no_secret() -> None:
    """What a mask knows is masked in calls as it is elsewhere."""
    masker = Masker(parse(("json:$..password",)))
    masker.body(b'{"password":"s3cr3t-value"}', (("Content-Type", "application/json"),))
    call = CallDifference(
        1, "effect", "", "db.execute(#1, 'insert', ('s3cr3t-value',))", AT, "added", "POST /"
    )
    (one,) = call_diff(Verdict(Judgement.DIVERGED, calls=(call,)), masker)
    assert one.rows[0].replayed == f"db.execute('insert', ('{MASK}',))"
