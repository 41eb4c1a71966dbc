"""HAR files: the browser's requests are sent, and those that are not sent are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.client.traffic import carried, har
from loadgen.client.traffic.call import Bound, Call, Jar, Redirects
from loadgen.client.traffic.file import read
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = Path("shop.har")


def entry(url: str = "http://shop.test/", method: str = "GET", at: int = 0, **more: Any) -> dict[str, Any]:
    request = {"method": method, "url": url, "headers": [], "bodySize": -1, **more.pop("request", {})}
    return {"startedDateTime": f"2026-01-01T00:00:{at:02}.000Z", "request": request, **more}


def field(name: str, value: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value}]


def parse(*entries: Any, hosts: Sequence[str] = ()) -> tuple[list[Call], list[str]]:
    found = har.parse(FILE, {"log": {"entries": list(entries)}}, hosts)
    return found.calls, found.notes.lines()


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
    assert notes == ["A URL of 1 request held characters that no URL may: sent percent-encoded."]
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
    note, advice = notes
    assert note.startswith("Left out: 2 to cdn.test, ")
    assert "--host" in advice
    for left_out in ("1 from the browser's cache", "1 over WebSockets", "1 with data: URLs"):
        assert left_out in note


def test_masked_requests_are_told() -> None:
    """A file of loadgen's own has its secrets masked: they are sent so, and the user is told."""
    headers = [{"name": "Cookie", "value": "(masked)"}]
    (call,), (note,) = parse(entry(request={"headers": headers}))
    assert call.headers == (("Cookie", "(masked)"),)
    assert note.startswith("1 request with (masked)")


def test_a_form_is_encoded() -> None:
    """A form that is kept as its fields is sent as they would be."""
    data = {"mimeType": "application/x-www-form-urlencoded; charset=utf-8",
            "params": [{"name": "q", "value": "a b&"}, {"name": "é", "value": ""}]}  # fmt: skip
    (call,), _ = parse(entry(method="POST", request={"postData": data, "bodySize": 16}))
    assert call.body == b"q=a+b%26&%C3%A9="


@pytest.mark.parametrize(
    "how",
    [
        entry("wss://shop.test/live"),
        entry("https://shop.test/live", _webSocketMessages=[]),
        entry("https://shop.test/live", _resourceType="websocket"),
        entry("https://shop.test/live", request={"headers": field("upgrade", "WebSocket")}),
        entry("https://shop.test/live", response={"status": 101}),
        entry("data:image/png;base64,AAAA"),
        entry("about:blank"),
        entry("blob:https://shop.test/1-2"),
        entry("chrome-extension://abc/x.js"),
        entry("https://shop.test/ad", response={"status": 0, "_error": "net::ERR_BLOCKED_BY_CLIENT"}),
        entry("https://cdn.test/", "POST", request={"bodySize": 7}),
        entry("https://cdn.test/", request={"headers": 7}),
    ],
)
def test_what_is_not_a_request_to_the_host_is_left_out(how: Any) -> None:
    """Also where it comes first, or could not be played: it decides nothing about the rest of the file."""
    calls, notes = parse(entry(), how)
    assert [call.target for call in calls] == ["/"]
    assert notes[0].startswith("Left out: 1 ")


@pytest.mark.parametrize("first", ["http://shop.test", "https://SHOP.test:443", "http://www.shop.test:80"])
def test_one_site_is_one_host(first: str) -> None:
    """A site that redirects to https, to www, or to its port is played on from there."""
    urls = (
        "https://shop.test/1",
        "http://shop.test:80/2",
        "https://www.Shop.test/3",
        "https://a@shop.test./4",
    )
    calls, notes = parse(entry(f"{first}/0"), *(entry(url) for url in urls), entry("http://shop.test:8080/5"))
    assert [call.target for call in calls] == ["/0", "/1", "/2", "/3", "/4"]
    assert notes[0] == "Left out: 1 to shop.test:8080."


