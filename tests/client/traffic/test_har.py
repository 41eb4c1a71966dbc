"""HAR files: what the browser sent is what is played, and what is not played is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.client.traffic import har
from loadgen.client.traffic.call import Call
from loadgen.client.traffic.file import read
from loadgen.errors import UsageError

FILE = Path("shop.har")


def entry(url: str = "http://shop.test/", method: str = "GET", at: int = 0, **more: Any) -> dict[str, Any]:
    request = {"method": method, "url": url, "headers": [], "bodySize": 0, **more.pop("request", {})}
    return {"startedDateTime": f"2026-01-01T00:00:{at:02}.000Z", "request": request, **more}


def parse(*entries: Any) -> tuple[list[Call], list[str]]:
    return har.parse(FILE, json.dumps({"log": {"entries": entries}}).encode())


def test_a_browsers_request() -> None:
    """Method, target, headers, body are the browser's; the connection's and HTTP/2's own fields are not."""
    headers = {
        ":authority": "shop.test", ":method": "POST", "Host": "shop.test", "Content-Length": "9",
        "Connection": "keep-alive", "Cookie": "a=1; b=2", "content-type": "application/json", "X-Ü": "é",
    }  # fmt: skip
    sent = {
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "postData": {"mimeType": "application/json", "text": '{"é": 1}'},
        "bodySize": 9,
    }
    (call,), notes = parse(entry("https://shop.test/cart?x=%20&y=é#top", "POST", request=sent))
    assert notes == []
    assert (call.method, call.target, call.body) == ("POST", "/cart?x=%20&y=%C3%A9", '{"é": 1}'.encode())
    assert call.headers == (
        ("Cookie", "a=1; b=2"), ("content-type", "application/json"), ("X-Ã\x9c", "Ã©"),
    )  # fmt: skip


def test_requests_are_played_in_the_order_in_which_they_were_sent() -> None:
    """A file may list them in another order than that of their times."""
    calls, _ = parse(entry("http://h/2", at=2), entry("http://h/1", at=1), entry("http://h/3", at=3))
    assert [call.target for call in calls] == ["/1", "/2", "/3"]


def test_what_is_not_played_is_told() -> None:
    """Requests elsewhere, from the cache, and over a WebSocket are left out, and counted."""
    calls, notes = parse(
        entry("https://shop.test/", at=1),
        entry("https://cdn.test/a.js", at=2),
        entry("https://cdn.test/b.js", at=3),
        entry("https://shop.test/logo.png", at=4, _fromCache="memory"),
        entry("wss://shop.test/live", at=5),
        entry("data:image/png;base64,AAAA", at=6),
        entry("https://shop.test/cart", at=7),
    )
    assert [call.target for call in calls] == ["/", "/cart"]
    (note,) = notes
    assert note.startswith("Left out: 2 to cdn.test, ")
    for left_out in ("1 from the browser's cache", "1 wss URLs"):
        assert left_out in note


def test_masked_requests_are_told() -> None:
    """A file of loadgen's own has its secrets masked: they are sent so, and the user is told."""
    headers = [{"name": "Cookie", "value": "(masked)"}]
    (call,), (note,) = parse(entry(request={"headers": headers}))
    assert call.headers == (("Cookie", "(masked)"),)
    assert note.startswith("1 requests hold (masked)")


def test_a_form_is_encoded() -> None:
    """A form that is kept as its fields is sent as they would be."""
    data = {"mimeType": "application/x-www-form-urlencoded; charset=utf-8",
            "params": [{"name": "q", "value": "a b&"}, {"name": "é", "value": ""}]}  # fmt: skip
    (call,), _ = parse(entry(method="POST", request={"postData": data, "bodySize": 14}))
    assert call.body == b"q=a+b%26&%C3%A9="


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "line 1: no JSON"),
        (b'{\n"log": ]', "line 2: no JSON"),
        (b"[]", "is no HAR file"),
        (b"{}", "is no HAR file"),
        (b'{"log": {}}', "is no HAR file"),
        (b'{"log": {"entries": []}}', "has no request to play"),
        (b'{"log": {"entries": 7}}', "has no request to play"),
        (b'{"log": {"entries": "x"}}', "has no request to play"),
        (b"\xff{", "is no HAR file"),
        (b"[" * 100_000, "is no HAR file"),
    ],
)
def test_what_is_no_har_file_is_refused(content: bytes, says: str) -> None:
    """A damaged or other file is a usage error that names it."""
    with pytest.raises(UsageError) as caught:
        har.parse(FILE, content)
    assert "shop.har" in caught.value.message
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (7, "no request"),
        ({}, "no request"),
        ({"request": {"method": "GET", "url": 1, "headers": []}}, "no request"),
        (entry(request={"headers": [{"name": "a"}]}), "a header is no name and value"),
        (entry(request={"bodySize": 5}), "5 bytes of the body of GET http://shop.test/ are not in the file"),
        (entry(request={"postData": {"mimeType": "multipart/form-data", "params": [{"name": "a"}]}}),
         "kept as fields only"),
        (entry(request={"postData": {"text": "é", "encoding": "base64"}}), "is no base64"),
        (entry(_loadgen=[]), "its _loadgen is no object"),
    ],
)  # fmt: skip
def test_entries_that_cannot_be_played_are_named(wrong: Any, says: str) -> None:
    """An entry that cannot be sent as it was is an error with its number: nothing is sent that was not."""
    with pytest.raises(UsageError) as caught:
        parse(entry(), wrong)
    assert caught.value.message.startswith("shop.har, entry 2: ")
    assert says in caught.value.message


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=10)
CALLS = st.builds(
    Call,
    st.sampled_from(["GET", "POST"]),
    TEXT.map(lambda text: "/" + "".join(filter(str.isascii, text)).replace("#", "").replace("\x7f", "")),
    st.lists(st.tuples(TEXT.map(lambda name: f"X-{name}"), TEXT), max_size=3).map(tuple),
    st.binary(max_size=50),
    st.integers(0, 3),
    st.booleans(),
)


@given(st.lists(CALLS, min_size=1, max_size=5))
def test_what_is_carried_elsewhere_is_the_same(calls: list[Call]) -> None:
    """The requests that a load generator in a container reads are, to the byte, those that were read here."""
    assert har.parse(FILE, har.dump(calls))[0] == calls


def test_a_file_is_what_it_holds(tmp_path: Path) -> None:
    """JSON is taken for HAR, whatever the file's name, anything else for curl commands."""
    (tmp_path / "a.txt").write_bytes(
        b'\xef\xbb\xbf\n {"log": {"entries": [' + json.dumps(entry()).encode() + b"]}}"
    )
    (tmp_path / "b.har").write_text("curl http://h/b")
    assert read(tmp_path / "a.txt")[0][0].target == "/"
    assert read(tmp_path / "b.har")[0][0].target == "/b"
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "c")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)
