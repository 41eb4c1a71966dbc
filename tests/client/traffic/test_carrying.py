"""Values from earlier answers: current ones are sent instead of recorded ones."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from loadgen.client.session import fire
from loadgen.client.traffic.carrying import Carrier, providers
from loadgen.client.traffic.file import read
from loadgen.client.traffic.playing import playing
from loadgen.core.stop import Stop
from loadgen.store.journal import Journal
from tests.client.raw_server import RawServer, Received, raw_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


class Shop:
    """A small server with sessions, CSRF tokens, bearer tokens and ids, which are always new."""

    def __init__(self, *, first_id: int) -> None:
        self.sessions: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.next_id = first_id
        self.refused: list[bytes] = []
        self.ids: set[int] = set()

    async def answer(self, received: Received) -> bytes:
        status, headers, body = self.handle(received)
        if status >= 400:
            self.refused.append(received.head + received.body)
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", body)).encode()

    def handle(self, received: Received) -> tuple[int, list[tuple[str, str]], str]:  # noqa: PLR0911
        method, target = received.first_line.decode().split(" ")[:2]
        path = target.partition("?")[0]
        body = received.body.decode()
        cookie = re.search(r"\r\nCookie: [^\r]*?session=(\w+)", received.head.decode())
        session = cookie[1] if cookie else ""
        bearer = re.search(r"\r\nAuthorization: Bearer ([\w.+-]+)\r", received.head.decode())
        html, data = ("Content-Type", "text/html; charset=utf-8"), ("Content-Type", "application/json")
        match method, path:
            case "GET", "/login":
                name, token = secrets.token_hex(8), secrets.token_urlsafe(16) + "+/="
                self.sessions[name] = token
                form = f'<form><input type="hidden" name="csrf_token" value="{token}"></form>'
                return 200, [html, ("Set-Cookie", f"session={name}; Path=/; HttpOnly")], form
            case "POST", "/login":
                fields = dict(pair.split("=") for pair in body.split("&"))
                token = fields["csrf_token"].replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
                if self.sessions.get(session) != token:
                    return 403, [], "csrf"
                return 302, [("Location", "/"), ("Set-Cookie", "flash=1; Path=/")], ""
            case "POST", "/api/token" if session in self.sessions:
                token = f"ey.{secrets.token_hex(12)}"
                self.tokens.add(token)
                return 200, [data], json.dumps({"access_token": token, "user": {"id": self.new()}})
            case "POST", "/items" if bearer and bearer[1] in self.tokens:
                return 201, [data, ("ETag", f'"{secrets.token_hex(8)}"')], json.dumps({"id": self.new()})
            case "POST", "/pages" if session in self.sessions:
                return 302, [("Location", f"/pages/{self.new()}")], ""
        if (found := re.fullmatch(r"/(items|pages)/(\d+)", path)) and int(found[2]) in self.ids:
            return 200, [data], json.dumps({"id": int(found[2])})
        if (found := re.fullmatch(r'\{"item_id": (\d+), "note": "é 1"\}', body)) and int(
            found[1]
        ) in self.ids:
            return 200, [data], "{}"
        return 404, [], "no"

    def new(self) -> int:
        self.next_id += 7
        self.ids.add(self.next_id)
        return self.next_id


def recorded(shop: Shop) -> list[dict[str, Any]]:
    """Return what a browser would have kept of a visit to *shop*."""
    kept: list[dict[str, Any]] = []

    def visit(
        method: str, target: str, headers: dict[str, str], body: str = ""
    ) -> tuple[dict[str, str], str]:
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        received = Received(("\r\n".join(lines) + "\r\n\r\n").encode(), body.encode())
        status, answered, text = shop.handle(received)
        assert status < 400, received
        kept.append(
            {
                "startedDateTime": f"2026-01-01T00:00:{len(kept):02}Z",
                "request": {
                    "method": method,
                    "url": f"https://shop.test{target}",
                    "headers": [{"name": name, "value": value} for name, value in headers.items()],
                    "postData": {"mimeType": headers.get("Content-Type", ""), "text": body},
                },
                "response": {
                    "status": status,
                    "headers": [{"name": name, "value": value} for name, value in answered],
                    "content": {"mimeType": dict(answered).get("Content-Type", ""), "text": text},
                },
            }
        )
        return dict(answered), text

    headers, page = visit("GET", "/login", {})
    session = headers["Set-Cookie"].partition(";")[0]
    token = re.search('value="(.*)"', page)[1]  # type: ignore[index]
    encoded = token.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"theme=dark; {session}"}
    visit("POST", "/login", form, f"name=zoe&csrf_token={encoded}&remember=1")
    cookies = {"Cookie": f"{session}; flash=1"}
    _, text = visit("POST", "/api/token", cookies)
    bearer = {
        "Authorization": f"Bearer {json.loads(text)['access_token']}",
        "Content-Type": "application/json",
    }
    _, text = visit("POST", "/items", bearer, '{"name": "a"}')
    item = json.loads(text)["id"]
    visit("GET", f"/items/{item}?x=1", bearer)
    visit("POST", "/notes", bearer, f'{{"item_id": {item}, "note": "é 1"}}')
    headers, _ = visit("POST", "/pages", cookies)
    visit("GET", headers["Location"], cookies)
    return kept


async def play(path: Path, shop: Shop, users: int, *, verbatim: bool = False) -> tuple[RawServer, list[str]]:
    calls, _ = read(path, verbatim=verbatim)
    said: list[str] = []
    async with raw_server(shop.answer) as server:
        with Journal(path.with_suffix(".jsonl"), path.parent / "b") as journal, anyio.fail_after(60):
            outcome = await fire(
                server.url, playing(path, calls), journal, concurrency=users, iterations=2, seed=1,
                timeout=5, stop=Stop(), say=said.append,
            )  # fmt: skip
    assert outcome.errors == {}
    return server, said


def write(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"log": {"creator": {"name": "Firefox"}, "entries": entries}}))
    return path


async def test_a_recorded_log_in_works_for_all_users(tmp_path: Path) -> None:
    """Cookies, CSRF and bearer tokens, ids in paths and in JSON, and redirects are those of each user now."""
    file = write(tmp_path / "visit.har", recorded(Shop(first_id=500)))
    now = Shop(first_id=0)
    server, said = await play(file, now, 8)
    assert now.refused == []
    assert said == []
    assert len(server.requests) == 8 * 2 * 8


async def test_what_is_not_bound_is_sent_as_it_is(tmp_path: Path) -> None:
    """Around a value that is carried over, every byte is that of the file."""
    file = write(tmp_path / "visit.har", recorded(Shop(first_id=500)))
    server, _ = await play(file, Shop(first_id=0), 1)
    heads = [one.head.decode() for one in server.requests[:8]]
    assert re.search(r"\r\nCookie: theme=dark; session=\w+\r", heads[1])
    assert re.fullmatch(r"name=zoe&csrf_token=[\w%-]+&remember=1", server.requests[1].body.decode())
    assert re.search(r"^GET /items/\d+\?x=1 ", heads[4])
    assert re.fullmatch(r'{"item_id": \d+, "note": "é 1"}', server.requests[5].body.decode())


async def test_what_is_carried_over_is_listed(tmp_path: Path) -> None:
    """The user sees what was bound, to what, and how to have none of it."""
    _, notes = read(write(tmp_path / "visit.har", recorded(Shop(first_id=500))))
    (note,) = notes
    for name in (
        "cookie session (4)", "csrf_token of GET /login (1)", "access_token of POST /api/token (3)",
        "id of POST /items (2)", "Location of POST /pages (1)", "--verbatim",
    ):  # fmt: skip
        assert name in note


async def test_verbatim_sends_the_file(tmp_path: Path) -> None:
    """The values of the file are sent, and the server refuses them."""
    entries = recorded(Shop(first_id=500))
    file = write(tmp_path / "visit.har", entries)
    now = Shop(first_id=0)
    server, _ = await play(file, now, 1, verbatim=True)
    assert read(file, verbatim=True)[1] == []
    for one, entry in zip(server.requests[:8], entries, strict=True):
        assert one.body.decode() == entry["request"]["postData"]["text"]
        assert one.target.decode() == entry["request"]["url"].removeprefix("https://shop.test")
    assert len(now.refused) == 2 * 7


async def test_what_is_missing_now_is_sent_as_in_the_file_and_told(tmp_path: Path) -> None:
    """An answer that has not what it had then: nothing is made up, and each such place is told once."""
    file = write(tmp_path / "visit.har", recorded(Shop(first_id=500)))

    async def empty(received: Received) -> bytes:
        return b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"

    shop = Shop(first_id=0)
    shop.answer = empty  # type: ignore[method-assign]
    _, said = await play(file, shop, 2)
    assert "POST /login is sent with the file's value: no answer has set the cookie session" in said
    assert any("the answer to GET /login has no csrf_token this time" in line for line in said)
    assert len(said) == len(set(said))


async def test_a_file_without_cookies_gets_those_of_the_answers(tmp_path: Path) -> None:
    """Browsers leave cookies out of an export: a user then keeps a jar, as the browser did."""
    entries = recorded(Shop(first_id=500))
    for entry in entries:
        for side in ("request", "response"):
            kept = entry[side]["headers"]
            entry[side]["headers"] = [one for one in kept if one["name"] not in {"Cookie", "Set-Cookie"}]
    now = Shop(first_id=0)
    file = write(tmp_path / "visit.har", entries)
    await play(file, now, 8)
    assert now.refused == []
    assert any(note.startswith("The file has no cookies") for note in read(file)[1])


def test_masked_cookies_are_those_of_the_answers(tmp_path: Path) -> None:
    """An export of loadgen has its cookies masked: played again, the mask is not sent as a cookie."""
    masked = entry("GET", "/", Cookie="(masked)")
    calls, notes = read(write(tmp_path / "x.har", [masked, masked]))
    assert [name for call in calls for name, _ in call.headers if name == "Cookie"] == []
    assert all(call.jar is not None for call in calls)
    assert [note[:24] for note in notes] == ["The file has no cookies,"]
    calls, notes = read(tmp_path / "x.har", verbatim=True)
    assert ("Cookie", "(masked)") in calls[0].headers
    assert notes == ["2 requests with (masked) in place of a secret: sent so."]


def entry(method: str, target: str, body: Any = None, answer: Any = None, **headers: str) -> dict[str, Any]:
    kind = [{"name": "Content-Type", "value": "application/json"}]
    return {
        "request": {
            "method": method, "url": f"http://h{target}",
            "headers": kind + [{"name": name, "value": value} for name, value in headers.items()],
            "postData": {"text": json.dumps(body)} if body is not None else {},
        },
        "response": {"headers": kind, "content": {"text": json.dumps(answer)}},
    }  # fmt: skip


def bound(tmp_path: Path, *entries: dict[str, Any]) -> list[list[tuple[str, str]]]:
    calls, _ = read(write(tmp_path / "x.har", list(entries)))
    return [[(one.part, one.name) for one in call.bound] for call in calls]


@pytest.mark.parametrize(
    ("then", "later", "expected"),
    [
        ({"id": 42}, entry("GET", "/items/42"), [("target", "id")]),
        ({"id": 42}, entry("GET", "/others/42"), []),  # a number may be anywhere by chance
        ({"id": 42}, entry("GET", "/x?item_id=42"), [("target", "id")]),
        ({"id": 42}, entry("GET", "/x?page=42"), []),
        ({"id": 42}, entry("POST", "/x", {"a": [{"item_id": 42}]}), [("body", "id")]),
        ({"id": 42}, entry("POST", "/x", {"count": 42}), []),
        ({"key": "a1b2-c3d4-e5"}, entry("GET", "/any/a1b2-c3d4-e5"), [("target", "key")]),
        ({"t": "a1b2-c3d4-e5"}, entry("GET", "/", X="a1b2-c3d4-e5"), [("1", "t")]),
        ({"t": "short"}, entry("GET", "/", X="short"), []),
        ({"ok": True}, entry("POST", "/x", {"item_id": True}), []),
        # the object that an id belongs to, by a name around it: one or several, in any spelling
        ({"user": {"id": 7}}, entry("GET", "/users/7"), [("target", "user.id")]),
        ({"cartId": 7}, entry("GET", "/carts/7"), [("target", "cartId")]),
        ({"category": {"id": 7}}, entry("GET", "/x/categories/7/all"), [("target", "category.id")]),
        ({"item": {"parts": [{"id": 7}]}}, entry("GET", "/x?part_id=7"), [("target", "item.parts.0.id")]),
        ({"parts": [{"id": 7}]}, entry("POST", "/x", {"parts": [{"id": 7}]}), [("body", "parts.0.id")]),
        ({"user": {"id": 7}}, entry("POST", "/x", {"userId": 7}), [("body", "user.id")]),
        ({"user": {"id": 7}}, entry("GET", "/carts/7"), []),
        ({"user": {"id": 7}}, entry("POST", "/x", {"user": {"age": 7}}), []),
        ({"users": 7}, entry("GET", "/users/7"), []),  # as many as there are
        # an id that is in the path, and in the body again
        ({"id": 42}, entry("PUT", "/items/42", {"id": 42, "size": 42}), [("target", "id"), ("body", "id")]),
    ],
)
def test_links(tmp_path: Path, then: Any, later: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """A value is bound where it is too particular to be there by chance, or its place says so."""
    assert bound(tmp_path, entry("POST", "/items", {"name": "a"}, then), later) == [[], expected]


@pytest.mark.parametrize(
    ("cookie", "header", "is_bound"),
    [
        ("csrftoken=a1b2c3d4e5f6", "a1b2c3d4e5f6", True),
        ("XSRF-TOKEN=eyJpdiI6IkE%3D", "eyJpdiI6IkE=", True),
        ("jwt=aaaa.bbbb.cccc", "Bearer aaaa.bbbb.cccc", True),
        ("lang=english-gb", "english-gb", True),
        ("lang=en", "en", False),
    ],
)
def test_a_cookie_is_sent_back_in_a_header(
    tmp_path: Path, cookie: str, header: str, *, is_bound: bool
) -> None:
    """Django's and Angular's clients send a cookie against forgery in a header, too: with today's value."""
    first = entry("GET", "/")
    first["response"]["headers"].append({"name": "Set-Cookie", "value": f"{cookie}; Path=/"})
    later = entry("POST", "/x", **{"X-Token": header})
    calls, notes = read(write(tmp_path / "x.har", [first, later]))
    assert [one.path for one in calls[1].bound] == ([(cookie.partition("=")[0],)] if is_bound else [])
    if is_bound:
        carrier = Carrier(providers(calls))
        name = cookie.partition("=")[0]
        carrier.seen(0, httpx.Response(200, headers={"Set-Cookie": f"{name}=n%2Bw"}))
        sent = dict(carrier.filled(calls[1])[0].headers)["X-Token"]
        assert sent == header.rpartition(" ")[0] + (" " if " " in header else "") + (
            "n+w" if "%" in cookie else "n%2Bw"
        )
        assert any(f"cookie {name}" in note for note in notes)


def test_the_clients_own_values_are_not_bound(tmp_path: Path) -> None:
    """What the client had sent before is its own, though an answer gives it back."""
    own = {"email": "zoe@example.com"}
    assert bound(
        tmp_path,
        entry("POST", "/people", own, {"id": 1, **own}),
        entry("GET", "/me", None, own),
        entry("POST", "/mail", {"to": "zoe@example.com"}),
    ) == [[], [], []]