@pytest.mark.parametrize(
    ("hosts", "played"),
    [
        (["api.test"], ["/b"]),
        (["https://api.test/"], ["/b"]),
        (["API.test:443", "shop.test"], ["/a", "/b"]),
    ],
)
def test_hosts_can_be_chosen(hosts: list[str], played: list[str]) -> None:
    """``--host`` says which hosts the server under test stands for."""
    calls, _ = parse(
        entry("https://shop.test/a"), entry("https://api.test/b"), entry("http://x/"), hosts=hosts
    )
    assert [call.target for call in calls] == played


def test_a_host_that_no_request_goes_to_is_an_error() -> None:
    """Nothing would be played; what the file has is named."""
    with pytest.raises(UsageError) as caught:
        parse(entry(), hosts=["other"])
    assert "has no request to send" in caught.value.message
    assert "1 to shop.test" in caught.value.advice


def test_cookie_fields_are_one() -> None:
    """HTTP/2 splits cookies over several fields, HTTP/1.1 has one; an own export is kept as it was."""
    headers = [*field("cookie", "a=1"), *field("x", "y"), *field("cookie", "b=2")]
    (call,), _ = parse(entry(request={"headers": headers}))
    assert call.headers == (("cookie", "a=1; b=2"), ("x", "y"))
    (call,), _ = parse(entry(request={"headers": headers}, _loadgen={"seq": 1, "user": 0}))
    assert call.headers == (("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"))


def test_cookies_without_a_header_are_sent() -> None:
    """Some programs keep cookies in ``cookies`` only; where there is a header, it is what was sent."""
    cookies = [*field("a", "1"), *field("b", "2")]
    (call,), _ = parse(entry(request={"cookies": cookies}))
    assert call.headers == (("Cookie", "a=1; b=2"),)
    (call,), _ = parse(entry(request={"cookies": cookies, "headers": field("Cookie", "c=3")}))
    assert call.headers == (("Cookie", "c=3"),)


LATIN = "text/plain; charset=ISO-8859-1"


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        ({"headers": field("Content-Type", LATIN), "postData": {"text": "é"}}, b"\xe9"),
        ({"postData": {"text": "é", "mimeType": LATIN}, "bodySize": 1}, b"\xe9"),
        ({"postData": {"text": "é", "mimeType": LATIN}, "bodySize": 2}, b"\xc3\xa9"),
        ({"postData": {"text": "\x89PNG"}, "headers": field("Content-Length", "4")}, b"\x89PNG"),
        ({"postData": {"text": "é", "mimeType": "text/plain; charset=nonsense"}}, b"\xc3\xa9"),
        ({"postData": {"text": "x"}, "bodySize": -1}, b"x"),
        ({"postData": {"text": "x"}, "bodySize": 0}, b"x"),
        (
            {
                "postData": {"text": "eA==", "encoding": "base64"},
                "headers": field("Content-Encoding", "gzip"),
            },
            b"x",
        ),
        ({"postData": {"text": ""}}, b""),
        ({"postData": None}, b""),
    ],
)
def test_a_body_is_the_bytes_that_were_sent(request_: dict[str, Any], sent: bytes) -> None:
    """Text is encoded as it was; of several ways, the one that has the size which the file says."""
    (call,), notes = parse(entry(method="POST", request=request_))
    assert call.body == sent
    doubtful = request_.get("bodySize") == 0
    assert sum(note.startswith("1 request with a body") for note in notes) == doubtful


def test_a_type_without_a_header_is_sent() -> None:
    """Some programs keep it beside the body only; where there is a header, it is what was sent."""
    data = {"text": "{}", "mimeType": "application/json"}
    (call,), notes = parse(entry(method="POST", request={"postData": data}))
    assert call.headers == (("Content-Type", "application/json"),)
    assert notes == ["The type of the body of 1 request is not among its headers: sent as Content-Type."]
    (call,), notes = parse(
        entry(method="POST", request={"postData": data, "headers": field("content-type", "a/b")})
    )
    assert (call.headers, notes) == ((("content-type", "a/b"),), [])


