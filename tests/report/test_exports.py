"""Exports: other tools can read them; they contain the recorded data, and no secrets."""

from __future__ import annotations

import html
import io
import json
import tarfile
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from loadgen import protocol
from loadgen.core.comparison import Difference
from loadgen.core.departure import Departure
from loadgen.core.masking import MASK, Masker, parse
from loadgen.core.verdict import Judgement, OneOf
from loadgen.errors import RecordingFault
from loadgen.report.bundle import bundle
from loadgen.report.evidence import learn
from loadgen.report.har import har
from loadgen.report.junit import junit
from loadgen.report.markdown import summary
from loadgen.report.wording import capital, lead, replays
from loadgen.store.manifest import State
from loadgen.store.run_folder import RunFolder
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-t0ken"
SECRETS = Sample(
    headers=(("Authorization", f"Bearer {SECRET}"), ("X-Api-Key", SECRET)),
    answer_headers=(("Set-Cookie", f"session={SECRET}; Path=/"),),
    request_bodies={4: b'{"password":"%s"}' % SECRET.encode()},
    diverge=(30,),
)
MASKS = parse(["header:x-api-key", "json:$..password"])


def unpacked(content: bytes) -> dict[str, bytes]:
    """Return the members of a bundle."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_har_has_every_exchange_in_sequence(tmp_path: Path) -> None:
    """Each entry has what HAR 1.2 demands."""
    run, _ = make(tmp_path / "run", Sample(requests=80, fail=(9,), bodies={5: (b"\xff\x00", b"\xff\x00")}))
    with run.read() as events:
        log = json.loads("".join(har(events, Masker(parse(())), version="0")))["log"]
    assert log["version"] == "1.2"
    entries = log["entries"]
    assert [entry["_loadgen"]["seq"] for entry in entries] == list(range(1, 81))
    times = [datetime.fromisoformat(entry["startedDateTime"]) for entry in entries]
    assert times == sorted(times)
    for entry in entries:
        assert entry["request"].keys() >= {
            "method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize",
        }  # fmt: skip
        assert entry["response"].keys() >= {
            "status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL",
            "headersSize", "bodySize",
        }  # fmt: skip
        assert entry["request"]["url"].startswith("http://127.0.0.1:36783/")
        assert entry["timings"]["wait"] == entry["time"] >= 0
    assert entries[4]["response"]["content"]["encoding"] == "base64"
    assert entries[8]["response"]["status"] == 0
    assert "ReadTimeout" in entries[8]["comment"]


def test_har_of_a_cut_transcript_has_the_open_requests_too(tmp_path: Path) -> None:
    """A request whose answer is missing is listed, without one."""
    run, _ = make(tmp_path / "run", Sample(verified=False, cut=True))
    with run.read() as events:
        entries = json.loads("".join(har(events, Masker(parse(())), version="0")))["log"]["entries"]
    assert [entry["_loadgen"]["seq"] for entry in entries] == list(range(1, len(entries) + 1))


def test_bundle_without_secrets_is_the_run_to_the_bit(tmp_path: Path) -> None:
    """Its recording and transcript are what was recorded; and packed twice, it is the same file."""
    run, manifest = make(tmp_path / "run", Sample())
    files = [io.BytesIO(), io.BytesIO()]
    made = [bundle(run, manifest, parse(()), file, keep_secrets=False) for file in files]
    assert made[0].verifiable
    assert files[0].getvalue() == files[1].getvalue()
    members = unpacked(files[0].getvalue())
    for name in ("run.json", "transcript.jsonl", "recording.bin", "server.log"):
        assert members[f"run/{name}"] == (run.path / name).read_bytes()


def test_bundle_with_secrets_out_says_that_it_cannot_be_verified(tmp_path: Path) -> None:
    """The secret is in no member, the tape is not there, and verifying it is refused with the reason."""
    run, manifest = make(tmp_path / "run", SECRETS)
    run.log.write_text(f"token {SECRET} seen\n")
    file = io.BytesIO()
    made = bundle(run, manifest, MASKS, file, keep_secrets=False)
    assert not made.verifiable
    assert made.masked["header:authorization"] == 60
    members = unpacked(file.getvalue())
    assert "run/recording.bin" not in members
    assert not [name for name, content in members.items() if SECRET.encode() in content]
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, content in members.items():
        (copy / name.removeprefix("run/")).write_bytes(content)
    opened, its = RunFolder.open(copy)
    with pytest.raises(RecordingFault, match=r"the run is masked.*header:authorization \(60\)"):
        opened.check_recording(its)
    with opened.read() as events:
        assert sum(1 for _ in events)
    assert events.ended


def test_bundle_with_secrets_kept_is_whole(tmp_path: Path) -> None:
    """Asked for, and said in its README."""
    run, manifest = make(tmp_path / "run", SECRETS)
    file = io.BytesIO()
    assert bundle(run, manifest, MASKS, file, keep_secrets=True).verifiable
    members = unpacked(file.getvalue())
    assert members["run/transcript.jsonl"] == run.transcript.read_bytes()
    assert b"secrets in clear text" in members["run/README.md"]


def test_bundle_of_a_failed_run_is_refused(tmp_path: Path) -> None:
    """There is nothing to verify in it."""
    run, manifest = make(tmp_path / "run", Sample(verified=False, cut=True))
    with pytest.raises(RecordingFault, match="the run is failed"):
        bundle(run, manifest, parse(()), io.BytesIO(), keep_secrets=False)


@pytest.mark.parametrize(
    ("sample", "failures", "errors"),
    [
        (Sample(), 0, 0),
        (Sample(diverge=(20, 31)), 3, 0),
        (Sample(order_differs=True), 1, 0),
        (Sample(doubt="stuck"), 0, 1),
        (Sample(fail=(3,)), 0, 0),
    ],
)
def test_junit_fails_exactly_where_the_verdict_does(
    tmp_path: Path, sample: Sample, failures: int, errors: int
) -> None:
    """Identical has none; a divergence is a failure; what cannot be told is an error."""
    run, manifest = make(tmp_path / "run", sample)
    found = find_verification(run.path)
    assert found is not None
    suite = ET.fromstring(junit(manifest, found, Masker(parse(()))))[0]
    assert (suite.get("failures"), suite.get("errors")) == (str(failures), str(errors))
    assert suite.get("tests") == str(len(suite.findall("testcase")))


def test_junit_is_xml_whatever_a_server_answered(tmp_path: Path) -> None:
    """Control characters and markup in a body do not break the file."""
    bodies = {3: (b'{"a":"x"}', json.dumps({"a": "\x00\x1b]]></failure>&"}).encode())}
    run, manifest = make(tmp_path / "run", Sample(bodies=bodies))
    found = find_verification(run.path)
    assert found is not None
    assert found.verdict is not None
    (one,) = found.verdict.divergences
    broken = replace(one, differences=(replace(one.differences[0], replayed="\x00\x1b\ud800]]>"),))
    found = replace(found, verdict=replace(found.verdict, divergences=(broken,)))
    suite = ET.fromstring(junit(manifest, found, Masker(parse(()))))[0]
    assert suite.get("failures") == "2"


@pytest.mark.parametrize(
    ("sample", "head"),
    [
        (Sample(), "## ✅ Identical"),
        (Sample(diverge=(20,)), "## ❌ Diverged"),
        (Sample(doubt="stuck"), "## ⚠️ Undetermined"),
    ],
)
def test_summary_begins_with_the_verdict(tmp_path: Path, sample: Sample, head: str) -> None:
    """The first line of the job page is the answer."""
    run, manifest = make(tmp_path / "run", sample)
    found = find_verification(run.path)
    assert found is not None
    assert summary(run, manifest, found, Masker(parse(()))).startswith(head)


def test_summary_cannot_be_broken_by_what_was_answered(tmp_path: Path) -> None:
    """Pipes, markup and newlines of a body stay inside their cell."""
    bodies = {3: (b'{"a":"x"}', b'{"a":"| <script>`[x](y)\\n# |"}')}
    run, manifest = make(tmp_path / "run", Sample(bodies=bodies))
    found = find_verification(run.path)
    assert found is not None
    text = summary(run, manifest, found, Masker(parse(())))
    row = next(line for line in text.splitlines() if line.startswith("| 3 "))
    assert row.count("|") == 5
    assert "<script>" not in text


def test_verdict_exports_tell_the_causes(tmp_path: Path) -> None:
    """Fault, why and advice of the first five, and how many there are; where a request left the tape, too."""
    call = "/srv/shop.py:3 in f: time.time()"
    left = Departure(protocol.CALL_NOT_RECORDED, "a call that was not recorded", (call,))
    sample = Sample(diverge=(30,), left={20: left})
    run, manifest = make(tmp_path / "run", sample)
    found = find_verification(run.path)
    assert found is not None
    assert found.verdict is not None
    each = tuple(
        OneOf(str(number), Judgement.IDENTICAL if number == 3 else Judgement.DIVERGED, 2)
        for number in (1, 2, 3)
    )
    verdict = replace(
        found.verdict, causes=found.verdict.causes * 4, facts=replace(found.verdict.facts, replays=each)
    )
    found = replace(found, verdict=verdict)
    suite = ET.fromstring(junit(manifest, found, Masker(parse(()))))[0]
    failure = suite.find("testcase[@classname='loadgen.answers']/failure")
    assert failure is not None
    assert failure.attrib["message"] == (f"{lead(verdict, Masker(parse(())))} At fault: not known yet.")
    xml = failure.text or ""
    text = summary(run, manifest, found, Masker(parse(())))
    for said in (
        "a call that was not recorded",
        "/srv/shop.py:3 in f",
        "Its code is unchanged",
        "an address (id(), repr())",
    ):
        assert said in xml
        assert said in html.unescape(text)
    assert xml.count("at fault: ") == text.count("**At fault: ") == 5
    assert "cause 5 of 8" in xml
    assert xml.endswith("and 3 more")
    assert "… and 3 more causes." in text
    assert capital(replays(verdict)) in text
    stack = suite.find("testcase[@classname='loadgen.divergence']/failure")
    assert stack is not None
    assert (stack.text or "").endswith(f"where it left the tape, innermost call first:\n  {call}")


def test_verdict_exports_of_an_older_verdict(tmp_path: Path) -> None:
    """One in another version's format is not guessed at: it is undetermined, and says what to do."""
    run, manifest = make(tmp_path / "run", Sample(diverge=(30,)))
    file = run.path / "verify" / "1" / "verdict.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": "loadgen-verdict/1"}))
    found = find_verification(run.path)
    assert found is not None
    assert "made by an older loadgen" in summary(run, manifest, found, Masker(parse(())))
    suite = ET.fromstring(junit(manifest, found, Masker(parse(()))))[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")


def test_verdict_exports_hold_no_secret(tmp_path: Path) -> None:
    """Also not in what the boundary saw, which quotes the application's calls."""
    run, manifest = make(tmp_path / "run", SECRETS)
    found = find_verification(run.path)
    assert found is not None
    assert found.verdict is not None
    difference = Difference("outcome", "answered 200", f"left the tape: f('{SECRET}')")
    left = Departure(protocol.ANOTHER_CALL, f"f('{SECRET}')", (f"/srv/x.py:1 in f: '{SECRET}'",))
    first = replace(found.verdict.divergences[0], differences=(difference,), left=left)
    cause = replace(found.verdict.causes[0], why=f"it says {SECRET}", advice=SECRET, first=first)
    verdict = replace(
        found.verdict,
        divergences=(first, *found.verdict.divergences[1:]),
        causes=(cause, *found.verdict.causes[1:]),
    )
    found = replace(found, verdict=verdict)
    masker = Masker(MASKS)
    learn(run, found, masker)
    for text in (junit(manifest, found, masker).decode(), summary(run, manifest, found, masker)):
        assert SECRET not in text
        assert MASK in text


def test_what_failed_in_the_scenario_is_exported(tmp_path: Path) -> None:
    """HAR and bundle keep it, and when requests were due, without secrets that it may quote."""
    run, manifest = make(tmp_path / "run", replace(SECRETS, broken=f"not {SECRET}"))
    with run.read() as events:
        log = json.loads("".join(har(events, Masker(MASKS), version="0")))["log"]
    (failed,) = log["_loadgen"]["failed_iterations"]
    assert (failed["seq"], failed["where"], failed["message"]) == (1, "a.py, line 7", f"not {MASK}")
    packed = io.BytesIO()
    manifest.result.state, manifest.result.files = State.COMPLETE, run.digests()
    bundle(run, manifest, MASKS, packed, keep_secrets=False)
    lines = [json.loads(line) for line in unpacked(packed.getvalue())["run/transcript.jsonl"].splitlines()]
    assert [line["message"] for line in lines if line["event"] == "failed_iteration"] == [f"not {MASK}"]
    assert [line["seq"] for line in lines if "due" in line] == [1]
