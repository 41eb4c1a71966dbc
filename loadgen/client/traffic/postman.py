"""The requests of a Postman collection (format 2.0 and 2.1), in the order of a collection run.

Variables are those of the collection, of its folders, of an environment in a file beside it, and those that a
script sets to a text, or from an answer in one of the usual ways; scripts are not run. A missing value is an
error that names the request. As Postman does, redirects are followed, and cookies of answers are sent.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from loadgen.client.traffic.call import (
    COOKIE,
    TOKEN,
    Bound,
    Call,
    Jar,
    Notes,
    Redirects,
    split,
    wire,
    without_connection,
)
from loadgen.client.traffic.curl_form import Field, multipart
from loadgen.client.traffic.postman_scripts import sets
from loadgen.client.traffic.slots import written
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadgen.client.traffic.hosts import Found
    from loadgen.client.traffic.postman_scripts import Taken
    from loadgen.core.exchange import Headers

FORM = "application/x-www-form-urlencoded"
DEPTH = 20
"""Largest depth of references between values."""
_VARIABLE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_TYPES = {
    "json": "application/json", "xml": "application/xml", "html": "text/html", "javascript":
    "application/javascript", "text": "text/plain",
}  # fmt: skip
_SCRIPTS = (
    "{n} with a script of Postman's: not run, but what it sets to a text or from an answer is followed."
)
_OWN = "Headers that Postman adds by itself (User-Agent, Accept, Postman-Token, ...) are not sent."
_PRUNED = "{n} with a body that Postman does not send with its method: not sent."
_AUTHORITY = "target"
ENVIRONMENT = ".postman_environment.json"
GLOBALS = ".postman_globals.json"
"""How the names of exported values end."""
JAR = "postman"
REDIRECTS = 10
"""Redirects that Postman follows."""
_BODILESS = frozenset({"GET", "HEAD", "COPY", "PURGE", "UNLOCK"})
"""Methods with which Postman sends no body, unless told to."""


class _RequestError(Exception):
    """A request cannot be sent."""


@dataclass(frozen=True, slots=True)
class _Set:
    """A variable that is set from an answer."""

    name: str
    call: int
    taken: Taken


@dataclass(slots=True)
class _Collection:
    folder: Path
    notes: Notes
    variables: dict[str, str] = field(default_factory=dict)
    """Values, by name: the latest."""
    fixed: frozenset[str] = frozenset()
    """Names that a collection's own variables do not replace, because an environment has them."""
    beside: str = ""
    """What is beside the collection but cannot be used, for the message about a missing value."""
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
    _environment(collection)
    notes.more.setdefault(_OWN, 0)
    behavior = root.get("protocolProfileBehavior") or {}
    return list(_items(file, root, collection, (), root.get("auth"), behavior))


