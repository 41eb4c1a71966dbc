"""The transcript format: the written events are read back, and damage is never accepted."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import (
    FORMAT,
    INLINE_LIMIT,
    End,
    Event,
    FailedIteration,
    Order,
    Reader,
    Run,
    decode,
    encode,
)
from loadgen.core.usual_lines import decode_usual
from loadgen.errors import TranscriptFault

Line = dict[str, Any]

RUN = Run("r1", "mixed", 1, 2, 3, "2026-01-01T00:00:00+00:00")
ASK = [Request(seq, 0, "GET", f"/{seq}", (("Host", "x"),)) for seq in (1, 2, 3)]
TELL = [Response(seq, 200, (("Content-Type", "text/plain"),), b"ok") for seq in (1, 2, 3)]
SMALL: list[Event] = [
    RUN,
    Request(1, 0, "POST", "/a?b=%20", (("Host", "x"), ("X-A", "é"), ("X-A", "")), "naïve ☃\n\u2028".encode()),
    Request(2, 1, "GET", "/b", ()),
    Response(2, 200, (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")), b"\xff\x00\n"),
    Failure(1, "ReadTimeout", "read\ntimed out"),
    FailedIteration(1, 1, "browse", 2, "AssertionError", "naïve ☃", "shop.py, line 7"),
    Order((1, 2, -2, -1)),
    End(2),
]
BROKEN = FailedIteration(0, 3, "browse", 1, "KeyError", "'id'", "")


def never_kept(digest: str, body: bytes) -> None:
    raise AssertionError(f"a body of {len(body)} bytes was kept beside the transcript")


def never_fetched(digest: str) -> bytes:
    raise AssertionError(f"{digest} was fetched")


def line_of(event: Event) -> Line:
    name, fields = encode(event, never_kept)
    return {"event": name, "at": 0.5, **fields}


def written(*lines: Event | Line | bytes) -> list[bytes]:
    """Write events, lines or raw bytes as the lines of a file."""
    return [
        line
        if isinstance(line, bytes)
        else json.dumps(line if isinstance(line, dict) else line_of(line), ensure_ascii=False).encode()
        + b"\n"
        for line in lines
    ]


def reader(*lines: Event | Line | bytes) -> Reader:
    return Reader(written(*lines), never_fetched, name="t.jsonl")


def damage(*lines: Event | Line | bytes) -> str:
    """Read *lines*, require them to be refused, and return what is said."""
    read = reader(*lines)
    with pytest.raises(TranscriptFault) as caught:
        list(read)
    assert not read.ended
    assert caught.value.advice
    return caught.value.message


texts = st.text(st.characters(codec="utf-8"), max_size=20)
wire_texts = st.binary(max_size=12).map(lambda raw: raw.decode("latin-1"))
header_lists = st.lists(st.tuples(wire_texts, wire_texts), max_size=4).map(tuple)
bodies = st.one_of(
    st.binary(max_size=60),
    texts.map(str.encode),
    st.integers(INLINE_LIMIT - 1, INLINE_LIMIT + 1).map(lambda size: b"\xe9" * size),
)
numbers = st.integers(0, 2**63)


def responses(seq: st.SearchStrategy[int]) -> st.SearchStrategy[Response]:
    """Return answers, with and without a reason phrase."""
    reasons = st.none() | wire_texts
    return st.builds(Response, seq, st.integers(100, 599), header_lists, bodies, reason=reasons)


def failures(seq: st.SearchStrategy[int]) -> st.SearchStrategy[Failure]:
    """Return requests without an answer, or with the beginning of one."""
    return seq.flatmap(
        lambda one: st.builds(Failure, st.just(one), texts, texts, came=st.none() | responses(st.just(one)))
    )


events = st.one_of(
    st.builds(Run, texts, texts, st.integers(), numbers, numbers, texts),
    st.builds(Request, numbers, numbers, texts, wire_texts, header_lists, bodies),
    responses(numbers),
    failures(numbers),
    st.builds(Order, st.lists(st.integers().filter(bool), max_size=5).map(tuple)),
    st.builds(End, numbers),
)


# ---- one line -------------------------------------------------------------------------------------------


@given(events)
@example(Response(1, 200, (), b""))
@example(Request(1, 0, "GET", "/", (), b"\n\r\n\x00\xef\xbb\xbf"))
def test_every_event_survives_its_line(event: Event) -> None:
    """Whatever was lived is read back equal, to the byte, from one line of JSON without a newline in it."""
    kept: dict[str, bytes] = {}
    name, fields = encode(event, kept.__setitem__)
    line = json.dumps({"event": name, "at": 1.5, **fields}, ensure_ascii=False).encode()
    assert b"\n" not in line
    assert decode(json.loads(line), kept.__getitem__) == event
    usual = isinstance(event, Request | Response) and not kept
    assert decode_usual(line) == ((event, 1.5, None) if usual else None)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("event", [SMALL[1], SMALL[3], TELL[0]])
@given(data=st.data())
def test_what_is_decoded_at_once_is_decoded_the_same(event: Event, data: st.DataObject) -> None:
    """With a field changed, added or left out, a line is left to the checks, or they give the same."""
    line = line_of(event)
    body = st.fixed_dictionaries({}, optional={"text": texts, "base64": texts, "size": numbers, "x": values})
    changed = {
        **line,
        data.draw(st.sampled_from([*line, "due", "came", "pieces", "x"])): data.draw(values | body),
    }
    changed.pop(data.draw(st.sampled_from(["", *line])), None)
    quick = decode_usual(json.dumps(changed).encode())
    if quick is not None:
        assert quick == (decode(changed, never_fetched), changed.get("at"), changed.get("due"))


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", None),
        ("ü{}".encode(), {"text": "ü{}"}),
        (b"\xff", {"base64": "/w=="}),
        (b"x" * (INLINE_LIMIT - 1), {"text": "x" * (INLINE_LIMIT - 1)}),
    ],
)
def test_small_bodies_are_inline(body: bytes, form: object) -> None:
    """A small body is in its line, readable where it is UTF-8."""
    assert encode(Response(1, 200, (), body), never_kept)[1]["body"] == form


def test_large_bodies_are_kept_by_reference() -> None:
    """From the limit on, the line names the body by its SHA-256 and size, and the bytes are kept outside."""
    body = b"\x00" * INLINE_LIMIT
    digest = sha256(body).hexdigest()
    kept: dict[str, bytes] = {}
    _, fields = encode(Response(1, 200, (), body), kept.__setitem__)
    assert fields["body"] == {"sha256": digest, "size": INLINE_LIMIT}
    assert kept == {digest: body}


@pytest.mark.parametrize("there", [b"", b"y" * INLINE_LIMIT, b"x" * (INLINE_LIMIT + 1)])
def test_a_changed_large_body_is_damage(there: bytes) -> None:
    """A body beside the transcript that is not, to the bit, the recorded one is never taken for it."""
    _, fields = encode(ASK[0], never_kept)
    body = b"x" * INLINE_LIMIT
    ask = {"event": "request", **fields, "body": {"sha256": sha256(body).hexdigest(), "size": len(body)}}
    with pytest.raises(TranscriptFault, match=r"t, line 2: bodies/.* does not hold the recorded bytes"):
        list(Reader(written(RUN, ask), lambda _: there, name="t"))


def test_a_missing_large_body_is_damage() -> None:
    """A body that is gone is damage of its line, not a traceback."""

    def gone(digest: str) -> bytes:
        raise FileNotFoundError(2, "No such file", digest)

    ask = {**line_of(ASK[0]), "body": {"sha256": "0" * 64, "size": INLINE_LIMIT}}
    with pytest.raises(TranscriptFault, match=r"t, line 2: .*No such file"):
        list(Reader(written(RUN, ask), gone, name="t"))


# ---- a whole transcript ---------------------------------------------------------------------------------


@st.composite
def transcripts(draw: st.DrawFn) -> list[Event]:
    """Draw a valid transcript: any interleaving of requests and their ends."""
    told: list[Event] = [draw(st.builds(Run, texts, texts, numbers, numbers, numbers, texts))]
    issued, open_requests = 0, list[int]()
    total = draw(st.integers(0, 6))
    while issued < total or open_requests:
        if issued < total and (not open_requests or draw(st.booleans())):
            issued += 1
            open_requests.append(issued)
            told.append(
                draw(st.builds(Request, st.just(issued), numbers, texts, wire_texts, header_lists, bodies))
            )
        else:
            seq = st.just(open_requests.pop(draw(st.integers(0, len(open_requests) - 1))))
            told.append(draw(responses(seq) | failures(seq)))
    steps = draw(st.permutations([step for seq in range(1, total + 1) for step in (seq, -seq)]))
    cut = draw(st.integers(0, len(steps)))
    told += [Order(tuple(piece)) for piece in (steps[:cut], steps[cut:]) if piece]
    return [*told, End(total)]


@pytest.mark.slow
@given(transcripts())
def test_every_transcript_is_read_as_written(told: list[Event]) -> None:
    """A stream of events is read back in its order, whole, and counted."""
    kept: dict[str, bytes] = {}
    lines = []
    for event in told:
        name, fields = encode(event, kept.__setitem__)
        lines.append(json.dumps({"event": name, "at": 0, **fields}).encode() + b"\n")
    read = Reader(lines, kept.__getitem__, name="t")
    assert list(read) == told
    assert (read.ended, read.torn) == (True, False)
    assert read.requests == sum(isinstance(event, Request) for event in told)


def test_cut_at_every_byte() -> None:
    """However a transcript is cut short, what is read is its beginning, and it is never taken for whole."""
    whole = b"".join(written(*SMALL))
    lines = whole.splitlines(keepends=True)
    for size in range(len(whole)):
        cut = whole[:size].splitlines(keepends=True)
        read = Reader(cut, never_fetched, name="t")
        if not cut:
            with pytest.raises(TranscriptFault, match="t is empty"):
                list(read)
            continue
        complete = [line for line in cut if line.endswith(b"\n")]
        assert complete == lines[: len(complete)]
        assert list(read) == SMALL[: len(complete)]
        assert read.torn is (len(complete) < len(cut))
        assert not read.ended


def test_torn_last_line_is_left_out_even_if_it_is_json() -> None:
    """A last line without its newline was not finished: it is reported and left out."""
    lines = written(*SMALL)
    read = Reader([*lines[:-1], lines[-1].rstrip(b"\n")], never_fetched, name="t")
    assert list(read) == SMALL[:-1]
    assert (read.torn, read.ended) == (True, False)


def test_bytes_after_the_end_are_no_whole_transcript() -> None:
    """A torn line behind the end is reported: a transcript ends with its end."""
    read = Reader([*written(*SMALL), b'{"event'], never_fetched, name="t")
    assert list(read) == SMALL
    assert read.torn


def test_reading_is_lazy() -> None:
    """Events before the damage are handed out: a transcript is a stream."""
    read = iter(reader(RUN, ASK[0], b"damage\n"))
    assert next(read) == RUN
    assert next(read) == ASK[0]
    with pytest.raises(TranscriptFault, match="line 3"):
        next(read)


# ---- damage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        pytest.param([], "t.jsonl is empty", id="empty"),
        pytest.param([ASK[0]], "line 1: the first line", id="no run line"),
        pytest.param([RUN, RUN], "line 2: the first line, and only the first", id="run twice"),
        pytest.param([RUN, ASK[1]], "line 2: request 1 is missing: request 2 follows", id="gap at start"),
        pytest.param(
            [RUN, ASK[0], ASK[2]], "line 3: request 2 is missing: request 3 follows", id="request missing"
        ),
        pytest.param([RUN, ASK[0], ASK[0]], "line 3: request 1 appears twice", id="request doubled"),
        pytest.param(
            [RUN, ASK[0], TELL[0], ASK[0]], "line 4: request 1 appears twice", id="answered request doubled"
        ),
        pytest.param(
            [RUN, ASK[0], TELL[0], TELL[0]], "line 4: request 1 was answered twice", id="answered twice"
        ),
        pytest.param(
            [RUN, ASK[0], TELL[0], Failure(1, "x", "y")],
            "line 4: request 1 was answered twice",
            id="answered and failed",
        ),
        pytest.param([RUN, TELL[0]], "line 2: request 1 was never issued", id="never issued"),
        pytest.param([RUN, ASK[0], TELL[1]], "line 3: request 2 was never issued", id="other never issued"),
        pytest.param([RUN, Failure(0, "x", "y")], "line 2: request 0 was never issued", id="request zero"),
        pytest.param(
            [RUN, ASK[0], TELL[0], Order((1, -1, 2))],
            "line 4: request 2, which the server saw, is missing",
            id="order names a missing request",
        ),
        pytest.param(
            [RUN, ASK[0], TELL[0], Order((1, -2))],
            "line 4: request 2, which the server saw, is missing",
            id="order finishes a missing request",
        ),
        pytest.param(
            [RUN, ASK[0], TELL[0], End(2)],
            "line 4: 2 requests were recorded, 1 are here",
            id="too few at end",
        ),
        pytest.param(
            [RUN, ASK[0], TELL[0], End(0)],
            "line 4: 0 requests were recorded, 1 are here",
            id="too many at end",
        ),
        pytest.param(
            [RUN, ASK[0], ASK[1], TELL[1], End(2)], "line 5: request 1 has no answer", id="no answer at end"
        ),
    ],
)
def test_damaged_sequences_are_refused(lines: list[Event | Line | bytes], what: str) -> None:
    """A line that does not belong where it is stops the reading, and is named with its request."""
    assert what in damage(*lines)


@pytest.mark.parametrize("more", [End(0), ASK[0], Order((1,)), {"event": "note"}])
def test_nothing_follows_the_end(more: Event | Line) -> None:
    """A line behind the end is damage, whatever it is."""
    read = reader(RUN, End(0), more)
    with pytest.raises(TranscriptFault, match="line 3"):
        list(read)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([RUN, b"{not json\n"], "line 2: "),
        ([RUN, b"\n"], "line 2: "),
        ([RUN, b"\xff\xfe\xfd\n"], "line 2: "),
        ([RUN, b"[]\n"], "line 2: not an object"),
        ([RUN, b"1\n"], "line 2: not an object"),
        ([RUN, b"{}\n"], "line 2: no event"),
        ([RUN, {"event": 5}], "line 2: no event"),
        ([RUN, {"event": "note", "at": 1}], "line 2: a 'note' event with missing, unknown or mistyped"),
        ([{**line_of(RUN), "format": "loadgen-transcript/4"}], "its format is 'loadgen-transcript/4'"),
        (
            [{**line_of(RUN), "format": "other"}],
            f"loadgen-transcript/1 and loadgen-transcript/2 and {FORMAT}",
        ),
        ([RUN, ASK[0], {**line_of(TELL[0]), "reason": 7}], "line 3: an answer with missing, unknown or mis"),
        ([RUN, ASK[0], {**line_of(Failure(1, "x", "y")), "came": None}], "line 3: an answer with missing"),
        ([RUN, ASK[0], {**line_of(Failure(1, "x", "y")), "came": {"status": 200}}], "line 3: an answer"),
        ([RUN, BROKEN], "request 1 was never issued"),
        ([RUN, {**line_of(BROKEN), "where": 7}], "a 'failed_iteration' event with missing"),
    ],
)
def test_damaged_lines_are_refused(lines: list[Event | Line | bytes], what: str) -> None:
    """A line that is no event of this format stops the reading, and is named."""
    assert what in damage(*lines)


@pytest.mark.parametrize(
    "event", [RUN, ASK[0], TELL[0], Failure(1, "x", "y"), Order((1,)), End(0)], ids=lambda e: type(e).__name__
)
def test_every_field_has_its_type(event: Event) -> None:
    """A missing or mistyped field of any event is damage; only an empty body may be left out."""
    whole = line_of(event)
    before: list[Event] = [] if event == RUN else [RUN]
    if event not in {RUN, ASK[0], End(0)}:
        before.append(ASK[0])
    if isinstance(event, Order):
        before.append(TELL[0])
    where = f"line {len(before) + 1}: "
    for field in whole.keys() - {"at", "body"}:
        missing = {key: value for key, value in whole.items() if key != field}
        assert where in damage(*before, missing), field
        for wrong in (None, [whole[field]], {"a": 1}, 1.5, "1" if isinstance(whole[field], int) else 1):
            assert where in damage(*before, {**whole, field: wrong}), (field, wrong)


@pytest.mark.parametrize(
    "headers", [["ab"], [["a"]], [["a", "b", "c"]], [["a", 1]], [None], "ab", {"a": "b"}, None, "", 5]
)
def test_headers_are_a_list_of_pairs(headers: object) -> None:
    """Headers of another shape are damage: they would be compared as something else."""
    assert "line 2: " in damage(RUN, {**line_of(ASK[0]), "headers": headers})


@pytest.mark.parametrize(
    "body", ["x", 1, [], {}, {"text": 1}, {"base64": "*"}, {"base64": "é"}, {"sha256": "0"}, {"size": 1}]
)
def test_bodies_have_one_of_the_forms(body: object) -> None:
    """A body of another form is damage, never an empty body."""
    assert "line 2: " in damage(RUN, {**line_of(ASK[0]), "body": body})


@pytest.mark.parametrize("steps", [[0], ["1"], [1.5], [None], [[1]], "1"])
def test_order_steps_are_numbers_of_requests(steps: object) -> None:
    """A step that names no request is damage."""
    assert "line 4: " in damage(RUN, ASK[0], TELL[0], {"event": "order", "steps": steps})


def test_what_was_due_is_read() -> None:
    """When a request should have been sent is told beside it, and of no other event."""
    read = reader(RUN, {**line_of(ASK[0]), "due": 0.25}, TELL[0], ASK[1], {**line_of(ASK[2]), "due": "x"})
    assert [read.due for _ in read] == [None, 0.25, None, None, None]


@pytest.mark.parametrize("version", [1, 2])
def test_an_earlier_format_is_read(version: int) -> None:
    """A transcript of an earlier loadgen is read as it was meant."""
    first = {**line_of(RUN), "format": f"loadgen-transcript/{version}"}
    assert list(reader(first, ASK[0], TELL[0])) == [RUN, ASK[0], TELL[0]]
