"""HAR 1.2 (HTTP Archive), which browsers' developer tools and many others open.

One entry per request, in sequence; a request without an answer has status 0, with the reason in ``comment``.
Failures of the scenario are in the log's own ``_loadgen``. The file is written as a stream: only open
requests, and answers that arrived before that of an earlier request, are held in memory.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import FailedIteration, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.exchange import Headers
    from loadgen.core.masking import Masker
    from loadgen.core.transcript import Reader

URL_SAFE = "/?&=%:;,+@!$'()*~#[]|"


def har(events: Reader, masker: Masker, *, version: str) -> Iterator[str]:
    """Yield a HAR file of *events*, masked, in pieces of text."""
    creator = {"name": "loadgen", "version": version}
    yield '{"log": {"version": "1.2", "creator": ' + json.dumps(creator) + ', "pages": [], "entries": ['
    comma = "\n"
    failed: list[FailedIteration] = []
    for entry in _entries(events, masker, failed):
        yield comma + json.dumps(entry, ensure_ascii=False)
        comma = ",\n"
    own = {"failed_iterations": [masker.within(asdict(one)) for one in failed]} if failed else {}
    yield "\n]" + (f', "_loadgen": {json.dumps(own, ensure_ascii=False)}' if own else "") + "}}\n"


def _entries(events: Reader, masker: Masker, failed: list[FailedIteration]) -> Iterator[dict[str, Any]]:
    started = datetime.fromtimestamp(0, UTC)
    open_: dict[int, tuple[Request, float]] = {}
    done: dict[int, dict[str, Any]] = {}
    following = 1
    for event in events:
        at = events.at or 0.0
        match event:
            case Run():
                with suppress(ValueError):  # the transcript's text; without a date, times count from 1970
                    started = datetime.fromisoformat(event.started)
            case FailedIteration():
                failed.append(event)
            case Request():
                open_[event.seq] = (event, at)
            case Response() | Failure():
                request, sent = open_.pop(event.seq)
                when = _when(started, sent)
                done[event.seq] = _entry(request, event, masker, when, max(0.0, at - sent) * 1000)
        while following in done:
            yield done.pop(following)
            following += 1
    for seq in sorted((*open_, *done)):
        if seq in done:
            yield done[seq]
            continue
        request, sent = open_[seq]
        gone = Failure(seq, "unanswered", "the transcript ends before")
        yield _entry(request, gone, masker, _when(started, sent), 0.0)


def _when(started: datetime, seconds: float) -> str:
    with suppress(OverflowError):
        started += timedelta(seconds=seconds)
    return started.isoformat(timespec="milliseconds")


def _entry(
    request: Request, outcome: Response | Failure, masker: Masker, when: str, took: float
) -> dict[str, Any]:
    host = next((value for name, value in request.headers if name.lower() == "host"), "localhost")
    target = masker.target(request.target)
    url = target if "://" in target.partition("?")[0] else f"http://{host}{target}"
    body = masker.body(request.body, request.headers)
    sent: dict[str, Any] = {
        "method": request.method,
        "url": quote(url, safe=URL_SAFE, encoding="latin-1", errors="replace"),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(request.headers, masker),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(target.partition("?")[2], keep_blank_values=True)
        ],
        "headersSize": -1,
        "bodySize": len(request.body),
    }
    if body:
        sent["postData"] = {"mimeType": _type(request.headers), **_text(body, "comment")}
    entry = {
        "startedDateTime": when,
        "time": round(took, 3),
        "request": sent,
        "response": _response(outcome, masker),
        "cache": {},
        "timings": {"send": 0, "wait": round(took, 3), "receive": 0},
        "_loadgen": {"seq": request.seq, "user": request.user},
    }
    if isinstance(outcome, Failure):
        entry["comment"] = masker.text(f"no answer: {outcome.kind} {outcome.message}".strip())
    return entry


def _response(outcome: Response | Failure, masker: Masker) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        outcome = Response(outcome.seq, 0, ())
    status, headers, body = outcome.status, outcome.headers, outcome.body
    content = {"size": len(body), "mimeType": _type(headers), **_text(masker.body(body, headers), "encoding")}
    return {
        "status": status,
        "statusText": _phrase(status) if outcome.reason is None else outcome.reason,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(headers, masker),
        "content": content,
        "redirectURL": masker.target(
            next((url for field, url in headers if field.lower() == "location"), "")
        ),
        "headersSize": -1,
        "bodySize": len(body),
    }


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""


def _headers(headers: Headers, masker: Masker) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in masker.headers(headers)]


def _type(headers: Headers) -> str:
    return next((value for name, value in headers if name.lower() == "content-type"), "")


def _text(body: bytes, say_base64_in: str) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(body).decode(), say_base64_in: "base64"}
