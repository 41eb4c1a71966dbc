"""Every file is recognised: its requests are sent, or a message says how to convert them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadgen.client.traffic import carried
from loadgen.client.traffic.file import read
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from loadgen.client.traffic.call import Call

FILES = {
    "a k6 script": "import http from 'k6/http';\nexport default function () { http.get('http://h/'); }",
    "a Locust file": "from locust import HttpUser, task\nclass U(HttpUser): ...",
    "a file of scenarios": "from loadgen import scenario\n@scenario\nasync def s(user): ...",
    "a Playwright": "import { test } from '@playwright/test';",
    "a JMeter": '<?xml version="1.0"?>\n<jmeterTestPlan version="1.2">',
    "a Gatling": "import io.gatling.core.Predef._",
    "an Artillery": "config:\n  target: http://h\nscenarios:\n  - flow: []",
    "an Insomnia": "type: collection.insomnia.rest/5.0\nname: x",
    "an Insomnia ": json.dumps({"_type": "export", "__export_format": 4, "resources": []}),
    "a Bruno": "meta {\n  name: x\n}\nget {\n  url: http://h\n}",
    "a file of a REST client": "### log in\nPOST http://h/login\nContent-Type: application/json\n\n{}",
    "or of Vegeta": "GET http://h/a\n",
    "JavaScript with fetch()": 'fetch("http://h/", {method: "GET"});',
    "a PowerShell script": "Invoke-WebRequest -Uri http://h/",
    "an HTML page": "<!DOCTYPE html>\n<html>",
    "a log of a web server": '127.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 2326',
    "a Postman collection of format 1": json.dumps({"id": "1", "requests": [], "folders": [], "name": "x"}),
    "a Postman environment": json.dumps({"values": [], "_postman_variable_scope": "environment"}),
    "a Hoppscotch": json.dumps({"v": 2, "name": "x", "folders": [], "requests": []}),
    "a HAR file without": json.dumps({"log": {}}),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_other_tools_are_named(tmp_path: Path, kind: str) -> None:
    """Whatever the file is called: what it is is said, and where to read on; that page has its section."""
    (tmp_path / "traffic.txt").write_text(FILES[kind])
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "traffic.txt")
    assert kind.strip() in caught.value.message
    assert "docs/traffic.md" in caught.value.advice
    assert Path("docs/traffic.md").is_file()


OPENAPI = """
openapi: 3.0.3
info: {title: Shop, version: "1"}
servers: [{url: "https://shop.test/{v}/", variables: {v: {default: api}}}]
paths:
  /items/{itemId}:
    parameters: [{name: itemId, in: path, required: true, schema: {type: integer}}]
    delete: {responses: {"204": {description: gone}}}
    get:
      parameters:
        - {name: full, in: query, required: true, schema: {type: boolean}}
        - {name: sort, in: query, schema: {type: string}}
        - {name: tags, in: query, required: true, schema: {type: array, items: {enum: [new, old]}}}
        - {name: X-Trace, in: header, required: true, example: abc}
      responses: {"200": {description: ok}}
  /items:
    get: {responses: {"200": {description: ok}}}
    post:
      security: [{key: []}]
      requestBody:
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Item"}
      responses: {"201": {description: made}}
  /login:
    post:
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema:
              properties: {name: {type: string, example: zoe b}, age: {type: integer, minimum: 18}}
      responses: {"200": {description: ok}}
components:
  schemas:
    Item:
      type: object
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, minLength: 2}
        price: {type: number, minimum: 0, exclusiveMaximum: 1}
        when: {type: string, format: date-time}
        parent: {$ref: "#/components/schemas/Item"}
