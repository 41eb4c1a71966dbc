"""The operations of an OpenAPI document (3, or Swagger 2): one request for each, with its example values.

A document contains no requests, so they are derived from it, always in the same way. Operations that create
objects come first, those that delete them last; an id in a path is that of a created object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from loadgen.client.traffic.call import Bound, Call, Notes, wire
from loadgen.client.traffic.curl_form import Field, multipart
from loadgen.client.traffic.documents import parsed
from loadgen.client.traffic.sample import SampleError, Sampler
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.exchange import Headers

METHODS = ("post", "get", "head", "options", "put", "patch", "trace", "delete")
"""In the order in which operations at the same path depth are sent."""
FORM = "application/x-www-form-urlencoded"
_BOUND = "{n} with an id in the path takes it from the answer to what creates it, as far as that has one."
_GUARDED = "{n} of an operation that asks for credentials: none are sent. --scenario can log in."
_MADE_UP = "{n} with values that the document gives no example of: plain ones were made up."


@dataclass(frozen=True, slots=True)
class _Operation:
    path: str
    method: str
    parameters: list[dict[str, Any]]
    content: dict[str, Any]
    """Its body, by type."""
    is_guarded: bool


def is_openapi(content: Any) -> bool:
    """Whether a parsed file is an OpenAPI document."""
    if not isinstance(content, dict):
        return False
    return ("openapi" in content or "swagger" in content) and ("paths" in content or "info" in content)


def parse(file: Path, content: dict[str, Any]) -> tuple[list[Call], list[str]]:
    """Return one request for each operation, and notes for the user.

    Raises:
        UsageError: the document has no operation, or an invalid one; the message names it.
    """
    sampler, notes = Sampler(content, partial(_other, file.absolute().parent)), Notes()
    operations = _operations(file, content, sampler)
    operations.sort(key=lambda one: (one.method == "delete", one.path.count("{"), METHODS.index(one.method)))
    base = _base(content)
    calls: list[Call] = []
    creators: dict[str, int] = {}
    for one in operations:
        before = sampler.made_up
        try:
            call = _call(one, base, sampler, creators)
        except SampleError as error:
            raise UsageError(
                f"{file}, {one.method.upper()} {one.path}: {error}", advice="Correct the document."
            ) from None
        if call is None:
            notes.left_out["whose body type has no example"] += 1
            continue
        notes.more[_BOUND] += bool(call.bound)
        notes.more[_GUARDED] += one.is_guarded
        notes.more[_MADE_UP] += sampler.made_up > before
        if one.method == "post":
            creators[one.path.rstrip("/")] = len(calls)
        calls.append(call)
    if not calls:
        raise UsageError(f"{file} has no operation to send", advice="\n  ".join(notes.lines()))
    return calls, [f"One request is sent for each of the {len(calls)} operations.", *notes.lines()]


def _other(folder: Path, name: str) -> Any:
    """Return another file of a document, with its references as they are from *folder*."""
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise SampleError(f"{folder / name}, which it refers to, cannot be read: {error.strerror}") from error
    return _relative(parsed(folder / name, content), PurePosixPath(name))


def _relative(node: Any, file: PurePosixPath) -> Any:
    if isinstance(node, list):
        return [_relative(one, file) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _relative(one, file) for key, one in node.items()}
    if isinstance(ref := node.get("$ref"), str) and "://" not in ref:
        name, mark, pointer = ref.partition("#")
        found["$ref"] = f"{file.parent / name if name else file}{mark}{pointer}"
    return found


def _operations(file: Path, content: dict[str, Any], sampler: Sampler) -> list[_Operation]:
    found = []
    is_guarded = bool(content.get("security"))
    try:
        paths = sampler.resolved(content.get("paths"))
    except SampleError as error:
        raise UsageError(f"{file}: {error}", advice="Correct the document.") from None
    for path, node in paths.items() if isinstance(paths, dict) else ():
        try:
            item = sampler.resolved(node)
            found += [
                _operation(path, method, item, operation, sampler, is_guarded=is_guarded)
                for method in METHODS
                if isinstance(operation := item.get(method), dict)
            ]
        except SampleError as error:
            raise UsageError(f"{file}, {path}: {error}", advice="Correct the document.") from None
        except (AttributeError, TypeError) as error:
            raise UsageError(
                f"{file}, {path}: it is not valid: {error}", advice="Check it with a tool for OpenAPI."
            ) from None
    return found


def _operation(
    path: str,
    method: str,
    item: dict[str, Any],
    operation: dict[str, Any],
    sampler: Sampler,
    *,
    is_guarded: bool,
) -> _Operation:
    given: dict[tuple[str, str], dict[str, Any]] = {}
    for one in (*(item.get("parameters") or ()), *(operation.get("parameters") or ())):
        if one is None:  # an empty item of a list in YAML
            continue
        parameter = sampler.resolved(one)
        given[str(parameter.get("in")), str(parameter.get("name"))] = parameter
    content = (sampler.resolved(operation.get("requestBody")) or {}).get("content") or {}
    swagger = [one for (where, _), one in given.items() if where == "formData"]
    if swagger:
        schema = {"type": "object", "properties": {one["name"]: one for one in swagger}}
        has_file = any(one.get("type") == "file" for one in swagger)
        content = {"multipart/form-data" if has_file else FORM: {"schema": schema}}
    elif body := next((one for (where, _), one in given.items() if where == "body"), None):
        content = {"application/json": {"schema": body.get("schema", {})}}
    guarded = bool(operation["security"]) if "security" in operation else is_guarded
    return _Operation(path, method, list(given.values()), content, guarded)


def _base(content: dict[str, Any]) -> str:
    """Return the common prefix of all paths."""
    if isinstance(base := content.get("basePath"), str):
        return base.rstrip("/")
    match content.get("servers"):
        case [{"url": str(url)} as server, *_]:
            for name, one in (server.get("variables") or {}).items():
                url = url.replace(f"{{{name}}}", str(one.get("default", "")))
            return urlsplit(url).path.rstrip("/")
    return ""


def _call(operation: _Operation, base: str, sampler: Sampler, creators: dict[str, int]) -> Call | None:
    target, bound = _path(operation, base, sampler, creators)
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    cookies: list[str] = []
    for one in operation.parameters:
        where, name = one.get("in"), str(one.get("name"))
        if where not in {"query", "header", "cookie"} or not _is_wanted(one, sampler):
            continue
        value = _parameter(one, sampler)
        if where == "query":
            query += [(name, text) for text in (_texts(value) if isinstance(value, list) else [_text(value)])]
        elif where == "header":
            headers.append((wire(name), wire(_text(value))))
        else:
            cookies.append(f"{name}={quote_plus(_text(value))}")
    if query:
        target += f"?{urlencode(query, quote_via=quote)}"
    if cookies:
        headers.append(("Cookie", "; ".join(cookies)))
    body, kind = b"", ""
    if operation.content:
        found = _body(operation.content, sampler)
        if found is None:
            return None
        body, kind = found
    sent: Headers = (*headers, ("Accept", "*/*"), *((("Content-Type", kind),) if kind else ()))
    return Call(operation.method.upper(), target, sent, body, bound=bound)


def _path(
    operation: _Operation, base: str, sampler: Sampler, creators: dict[str, int]
) -> tuple[str, tuple[Bound, ...]]:
    """Return the path with its parameters filled in, and those that come from created objects."""
    target, bound = quote(base, safe="/%"), []
    template = ""
    known = {str(one.get("name")): one for one in operation.parameters if one.get("in") == "path"}
    for number, piece in enumerate(operation.path.split("/")):
        target += "/" if number else ""
        if piece.startswith("{") and piece.endswith("}"):
            name = piece[1:-1]
            value = quote(_text(_parameter(known.get(name, {}), sampler)), safe="")
            creator = creators.get(template.rstrip("/"))
            if creator is not None:
                bound.append(
                    Bound("target", len(target), len(target) + len(value), "path", creator, "id", (name,))
                )
            target += value
        else:
            filled = piece
            for name, one in known.items():
                filled = filled.replace(f"{{{name}}}", quote(_text(_parameter(one, sampler)), safe=""))
            target += quote(filled, safe="%:@!$&'()*+,;=~{}")
        template += f"{piece}/"
    return target, tuple(bound)


def _is_wanted(parameter: dict[str, Any], sampler: Sampler) -> bool:
    return parameter.get("required") is True or sampler.given(parameter) is not None


def _parameter(parameter: dict[str, Any], sampler: Sampler) -> Any:
    if (found := sampler.given(parameter)) is not None:
        return found[0]
    if "content" in parameter:
        media: dict[str, Any] = next(iter(parameter["content"].values()), {})
        return json.dumps(sampler.value(media.get("schema", {})))
    return sampler.value(parameter.get("schema", parameter))


def _body(content: dict[str, Any], sampler: Sampler) -> tuple[bytes, str] | None:
    """Return a body and its type, preferably JSON; None if none can be derived."""
    for kind in sorted(content, key=lambda one: ("json" not in one, "form" not in one)):
        media = sampler.resolved(content[kind]) or {}
        found = sampler.given(media)
        value = found[0] if found else sampler.value(media.get("schema", {}))
        if "json" in kind or kind == "*/*":
            if isinstance(value, str) and found:
                return value.encode(), kind  # an example in text form
            return json.dumps(
                value, ensure_ascii=False
            ).encode(), "application/json" if kind == "*/*" else kind
        if isinstance(value, dict) and kind == FORM:
            pairs = [(name, text) for name, one in value.items() for text in _texts(one)]
            return urlencode(pairs).encode(), kind
        if isinstance(value, dict) and kind == "multipart/form-data":
            properties = (sampler.resolved(media.get("schema")) or {}).get("properties") or {}
            fields = [
                _field(name, one, sampler.resolved(properties.get(name))) for name, one in value.items()
            ]
            return multipart(fields, None, backslashes=False)
        if isinstance(value, str) and (found or kind.startswith("text/")):
            return value.encode(), kind
    return None


def _field(name: str, value: Any, schema: Any) -> Field:
    is_file = isinstance(schema, dict) and (schema.get("format") == "binary" or schema.get("type") == "file")
    return Field(
        name,
        _text(value).encode(),
        "file.txt" if is_file else None,
        "text/plain" if is_file else None,
    )


def _texts(value: Any) -> list[str]:
    return [_text(one) for one in value] if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False)
