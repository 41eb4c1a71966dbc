"""A file with a wrong value anywhere is read, or refused by a message: never a traceback."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.client.traffic.file import read
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HAR = {
    "log": {
        "entries": [
            {
                "startedDateTime": "2026-01-01T00:00:00.000Z",
                "request": {
                    "method": "POST",
                    "url": "http://shop/a?x=1",
                    "headers": [{"name": "Cookie", "value": "a=b"}],
                    "cookies": [{"name": "a", "value": "b"}],
                    "queryString": [{"name": "x", "value": "1"}],
                    "postData": {"mimeType": "text/plain", "text": "a", "params": [{"name": "a"}]},
                    "bodySize": 1,
                },
                "response": {
                    "status": 200,
                    "headers": [{"name": "Set-Cookie", "value": "s=1"}],
                    "content": {"mimeType": "application/json", "text": '{"id": 17}', "encoding": ""},
                },
            },
            {"request": {"method": "GET", "url": "http://shop/items/17", "headers": []}},
        ]
    }
}
POSTMAN = {
    "info": {"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{t}}"}]},
    "variable": [{"key": "base", "value": "http://shop"}, {"key": "t", "value": "x"}],
    "item": [
        {
            "name": "first",
            "request": {
                "method": "POST",
                "header": [{"key": "A", "value": "b", "disabled": False}],
                "url": {"raw": "{{base}}/a", "host": ["{{base}}"], "path": ["a"], "query": [{"key": "x"}]},
                "body": {"mode": "urlencoded", "urlencoded": [{"key": "a", "value": "1"}]},
            },
        },
    ],
}
OPENAPI = {
    "openapi": "3.0.0",
    "servers": [{"url": "http://shop/{v}", "variables": {"v": {"default": "v1"}}}],
    "components": {"schemas": {"A": {"type": "object", "properties": {"n": {"type": "integer"}}}}},
    "paths": {
        "/a/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}
                },
                "responses": {"200": {"description": "made"}},
            },
        }
    },
}
WRONG: tuple[Any, ...] = (None, 5.5, "", "\ud800", [], {}, [5], {"$ref": "#"}, "a\r\nb: c")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


@pytest.mark.slow
@pytest.mark.parametrize("document", [HAR, POSTMAN, OPENAPI], ids=["har", "postman", "openapi"])
def test_wrong_values(tmp_path: Path, document: dict[str, Any]) -> None:
    """Whatever stands in a place, what is sent can be sent."""
    file = tmp_path / "file.json"
    file.write_text(json.dumps(document))
    assert read(file)[0]
    for path in places(document):
        for wrong in WRONG:
            changed = copy.deepcopy(document)
            inner: Any = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = wrong
            file.write_text(json.dumps(changed))
            try:
                calls, _ = read(file)
            except UsageError:
                continue
            for call in calls:
                sent = call.method + call.target + "".join(map("".join, call.headers))
                assert not set("\r\n\0") & set(sent)
