"""Every file is recognised: its requests are sent, or a message says how to convert them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from loadgen.client.traffic import carried
from loadgen.client.traffic.carrying import Carrier, providers
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
        (
            {"get": {"parameters": [{"$ref": "other.yaml#/x"}]}},
            "other.yaml, which it refers to, cannot be read",
        ),
        ({"get": {"parameters": [{"$ref": "http://h/x.yaml#/x"}]}}, "is at another server"),
        ({"get": {"parameters": [{"$ref": "#/none"}]}}, "refers to nothing"),
        ({"get": {"parameters": 7}}, "/x: it is not valid"),
        ({}, "has no operation to send"),
    ],
)
def test_documents_that_cannot_be_played(tmp_path: Path, path: object, says: str) -> None:
    """A mistake is named with the path it is in."""
    (tmp_path / "api.json").write_text(json.dumps({"openapi": "3.1.0", "paths": {"/x": path}}))
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "api.json")
    assert says in caught.value.message


def test_a_document_in_several_files(tmp_path: Path) -> None:
    """References to other files, in JSON and YAML, are relative to the file that has them."""
    (tmp_path / "paths").mkdir()
    (tmp_path / "schemas").mkdir()
    texts = {
        "api.yaml": "openapi: 3.1.0\ninfo: {}\npaths: {$ref: paths/all.yml}\n",
        "paths/all.yml": "/items: {$ref: ./items.json}\n/items/{id}: {$ref: 'items.json#/one~1more'}\n",
        "schemas/item.yaml": "Item: {properties: {name: {$ref: '#/Name'}, tag: {$ref: '../tag.yaml'}}}\n"
        "Name: {type: string, example: zoe}\n",
        "tag.yaml": "{type: string, example: new}\n",
    }
    items = {
        "post": {
            "parameters": None,
            "requestBody": {
                "content": {"application/json": {"schema": {"$ref": "../schemas/item.yaml#/Item"}}}
            },
        },
        "one/more": {"get": {"parameters": [None, {"name": "id", "in": "path", "required": True}]}},
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "paths" / "items.json").write_text(json.dumps(items))
    calls, _ = read(tmp_path / "api.yaml")
    assert as_lines(calls) == ["POST /items", "GET /items/text"]
    assert json.loads(calls[0].body) == {"name": "zoe", "tag": "new"}
    assert [one.kind for one in calls[1].bound] == ["id"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "openapi: 3.1.0\ninfo: {title: x}\nwebhooks: {a: {post: {}}}", "has no operation to send"),
        ("a.json", '{"swagger": "2.0", "info": {}}', "has no operation to send"),
        ("a.yml", "{_type: export, __export_format: 4, resources: []}", "is an Insomnia collection"),
        ("a.yaml", "{openapi: 3.0.0, info: {}, paths: {/a: {get: {}}}}", None),
        ("a.txt", "openapi: 3.0.0\npaths: {/a: {get: {}}}", None),
        ("a.json", "{openapi: 3.0.0}", "line 1: not JSON"),
        ("a.yaml", "a: [", "is not YAML"),
    ],
)
def test_json_and_yaml(tmp_path: Path, name: str, text: str, says: str | None) -> None:
    """Whatever the file is called, and however it is written: it is read, or named."""
    (tmp_path / name).write_text(text)
    if says is None:
        assert as_lines(read(tmp_path / name)[0]) == ["GET /a"]
        return
    with pytest.raises(UsageError) as caught:
        read(tmp_path / name)
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


def requests_of(path: Path, *items: Any, **more: Any) -> tuple[list[Call], list[str]]:
    collection = {"info": {"schema": SCHEMA}, "item": list(items), **more}
    (path / "c.postman_collection.json").write_text(json.dumps(collection))
    return read(path / "c.postman_collection.json")


def item(url: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    scripts = [
        {"listen": listen, "script": {"exec": more.pop(listen)}}
        for listen in ("prerequest", "test")
        if listen in more
    ]
    behavior = more.pop("behavior", {})
    request_ = {"method": method, "url": url, **more}
    return {"name": url, "request": request_, "event": scripts, "protocolProfileBehavior": behavior}


def test_an_environment_beside_a_collection(tmp_path: Path) -> None:
    """Its values replace the collection's, and those of the globals; what is there is said."""
    values = [
        {"key": "host", "value": "http://shop"}, {"key": "id", "value": "7"},
        {"key": "off", "value": "no", "enabled": False},
    ]  # fmt: skip
    (tmp_path / "test.postman_environment.json").write_text(json.dumps({"values": values}))
    globals_ = [{"key": "id", "value": "1"}, {"key": "more", "value": "2"}]
    (tmp_path / "all.postman_globals.json").write_text(json.dumps({"values": globals_}))
    variables = [{"key": "id", "value": "3"}, {"key": "own", "value": "4"}]
    calls, notes = requests_of(tmp_path, item("{{host}}/{{id}}/{{more}}/{{own}}"), variable=variables)
    assert as_lines(calls) == ["GET /7/2/4"]
    for name in ("test.postman_environment.json", "all.postman_globals.json"):
        assert any(name in note for note in notes)
    with pytest.raises(UsageError, match=r"\{\{off\}\} has no value: define it among .* beside it$"):
        requests_of(tmp_path, item("http://h/{{off}}"))
    (tmp_path / "live.postman_environment.json").write_text(json.dumps({"values": []}))
    with pytest.raises(UsageError, match=r"several files .*postman_environment\.json beside it: keep one"):
        requests_of(tmp_path, item("http://h/{{x}}"))
    assert any(
        "No file *.postman_environment.json is used" in note for note in requests_of(tmp_path, item("x"))[1]
    )
    (tmp_path / "live.postman_environment.json").unlink()
    (tmp_path / "test.postman_environment.json").write_text("[]")
    with pytest.raises(UsageError, match="is not an environment of Postman's"):
        requests_of(tmp_path, item("http://h/"))