def _environment(collection: _Collection) -> None:
    """Read the values of the environment, and the globals, that are exported beside the collection."""
    for end in (GLOBALS, ENVIRONMENT):
        found = sorted(one for one in collection.folder.iterdir() if one.name.endswith(end))
        if len(found) > 1:
            collection.beside = f"; there are several files *{end} beside it: keep one"
            collection.notes.more.setdefault(f"No file *{end} is used: several are beside the collection.", 0)
        if len(found) != 1:
            continue
        try:
            values = json.loads(found[0].read_bytes())["values"]
            given = {str(one["key"]): _plain(one.get("value")) for one in values if one.get("enabled", True)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{found[0]} is not an environment of Postman's: {error}") from error
        collection.variables |= given
        if end == ENVIRONMENT:
            collection.fixed = frozenset(given)
        collection.notes.more.setdefault(
            f"Variables have the values of {found[0].name}, beside the collection.", 0
        )


def _items(
    file: Path,
    node: dict[str, Any],
    collection: _Collection,
    above: Sequence[str],
    auth: Any,
    behavior: dict[str, Any],
) -> Iterator[Found]:
    for one in node.get("variable") or ():
        key = (one.get("key") or one.get("id")) if isinstance(one, dict) and not one.get("disabled") else None
        if key and str(key) not in collection.fixed:
            collection.variables[str(key)] = _plain(one.get("value"))
    for item in node.get("item") or ():
        where = (*above, str(item.get("name", "")) if isinstance(item, dict) else "")
        name = "/".join(where)
        try:
            if "item" in item:
                inner = {**behavior, **(item.get("protocolProfileBehavior") or {})}
                yield from _items(file, item, collection, where, item.get("auth") or auth, inner)
            elif "request" in item:
                yield _request(item, collection, auth, behavior)
        except _RequestError as error:
            raise UsageError(
                f"{file}, request {name!r}: {error}", advice="Correct it, or remove it from the collection."
            ) from None
        except (AttributeError, TypeError, KeyError) as error:
            raise UsageError(
                f"{file}, request {name!r}: it is not valid: {error}",
                advice="Export the collection again, as Collection v2.1.",
            ) from None


def _request(item: dict[str, Any], collection: _Collection, auth: Any, behavior: dict[str, Any]) -> Found:
    _follow(_scripts(item, "prerequest"), collection)
    behavior = {**behavior, **(item.get("protocolProfileBehavior") or {})}
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
    if body and method in _BODILESS and not behavior.get("disableBodyPruning"):
        collection.notes.more[_PRUNED] += 1
        body, kind = b"", ""
    if kind and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", kind))
    url, headers = _authorized(request["auth"], _url(request.get("url", "")), headers)
    scheme, authority, target = split(url if "://" in url else f"http://{url}")
    sent = without_connection(
        [(wire(name), wire(value)) for name, value in headers], authority, len(body), collection.notes
    )
    jar = None if behavior.get("disableCookies") else Jar((JAR,), JAR, active=True)
    made = Call(method, target, sent, body, redirects=_redirects(method, sent, behavior), jar=jar)
    call = _bound(made, marks, is_form=kind == FORM)
    script = _scripts(item, "test")
    collection.notes.more[_SCRIPTS] += bool((script + _scripts(item, "prerequest")).strip())
    _follow(script, collection)
    collection.count += 1
    return scheme, authority, call


def _redirects(method: str, headers: Headers, behavior: dict[str, Any]) -> Redirects | None:
    """Return how Postman follows redirects of a request."""
    if behavior.get("followRedirects") is False:
        return None
    keeps = bool(behavior.get("followOriginalHttpMethod"))
    rest = tuple(pair for pair in headers if not pair[0].lower().startswith("content-"))
    return Redirects(
        int(behavior.get("maxRedirects", REDIRECTS)),
        (301, 302, 303) if keeps or method in {"GET", "HEAD"} else (),
        "GET",
        rest,
        not behavior.get("removeRefererHeaderOnRedirect"),
        leaves=False,
    )


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
    else:
        raw = _without_disabled(raw, url.get("query"))
    for one in url.get("variable") or ():
        name = re.escape(str(one.get("key") or one.get("id")))
        value = _plain(one.get("value")).replace("\\", "\\\\")
        raw = re.sub(rf"(?<=/):{name}(?=[/?#]|$)", value, raw)
    return raw


def _without_disabled(raw: str, pairs: Any) -> str:
    """Return the URL *raw* without the parameters that are disabled in the list of *pairs*."""
    address, mark, rest = raw.partition("?")
    query, *fragment = rest.partition("#")
    listed = [one for one in pairs or () if isinstance(one, dict)]
    kept = [f"{one.get('key') or ''}={_plain(one.get('value'))}" for one in _enabled(listed)]
    off = {f"{one.get('key') or ''}={_plain(one.get('value'))}" for one in listed if one.get("disabled")}
    parts = [part for part in query.split("&") if part not in off or part in kept]
    return f"{address}{mark if parts else ''}{'&'.join(parts)}{''.join(fragment)}"


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
        raise _RequestError(_missing(name, collection))

    for _ in range(DEPTH):
        if not _VARIABLE.search(node):
            break
        node = _VARIABLE.sub(value, node)
    return node


def _missing(name: str, collection: _Collection) -> str:
    if name.startswith("$"):
        return f"{{{{{name}}}}} has no value: Postman makes one up each time; write one in its place"
    return (
        f"{{{{{name}}}}} has no value: define it among the collection's variables, or put its exported "
        f"environment (*{ENVIRONMENT}) beside it{collection.beside}"
    )


def _bound(call: Call, marks: list[tuple[str, _Set]], *, is_form: bool) -> Call:
    """Return *call* with links to answers in place of the markers; without a value, variables' names."""
    texts = {"target": call.target, "body": call.body.decode("latin-1")}
    texts |= {str(number): value for number, (_, value) in enumerate(call.headers)}
    bound: list[Bound] = []
    found: set[str] = set()
    for part, text in texts.items():
        rest, done = text, ""
        for start, mark, source in sorted((text.find(mark), mark, source) for mark, source in marks):
            if start < 0:
                continue
            found.add(mark)
            before, _, rest = rest.partition(mark)
            done += before
            in_query = (part == "target" and "?" in done) or (part == "body" and is_form)
            writing = "query" if in_query else "path" if part == "target" else "plain"
            unset = written(f"{{{{{source.name}}}}}", writing)  # as Postman sends it
            number = -1 if source.taken.kind == COOKIE else source.call
            at = len(done), len(done) + len(unset)
            bound.append(Bound(part, *at, writing, number, source.taken.kind, source.taken.path))
            done += unset
        texts[part] = done + rest
    if len(found) < len(marks) and any("Basic " in value for _, value in call.headers):
        raise _RequestError("its name or password comes from an answer: that is not supported")
    headers = tuple((name, texts[str(number)]) for number, (name, _) in enumerate(call.headers))
    return replace(
        call,
        target=texts["target"],
        headers=headers,
        body=texts["body"].encode("latin-1"),
        bound=tuple(bound),
    )


def _scripts(item: dict[str, Any], listen: str) -> str:
    """Return the text of the scripts that run before or after a request."""
    lines: list[str] = []
    for event in item.get("event") or ():
        if (event.get("listen") == "prerequest") is (listen == "prerequest"):
            script = (event.get("script") or {}).get("exec") or ()
            lines += [script] if isinstance(script, str) else map(str, script)
    return "\n".join(lines)


def _follow(script: str, collection: _Collection) -> None:
    """Note the variables that a script sets."""
    for name, value in sets(script):
        collection.made.pop(name, None)
        if isinstance(value, str):
            collection.variables[name] = value
        else:
            collection.made[name] = _Set(name, collection.count, value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