"""


def as_lines(calls: list[Call]) -> list[str]:
    return [f"{call.method} {call.target}" for call in calls]


def test_openapi(tmp_path: Path) -> None:
    """One request of each operation: what creates first, with examples or the plainest values that fit."""
    (tmp_path / "api.yaml").write_text(OPENAPI)
    calls, notes = read(tmp_path / "api.yaml")
    assert as_lines(calls) == [
        "POST /api/items",
        "POST /api/login",
        "GET /api/items",
        "GET /api/items/1?full=true&tags=new",
        "DELETE /api/items/1",
    ]
    item = json.loads(calls[0].body)
    assert (item["name"], item["price"], item["when"]) == ("text", 0.5, "2026-01-15T12:00:00Z")
    assert "id" not in item
    assert calls[1].body == b"name=zoe+b&age=18"
    assert ("X-Trace", "abc") in calls[3].headers
    assert [(one.kind, one.call) for one in calls[4].bound] == [("id", 0)]
    text = "\n".join(notes)
    for said in ("of the 5 operations", "2 requests with an id in the path", "1 request of an operation"):
        assert said in text
    assert carried.load(json.loads(carried.dump(calls))) == calls


def test_swagger_2(tmp_path: Path) -> None:
    """The older format: basePath, body and formData parameters."""
    document = {
        "swagger": "2.0",
        "basePath": "/v1",
        "paths": {
            "/a": {"post": {"parameters": [{"in": "body", "name": "b", "schema": {"items": {}}}]}},
            "/b": {"put": {"parameters": [{"in": "formData", "name": "n", "type": "integer"}]}},
        },
    }
    (tmp_path / "api.json").write_text(json.dumps(document))
    calls, _ = read(tmp_path / "api.json")
    assert as_lines(calls) == ["POST /v1/a", "PUT /v1/b"]
    assert [call.body for call in calls] == [b'["text"]', b"n=1"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ({"get": {"parameters": [{"$ref": "other.yaml#/x"}]}}, "is in another file"),
        ({"get": {"parameters": [{"$ref": "#/none"}]}}, "refers to nothing"),
        ({"get": {"parameters": 7}}, "/x"),
        ({}, "has no operation to send"),
    ],
)
def test_documents_that_cannot_be_played(tmp_path: Path, path: object, says: str) -> None:
    """A mistake is named with the path it is in."""
    (tmp_path / "api.json").write_text(json.dumps({"openapi": "3.1.0", "paths": {"/x": path}}))
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "api.json")
    assert says in caught.value.message


SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
COLLECTION = {
    "info": {"name": "Shop", "schema": SCHEMA},
    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]},
    "variable": [
        {"key": "name", "value": "zoë &"},
        {"key": "path", "value": "{{version}}/x"},
        {"key": "version", "value": "v1"},
    ],
    "item": [
        {
            "name": "log in",
            "event": [
                {
                    "listen": "test",
                    "script": {
                        "exec": [
                            "const data = pm.response.json();",
                            "pm.environment.set('token', data.access['key'][0]);",
                        ]
                    },
                }
            ],
            "request": {
                "method": "POST",
                "auth": {
                    "type": "basic",
                    "basic": [{"key": "username", "value": "{{name}}"}, {"key": "password", "value": "p"}],
                },
                "header": [{"key": "X-A", "value": "1"}, {"key": "X-B", "value": "2", "disabled": True}],
                "url": {
                    "raw": "{{baseUrl}}/login/:kind?a={{name}}",
                    "variable": [{"key": "kind", "value": "web"}],
                },
                "body": {
                    "mode": "urlencoded",
                    "urlencoded": [
                        {"key": "user", "value": "{{name}}"},
                        {"key": "off", "value": "", "disabled": True},
                    ],
                },
            },
        },
        {
            "name": "folder",
            "item": [
                {
                    "name": "get",
                    "request": {
                        "method": "GET",
                        "url": {
                            "host": ["{{baseUrl}}"],
                            "path": ["{{path}}", "items"],
                            "query": [{"key": "q", "value": "a b"}],
                        },
                    },
                },
                {
                    "name": "make",
                    "request": {
                        "method": "POST",
                        "url": "{{baseUrl}}/items",
                        "body": {
                            "mode": "raw",
                            "raw": '{"t": "{{token}}"}',
                            "options": {"raw": {"language": "json"}},
                        },
                    },
                },
                {
                    "name": "ask",
                    "request": {
                        "method": "POST",
                        "auth": {"type": "noauth"},
                        "url": "{{baseUrl}}/g",
                        "body": {
                            "mode": "graphql",
                            "graphql": {"query": "{ a { b } }", "variables": '{"x": 1}'},
                        },
                    },
                },
                {
                    "name": "up",
                    "request": {
                        "method": "POST",
                        "auth": {"type": "noauth"},
                        "url": "{{baseUrl}}/f",
                        "body": {
                            "mode": "formdata",
                            "formdata": [{"key": "a", "value": "1", "type": "text"}],
                        },
                    },
                },
            ],
        },
    ],
}


def test_postman(tmp_path: Path) -> None:
    """Folders, variables, authorization, every kind of body, and what scripts take from answers."""
    (tmp_path / "shop.json").write_text(json.dumps(COLLECTION))
    calls, notes = read(tmp_path / "shop.json")
    assert as_lines(calls) == [
        "POST /login/web?a=zo%C3%AB%20&", "GET /v1/x/items?q=a%20b", "POST /items", "POST /g", "POST /f",
    ]  # fmt: skip
    assert calls[0].headers == (
        ("X-A", "1"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Authorization", "Basic em/DqyAmOnA="),
    )
    assert calls[0].body == b"user=zo%C3%AB+%26"
    assert [(one.part, one.call, one.path) for one in calls[1].bound] == [("0", 0, ("access", "key", 0))]
    assert {one.part for one in calls[2].bound} == {"body", "1"}
    assert calls[3].body == b'{"query": "{ a { b } }", "variables": {"x": 1}}'
    assert b'name="a"\r\n\r\n1\r\n' in calls[4].body
    assert any("1 request with a script" in note for note in notes)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"method": "GET", "url": "http://h/{{id}}"}, "{{id}} has no value"),
        ({"method": "POST", "url": "http://h/", "body": {"mode": "raw", "raw": "{{all}}"}}, "{{all}} has no"),
        ({"method": "GET", "url": "http://h/{{$guid}}"}, "{{$guid}} has no value"),
        ({"method": "POST", "url": "http://h/", "body": {"mode": "file", "file": {"src": "x"}}}, "cannot be"),
        ({"method": "GET", "url": "http://h/", "auth": {"type": "oauth1"}}, "'oauth1' is not supported"),
        ({"method": "GE T", "url": "http://h/"}, "is not a method"),
        ({"method": "GET", "url": 7}, "is not valid"),
    ],
)
def test_requests_of_a_collection_that_cannot_be_played(tmp_path: Path, request_: object, says: str) -> None:
    """The request is named, and what it lacks."""
    collection = {"info": {"schema": SCHEMA}, "item": [{"name": "one", "request": request_}]}
    (tmp_path / "c.json").write_text(json.dumps(collection))
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "c.json")
    assert "request 'one': " in caught.value.message
    assert says in caught.value.message
