"""An httpx client for scenarios that caches the parts of requests that are always the same.

:class:`QuickClient` is an ``httpx.AsyncClient``, and its requests and answers are httpx's own. For a typical
request (a path of the server under test, JSON or no body, headers by name), the headers come from a prototype
that httpx built once, and the request skips the layers for authentication, redirects and mounts, which would
not change it. Any other request takes httpx's own path, which is the reference: a test compares the bytes and
answers of both. This uses private parts of httpx, whose version is pinned.
"""

# ruff: noqa: SLF001 - httpx has no public way to create its values from validated parts

from __future__ import annotations

import json as json_module
import logging
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from loadgen.client.stream import Client

if TYPE_CHECKING:
    from collections.abc import Iterable

_USE_CLIENT = httpx.USE_CLIENT_DEFAULT
_PLAIN = re.compile(r"((?:/(?![./])[A-Za-z0-9_~.-]*)+)(?:\?([A-Za-z0-9_~.=&-]*))?")
"""Paths and queries that are sent as they are written."""
_LOG = logging.getLogger("httpx")
_MOST = 256
"""Number of prototypes kept."""


class _Prototype(NamedTuple):
    """The header fields of requests that differ only in path and body."""

    fields: list[tuple[bytes, bytes, bytes]]
    length: int
    """Index of the field with the length of the body; -1: none."""


class QuickClient(Client):
    """An ``AsyncClient`` for many similar requests."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._prototypes: dict[object, _Prototype] = {}
        self._made_of: list[Any] = []

    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        """Build a request; see httpx."""
        request = self._quickly(method, url, options) if type(url) is str else None
        return request or super().build_request(method, url, **options)

    def _quickly(self, method: str, url: str, options: dict[str, Any]) -> httpx.Request | None:
        plain = _PLAIN.fullmatch(url)
        json, headers = options.get("json"), options.get("headers")
        if (
            plain is None
            or self._base_url.raw_path != b"/"
            or self._params
            or self._cookies.jar._cookies  # type: ignore[attr-defined]
            or options.get("timeout", _USE_CLIENT) is not _USE_CLIENT
            or any(options.get(name) for name in ("params", "cookies", "extensions"))
            or any(options.get(name) is not None for name in ("content", "data", "files"))
            or not (headers is None or type(headers) is dict)
        ):
            return None
        made_of = [*self._headers._list, self._base_url]
        if made_of != self._made_of:
            self._prototypes.clear()
            self._made_of = made_of
        key = method, json is None, tuple(headers.items()) if headers else None
        try:
            prototype = self._prototypes.get(key)
        except TypeError:
            return None
        if prototype is None:
            prototype = self._prototype(method, has_body=json is not None, headers=headers)
            if len(self._prototypes) >= _MOST:
                self._prototypes.clear()
            self._prototypes[key] = prototype
        return self._request(method, plain, json, prototype)

    def _prototype(self, method: str, *, has_body: bool, headers: Any) -> _Prototype:
        made = super().build_request(method, "/", headers=headers, json={} if has_body else None)
        fields = made.headers._list
        at = [number for number, (_, name, _) in enumerate(fields) if name == b"content-length"]
        own = any(name.lower() == "content-length" for name in headers or ())
        return _Prototype(fields, at[0] if has_body and at and not own else -1)

    def _request(self, method: str, plain: re.Match[str], json: Any, prototype: _Prototype) -> httpx.Request:
        request = httpx.Request.__new__(httpx.Request)
        request.method = method.upper()
        url = httpx.URL.__new__(httpx.URL)
        path, query = plain.groups()
        url._uri_reference = self._base_url._uri_reference._replace(path=path, query=query)
        request.url = url
        fields, content = prototype.fields.copy(), b""
        if json is not None:
            content = json_module.dumps(
                json, ensure_ascii=False, separators=(",", ":"), allow_nan=False
            ).encode()
            if prototype.length >= 0:
                raw, name, _ = fields[prototype.length]
                fields[prototype.length] = raw, name, b"%d" % len(content)
        request.headers = _headers(fields)
        request.extensions = {"timeout": self._timeout.as_dict()}
        request.stream = httpx.ByteStream(content)
        request._content = content
        return request

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send *request*; see httpx."""
        if (
            stream
            or self.follow_redirects
            or self._auth is not None
            or self._mounts
            or self._event_hooks["response"]
            or self.is_closed
            or request.url.userinfo
            or any(value is not _USE_CLIENT for value in options.values())
        ):
            return await super().send(request, stream=stream, **options)
        self._state = type(self._state).OPENED
        self._set_timeout(request)
        for hook in self._event_hooks["request"]:
            await hook(request)
        began = time.perf_counter()
        try:
            answer = await self._transport.handle_async_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        answer.request = request
        names = {name for _, name, _ in answer.headers._list}
        if b"set-cookie" in names:
            self.cookies.extract_cookies(answer)
        answer.default_encoding = self._default_encoding
        answer.history = []
        if b"location" in names and answer.has_redirect_location:
            answer.next_request = self._build_redirect_request(request, answer)
        if b"content-encoding" not in names and isinstance(answer.stream, httpx.ByteStream):
            answer._content = answer.stream._stream
            answer._num_bytes_downloaded = len(answer._content)
            answer.is_closed = answer.is_stream_consumed = True
        else:
            await answer.aread()
        answer.elapsed = timedelta(seconds=time.perf_counter() - began)
        if _LOG.isEnabledFor(logging.INFO):
            what = request.method, request.url, answer.http_version, answer.status_code, answer.reason_phrase
            _LOG.info('HTTP Request: %s %s "%s %d %s"', *what)
        return answer


def _headers(fields: list[tuple[bytes, bytes, bytes]]) -> httpx.Headers:
    """Return *fields* (raw name, lower-case name, value) as httpx's headers."""
    made = httpx.Headers.__new__(httpx.Headers)
    made._list = fields
    made._encoding = None
    return made


def response(
    status: int, reason: str, headers: Iterable[tuple[str, str]], content: bytes, request: httpx.Request
) -> httpx.Response:
    """Return an answer that has been received completely."""
    fields = []
    for name, value in headers:
        raw = name.encode("latin-1")
        fields.append((raw, raw.lower(), value.encode("latin-1")))
    phrase = {"reason_phrase": reason.encode("latin-1")}
    made = httpx.Response(status, stream=httpx.ByteStream(content), request=request, extensions=phrase)
    made.headers = _headers(fields)
    return made