def test_texts_that_scripts_set(tmp_path: Path) -> None:
    """Before a request and after it; the latest value counts, be it a text or one from an answer."""
    calls, _ = requests_of(
        tmp_path,
        item("http://h/{{a}}", prerequest=["pm.environment.set('a', \"one\");", "pm.globals.set('n', 5)"]),
        item("http://h/{{a}}/{{n}}", test="pm.collectionVariables.set('a', pm.response.json().id)"),
        item("http://h/{{a}}", test=["postman.setEnvironmentVariable('a', 'two')"]),
        item("http://h/{{a}}"),
    )
    assert as_lines(calls)[:2] == ["GET /one", "GET /one/5"]
    assert [(one.call, one.path) for one in calls[2].bound] == [(1, ("id",))]
    assert as_lines(calls)[3:] == ["GET /two"]
    with pytest.raises(UsageError, match="Postman makes one up each time"):
        requests_of(tmp_path, item("http://h/{{$randomInt}}"))


@pytest.mark.parametrize(
    ("method", "behavior", "body", "redirects", "has_jar"),
    [
        ("POST", {}, b"{}", (10, (), "GET"), True),
        ("GET", {}, b"", (10, (301, 302, 303), "GET"), True),
        ("GET", {"disableBodyPruning": True}, b"{}", (10, (301, 302, 303), "GET"), True),
        ("PUT", {"followOriginalHttpMethod": True}, b"{}", (10, (301, 302, 303), "GET"), True),
        ("PUT", {"maxRedirects": 2}, b"{}", (2, (), "GET"), True),
        ("DELETE", {"followRedirects": False, "disableCookies": True}, b"{}", None, False),
    ],
)  # fmt: skip
def test_what_postman_does_by_itself(
    tmp_path: Path, method: str, behavior: dict[str, Any], body: bytes, redirects: Any, *, has_jar: bool
) -> None:
    """Redirects are followed, cookies kept, some methods have no body, unless the request says otherwise."""
    raw = {"mode": "raw", "raw": "{}", "options": {"raw": {"language": "json"}}}
    (call,), notes = requests_of(tmp_path, item("http://h/", method, body=raw, behavior=behavior))
    assert (call.body, call.jar is not None) == (body, has_jar)
    assert any("does not send with its method" in note for note in notes) is (not body)
    found = call.redirects and (call.redirects.limit, call.redirects.keep, call.redirects.method)
    assert found == redirects
    assert any("Postman adds by itself" in note for note in notes)
    assert carried.load(json.loads(carried.dump([call]))) == [call]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("pm.environment.set('t', pm.response.json().a.b[0]['c-d'])", ("json", ("a", "b", 0, "c-d"))),
        ("var d = JSON.parse(responseBody); postman.setGlobalVariable('t', d.id);", ("json", ("id",))),
        ('const i = pm.response.json().a\npm.globals.set("t", i.b[0].id)', ("json", ("a", "b", 0, "id"))),
        ("let {id, name: n} = pm.response.json();\npm.variables.set('t', n)", ("json", ("name",))),
        ("const {t} = pm.response.json().data; pm.environment.set('t', t);", ("json", ("data", "t"))),
        ("pm.environment.set('t', pm.response.json()?.data?.id)", ("json", ("data", "id"))),
        ("pm.environment.set('t', pm.response.headers.get('ETag'))", ("header", ("etag",))),
        ("let e = postman.getResponseHeader('X-Id');\npm.environment.set('t', e)", ("header", ("x-id",))),
        ("pm.environment.set('t', pm.cookies.get('sid'))", ("cookie", ("sid",))),
        ("const x = 'one'; pm.environment.set('t', x)", "one"),
        ("pm.environment.set('t', `two`)", "two"),
        ("pm.environment.set('t', someone.id)", None),
        ("const d = compute(); pm.environment.set('t', d.id)", None),
        ("const i = pm.response.json().items.find(x => x.ok); pm.environment.set('t', i.id)", None),
        ("pm.environment.set('t', pm.response.json())", None),
        ("pm.environment.set('t', pm.response.json().id + 1)", None),
        ("pm.environment.set('t', 'a' + Date.now())", None),
        ("let i = pm.response.json().a; i = other(); pm.environment.set('t', i.b)", None),
        ("let i = pm.response.json().a; if (i == 1) {}; pm.environment.set('t', i.b)", ("json", ("a", "b"))),
    ],
)  # fmt: skip
def test_what_scripts_take_from_answers(tmp_path: Path, script: str, found: Any) -> None:
    """What is not understood leaves the variable without a value, and the request that needs it is named."""
    items = item("http://h/a", test=[script]), item("http://h/{{t}}")
    if found is None:
        with pytest.raises(UsageError, match=r"\{\{t\}\} has no value"):
            requests_of(tmp_path, *items)
        return
    calls, _ = requests_of(tmp_path, *items)
    if isinstance(found, str):
        assert as_lines(calls)[1] == f"GET /{found}"
    else:
        assert [(one.kind, one.path) for one in calls[1].bound] == [found]