@pytest.mark.parametrize(
    ("params", "size", "sent"),
    [
        ([("q", "a b&")], 0, b"q=a+b%26"),
        ([("q", "a+b%26"), ("r", "1")], 0, b"q=a+b%26&r=1"),
        ([("q", "a+b%26")], 8, b"q=a+b%26"),
        ([("q", "a+b%26")], 12, b"q=a%2Bb%2526"),
        ([("q", "100%")], 0, b"q=100%25"),
        ([("q[]", "1")], 0, b"q%5B%5D=1"),
        ([("q[]", "1")], 5, b"q[]=1"),
    ],
)
def test_a_form_is_encoded_once(params: list[tuple[str, str]], size: int, sent: bytes) -> None:
    """Some programs keep a form's fields as they were sent, some decoded."""
    fields = [{"name": name, "value": value} for name, value in params]
    data = {"mimeType": "application/x-www-form-urlencoded", "params": fields}
    (call,), _ = parse(entry(method="POST", request={"postData": data, "bodySize": size}))
    assert call.body == sent


def test_a_query_that_only_the_list_has_is_sent() -> None:
    """Where the URL has a query, it is what was sent."""
    fields = [*field("q", "a b"), *field("r", "1")]
    (call,), _ = parse(entry("http://h/x#f?", request={"queryString": fields}))
    assert call.target == "/x?q=a+b&r=1"


@pytest.mark.parametrize(
    ("query", "kept", "same"),
    [
        ("a=1&b=%20c", ["a=1", "b= c"], True),
        ("a=1&b=%20c", ["a=1", "b=%20c"], True),
        ("a=x+y&é=%C3%A9&c", ["a=x y", "é=é", "c="], True),
        ("a=x+y", ["a=x+y"], True),
        ("a=%E9", ["a=é"], True),
        ("&a=1&&", ["a=1"], True),
        ("a=1", [], True),  # many programs write no list
        ("a=1", ["a=2"], False),
        ("a=1", ["a=1", "b=2"], False),
        ("a=1&a=2", ["a=2", "a=1"], False),
        ("", ["a=1"], False),
    ],
)
def test_a_query_that_contradicts_the_list_is_told(query: str, kept: list[str], *, same: bool) -> None:
    """Where the URL has a query, it is sent; that the list has another one is said, once."""
    fields = [dict(zip(("name", "value"), pair.split("=", 1), strict=True)) for pair in kept]
    (call,), notes = parse(entry(f"http://h/x?{query}", request={"queryString": fields}))
    assert call.target == "/x?" + query.replace("é", "%C3%A9")
    assert any("1 request with a queryString" in note for note in notes) is not same


def test_what_else_contradicts_is_told() -> None:
    """Cookies beside a Cookie header that has other ones, and another version of HTTP."""
    header = field("Cookie", "a=1; b=%20x")
    for cookies, said in (([*field("a", "1"), *field("b", " x")], 0), (field("a", "2"), 1)):
        (call,), notes = parse(entry(request={"headers": header, "cookies": cookies}))
        assert call.headers == (("Cookie", "a=1; b=%20x"),)
        assert sum("cookies that are not those of the Cookie header" in note for note in notes) == said
    for version, said in (("HTTP/1.1", 0), ("h2", 1), ("HTTP/1.0", 1), ("unknown", 0)):
        _, notes = parse(entry(request={"httpVersion": version}))
        assert sum("not of HTTP/1.1" in note for note in notes) == said


def test_credentials_of_a_url_are_told() -> None:
    """A browser sends them in a header of its own, if at all; without it, that they are not sent is said."""
    for headers, said in (([], 1), (field("authorization", "Basic bWU6cHc="), 0)):
        (call,), notes = parse(entry("http://me:pw@h/x", request={"headers": headers}))
        assert call.target == "/x"
        assert sum("credentials in the URL" in note for note in notes) == said


