"""The requests of a Postman collection (format 2.0 and 2.1), in the order of a collection run.

Variables are those of the collection, of its folders, and those that a test script sets from an answer in one
of the usual ways; scripts are not run. A missing value is an error that names the request.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from loadgen.client.traffic.call import TOKEN, Bound, Call, Notes, split, wire, without_connection
from loadgen.client.traffic.curl_form import Field, multipart
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadgen.client.traffic.hosts import Found

FORM = "application/x-www-form-urlencoded"
DEPTH = 20
"""Largest depth of references between values."""
_VARIABLE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_SETS = re.compile(
    r"""(?:pm\.(?:environment|collectionVariables|globals|variables)\.set|postman\.set(?:Environment|Global)Variable)
    \(\s*["'](?P<name>[^"']+)["']\s*,\s*
    (?:pm\.response\.json\(\)|JSON\.parse\(responseBody\)|[A-Za-z_$][\w$]*)
    (?P<path>(?:\.[A-Za-z_$][\w$]*|\[\d+\]|\[["'][^"']+["']\])+)\s*\)""",
    re.VERBOSE,
)
_KEY = re.compile(r"""\.([\w$]+)|\[(\d+)\]|\[["']([^"']+)["']\]""")
_TYPES = {
    "json": "application/json", "xml": "application/xml", "html": "text/html", "javascript":
    "application/javascript", "text": "text/plain",
}  # fmt: skip
_SCRIPTS = "{n} with a script of Postman's: it is not run; what it sets from an answer's JSON is followed."
_AUTHORITY = "target"


class _RequestError(Exception):
    """A request cannot be sent."""


@dataclass(frozen=True, slots=True)
class _Set:
    """A variable that is set from an answer."""

    call: int
    path: tuple[str | int, ...]


@dataclass(slots=True)
class _Collection:
    folder: Path
    notes: Notes
    variables: dict[str, str] = field(default_factory=dict)
    made: dict[str, _Set] = field(default_factory=dict)
    count: int = 0


def is_collection(content: Any) -> bool:
    """Whether a parsed file is a Postman collection."""
    match content:
        case {"info": {"schema": str(schema)}, "item": [*_]}:
            return "/v2." in schema
        case {"collection": {"info": {"schema": str()}, "item": [*_]}}:  # the form of Postman's own API
            return True
    return False


def parse(file: Path, content: dict[str, Any], notes: Notes) -> list[Found]:
    """Return the requests of a collection with their hosts.

    Raises:
        UsageError: one cannot be sent; the message has its name.
    """
    root = content.get("collection", content)
    collection = _Collection(file.absolute().parent, notes)
    return list(_items(file, root, collection, (), root.get("auth")))


def _items(
    file: Path, node: dict[str, Any], collection: _Collection, above: Sequence[str], auth: Any
) -> Iterator[Found]:
    for one in node.get("variable") or ():
        if isinstance(one, dict) and not one.get("disabled") and (key := one.get("key") or one.get("id")):
            collection.variables[str(key)] = _plain(one.get("value"))
    for item in node.get("item") or ():
        where = (*above, str(item.get("name", "")) if isinstance(item, dict) else "")
        name = "/".join(where)
        try:
            if "item" in item:
                yield from _items(file, item, collection, where, item.get("auth") or auth)
            elif "request" in item:
                yield _request(item, collection, auth)
        except _RequestError as error:
            raise UsageError(
                f"{file}, request {name!r}: {error}", advice="Correct it, or remove it from the collection."
            ) from None
        except (AttributeError, TypeError, KeyError) as error:
            raise UsageError(
                f"{file}, request {name!r}: it is not valid: {error}",
                advice="Export the collection again, as Collection v2.1.",
            ) from None


def _request(item: dict[str, Any], collection: _Collection, auth: Any) -> Found:
    request = item["request"]
    if isinstance(request, str):
        request = {"method": "GET", "url": request}
    method = request.get("method", "GET")
    if not TOKEN.fullmatch(method) or method != method.upper():
        raise _RequestError(f"{method!r} is not a method that can be sent")
    marks: list[tuple[str, _Set]] = []
    given = {**request, "auth": request.get("auth") or auth}
    request = _filled(given, collection, marks, leave="url")
    request["url"] = _filled(given.get("url", ""), collection, marks, is_url=True)
    headers = [
        (str(one["key"]), _plain(one.get("value")))
        for one in request.get("header") or ()
        if isinstance(one, dict) and not one.get("disabled")
    ]
    body, kind = _body(request.get("body"), collection)
    if kind and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", kind))
    url, headers = _authorized(request["auth"], _url(request.get("url", "")), headers)
    scheme, authority, target = split(url if "://" in url else f"http://{url}")
    sent = without_connection(
        [(wire(name), wire(value)) for name, value in headers], authority, len(body), collection.notes
    )
    call = _bound(Call(method, target, sent, body), marks, is_form=kind == FORM)
    _learn(item, collection)
    collection.count += 1
    return scheme, authority, call


def _url(url: Any) -> str:
    if isinstance(url, str):
        return url
    raw = url.get("raw")
    if not isinstance(raw, str):
        host = url.get("host") or ""
        path = url.get("path") or ""
        raw = ".".join(map(str, host)) if isinstance(host, list) else str(host)
        raw += f":{url['port']}" if url.get("port") else ""
        raw += "/" + ("/".join(map(str, path)) if isinstance(path, list) else str(path).lstrip("/"))
        pairs = [f"{one.get('key') or ''}={_plain(one.get('value'))}" for one in _enabled(url.get("query"))]
        raw += f"?{'&'.join(pairs)}" if pairs else ""
    for one in url.get("variable") or ():
        name = re.escape(str(one.get("key") or one.get("id")))
        value = _plain(one.get("value")).replace("\\", "\\\\")
        raw = re.sub(rf"(?<=/):{name}(?=[/?#]|$)", value, raw)
    return raw


def _enabled(pairs: Any) -> list[dict[str, Any]]:
    return [one for one in pairs or () if isinstance(one, dict) and not one.get("disabled")]


def _body(body: Any, collection: _Collection) -> tuple[bytes, str]:  # noqa: PLR0911 - one a mode
    if not body or body.get("disabled"):
        return b"", ""
    match mode := body.get("mode"):
        case "raw":
            language = ((body.get("options") or {}).get("raw") or {}).get("language", "text")
            text = str(body.get("raw") or "")
            return _bytes(text), _TYPES.get(language, "text/plain") if text else ""
        case "urlencoded":
            pairs = [(str(one.get("key") or ""), _plain(one.get("value"))) for one in _enabled(body[mode])]
            return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs).encode(), FORM
        case "formdata":
            return multipart(
                [_part(one, collection) for one in _enabled(body[mode])], None, backslashes=False
            )
        case "graphql":
            given = body[mode]
            variables = given.get("variables") or "{}"
            content = {"query": given.get("query", ""), "variables": json.loads(variables)}
            return json.dumps(content, ensure_ascii=False).encode(), "application/json"
        case "file":
            return _read(collection.folder, (body.get("file") or {}).get("src")), ""
        case None:
            return b"", ""
    raise _RequestError(f"a body of mode {mode!r} is not known")


def _part(one: dict[str, Any], collection: _Collection) -> Field:
    name, kind = str(one.get("key") or ""), one.get("contentType")
    if one.get("type") == "file":
        source = one.get("src")
        source = source[0] if isinstance(source, list) and len(source) == 1 else source
        content = _read(collection.folder, source)
        return Field(name, content, str(source).rpartition("/")[2], kind or "application/octet-stream")
    return Field(name, _bytes(_plain(one.get("value"))), None, kind)


def _read(folder: Path, source: Any) -> bytes:
    if not isinstance(source, str):
        raise _RequestError("its body is a file that the collection does not name")
    try:
        return (folder / source).read_bytes()
    except OSError as error:
        raise _RequestError(f"{folder / source} cannot be read: {error.strerror}") from error


def _authorized(auth: Any, url: str, headers: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    """Return URL and headers with the credentials of *auth*."""
    kind = auth.get("type") if isinstance(auth, dict) else None
    if kind in {None, "noauth"} or any(name.lower() == "authorization" for name, _ in headers):
        return url, headers
    given = auth.get(kind) or {}
    if isinstance(given, list):
        given = {one["key"]: one.get("value") for one in given}
    match kind:
        case "basic":
            pair = _bytes(f"{_plain(given.get('username'))}:{_plain(given.get('password'))}")
            return url, [*headers, ("Authorization", f"Basic {base64.b64encode(pair).decode()}")]
        case "bearer":
            return url, [*headers, ("Authorization", f"Bearer {_plain(given.get('token'))}")]
        case "apikey" if given.get("in") == "query":
            joint = "&" if "?" in url else "?"
            return f"{url}{joint}{_plain(given.get('key'))}={_plain(given.get('value'))}", headers
        case "apikey":
            return url, [*headers, (_plain(given.get("key")), _plain(given.get("value")))]
    raise _RequestError(f"authorization of type {kind!r} is not supported: send its header")


def _filled(
    node: Any,
    collection: _Collection,
    marks: list[tuple[str, _Set]],
    *,
    is_url: bool = False,
    leave: str = "",
) -> Any:
    """Return *node* with the values of its variables; a variable set from an answer becomes a marker."""
    if isinstance(node, dict):
        return {
            name: value if name == leave else _filled(value, collection, marks, is_url=is_url)
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [_filled(value, collection, marks, is_url=is_url) for value in node]
    if not isinstance(node, str):
        return node

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if (source := collection.made.get(name)) is not None:
            mark = f"loadgen-{len(marks)}-mark"
            marks.append((mark, source))
            return mark
        if name in collection.variables:
            return collection.variables[name]
        if is_url and found.start() == 0:
            return _AUTHORITY  # the address of an environment: the target replaces it
        raise _RequestError(f"{found[0]} has no value: define it among the collection's variables")

    for _ in range(DEPTH):
        if not _VARIABLE.search(node):
            break
        node = _VARIABLE.sub(value, node)
    return node


def _bound(call: Call, marks: list[tuple[str, _Set]], *, is_form: bool) -> Call:
    """Return *call* with links to answers in place of the markers."""
    bound: list[Bound] = []
    texts = {"target": call.target, "body": call.body.decode("latin-1")}
    texts |= {str(number): value for number, (_, value) in enumerate(call.headers)}
    for mark, source in marks:
        found = False
        for part, text in texts.items():
            if (start := text.find(mark)) >= 0:
                found = True
                in_query = (part == "target" and "?" in text[:start]) or (part == "body" and is_form)
                writing = "query" if in_query else "path" if part == "target" else "plain"
                binding = Bound(part, start, start + len(mark), writing, source.call, "json", source.path)
                bound.append(binding)
        if not found and any("Basic " in value for _, value in call.headers):
            raise _RequestError("its name or password comes from an answer: that is not supported")
    return replace(call, bound=tuple(bound))


def _learn(item: dict[str, Any], collection: _Collection) -> None:
    """Note the variables that the scripts of a request set from its answer."""
    lines: list[str] = []
    for event in item.get("event") or ():
        script = (event.get("script") or {}).get("exec") or ()
        lines += [script] if isinstance(script, str) else map(str, script)
    text = "\n".join(lines)
    collection.notes.more[_SCRIPTS] += bool(text.strip())
    for found in _SETS.finditer(text):
        path = tuple(
            int(number) if number else name or quoted for name, number, quoted in _KEY.findall(found["path"])
        )
        collection.made[found["name"]] = _Set(collection.count, path)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