def test_a_value_that_an_answer_lacks(tmp_path: Path) -> None:
    """The variable's name is sent in its place, as Postman does; what was bound is listed."""
    made = item("http://h/a", "POST", test=["pm.environment.set('t', pm.response.json().t)"])
    form = {
        "mode": "urlencoded",
        "urlencoded": [{"key": "t", "value": "{{t}}"}, {"key": "n", "value": "{{t}}"}],
    }
    used = item("http://h/{{t}}?q={{t}}&r=1", "POST", body=form, header=[{"key": "T", "value": "a {{t}} b"}])
    calls, notes = requests_of(tmp_path, made, used)
    assert "Carried over from earlier answers: t of POST /a (1). --verbatim sends the file as it is." in notes
    carrier = Carrier(providers(calls))
    missing, lacking = carrier.filled(calls[1])
    assert (missing.target, missing.body, dict(missing.headers)["T"], len(lacking)) == (
        "/%7B%7Bt%7D%7D?q=%7B%7Bt%7D%7D&r=1", b"t=%7B%7Bt%7D%7D&n=%7B%7Bt%7D%7D", "a {{t}} b", 5
    )  # fmt: skip
    carrier.seen(0, httpx.Response(200, json={"t": "x y"}))
    filled, lacking = carrier.filled(calls[1])
    assert (filled.target, filled.body, dict(filled.headers)["T"], lacking) == (
        "/x%20y?q=x+y&r=1", b"t=x+y&n=x+y", "a x y b", []
    )  # fmt: skip
    verbatim, notes = read(tmp_path / "c.postman_collection.json", verbatim=True)
    assert (verbatim[1].target, verbatim[1].bound) == (missing.target, ())
    assert not any("Carried over" in note for note in notes)


def test_disabled_parameters_of_a_url_are_not_sent(tmp_path: Path) -> None:
    """Also if the text of the URL holds them; an enabled one with the same value is sent."""
    query = [{"key": "a", "value": "1"}, {"key": "b", "value": "2", "disabled": True}]
    for raw, target in (
        ("http://h/x?a=1&b=2", "/x?a=1"),
        ("http://h/x?b=2", "/x"),
        ("http://h/x?b=2#end", "/x"),
        ("http://h/x?a=1&b=3", "/x?a=1&b=3"),
        ("http://h/x", "/x"),
    ):
        one = {"name": "a", "request": {"method": "GET", "url": {"raw": raw, "query": query}}}
        (call,), _ = requests_of(tmp_path, one)
        assert call.target == target