def test_headers_of_a_connection_are_told() -> None:
    """Those that follow from the request are not worth a word; the others are counted."""
    headers = [*field("Host", "SHOP.test:80"), *field("Connection", "close"), *field("TE", "trailers")]
    _, notes = parse(entry(request={"headers": headers}), entry(request={"headers": field("Host", "other")}))
    assert notes == [
        "Not sent, as the connection to the target has its own: Connection (1), Te (1), Host (1)."
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "line 1: not JSON"),
        (b'{\n"log": ]', "line 2: not JSON"),
        (b"[]", "is not a HAR file"),
        (b"{}", "is not a HAR file"),
        (b'{"log": {}}', "is a HAR file without log.entries"),
        (b'{"log": {"entries": []}}', "has no request to send"),
        (b'{"log": {"entries": 7}}', "has no request to send"),
        (b'{"log": {"entries": "x"}}', "has no request to send"),
        (b"{\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_har_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """A damaged or other file is a usage error that names it."""
    (tmp_path / "shop.har").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "shop.har")
    assert "shop.har" in caught.value.message
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (7, "no request"),
        ({}, "no request"),
        ({"request": {"method": "GET", "url": 1, "headers": []}}, "no request"),
        (entry(request={"headers": [{"name": "a"}]}), "a header is not a name and a value"),
        (entry(request={"headers": 1}), "its headers are not a list"),
        (entry(request={"headers": [{"name": "a b", "value": ""}]}), "'a b' is not a header's name"),
        (entry(request={"headers": field("a", "b\r\nc")}), "the header a has more than one line"),
        (entry(method="GE T"), "'GE T' is not a method"),
        (entry(request={"bodySize": 5}), "the 5 bytes of its body are not in the file"),
        (entry(request={"headers": field("Content-Length", "5")}), "5 bytes of its body are not in the file"),
        (entry(request={"postData": {"mimeType": "multipart/form-data", "params": [{"name": "a"}]}}),
         "kept as fields only"),
        (entry(request={"postData": {"text": "é", "encoding": "base64"}}), "is not base64"),
        (entry(request={"postData": {"text": "abc"}, "bodySize": 4}), "3 bytes of its body, and bodySize"),
        (entry(request={"postData": {"text": "abc"}, "headers": field("content-length", "4"), "bodySize": 3}),
         "3 bytes of its body, and Content-Length says 4"),
        (entry(request={"postData": {"text": "abc"}, "headers": field("Content-Encoding", "gzip")}),
         "sent with Content-Encoding: gzip, and the file has it decoded"),
        (entry(request={"postData": []} | {"postData": [1]}), "its postData is not an object"),
        (entry(_loadgen=[]), "its _loadgen is not an object"),
    ],
)  # fmt: skip
def test_entries_that_cannot_be_played_are_named(wrong: Any, says: str) -> None:
    """An entry that cannot be sent as it was is an error with its number: nothing is sent that was not."""
    with pytest.raises(UsageError) as caught:
        parse(entry(), wrong)
    assert caught.value.message.startswith("shop.har, entry 2: ")
    assert says in caught.value.message


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=10)
HEADERS = st.lists(st.tuples(TEXT.map(lambda name: f"X-{name}"), TEXT), max_size=3).map(tuple)
CALLS = st.builds(
    Call,
    st.sampled_from(["GET", "POST"]),
    TEXT.map(lambda text: "/" + "".join(filter(str.isascii, text)).replace("#", "").replace("\x7f", "")),
    HEADERS,
    st.binary(max_size=50),
    st.integers(0, 3),
    st.none() | st.builds(Redirects, st.integers(-1, 3), st.just((301, 303)), st.just("GET"), HEADERS),
    st.none() | st.builds(Jar, st.just(("a",)), st.just("b"), st.booleans(), st.none() | st.integers(0, 3)),
    st.lists(
        st.builds(
            Bound,
            st.just("1"),
            st.just(0),
            st.just(2),
            TEXT,
            st.just(3),
            TEXT,
            st.tuples(TEXT, st.integers(0, 9)),
        ),
        max_size=2,
    ).map(tuple),
)


@given(st.lists(CALLS, min_size=1, max_size=5))
def test_what_is_carried_elsewhere_is_the_same(calls: list[Call]) -> None:
    """The requests that a load generator in a container reads are, to the byte, those that were read here."""
    assert carried.load(json.loads(carried.dump(calls))) == calls


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
