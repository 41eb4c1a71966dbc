"""Any WSGI callable can be given as ``module:name``; what is none is refused by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement
from loadgen.errors import ServerFault

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

APPLICATIONS = """
    import itertools, random, time
    numbers = itertools.count()

    def told(*more):
        return f"{next(numbers)} {time.time_ns()} {random.random()} {more}"

    def plain(environ, start_response):
        body = environ["wsgi.input"].read()
        write = start_response("201 Made", [("X-At", str(time.time())), ("Content-Type", "text/plain")])
        write(b"begun ")
        yield told(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], body).encode()

    def factory(name="a"):
        return lambda environ, start_response: plain(environ, start_response)

    def configured(*, name):
        return factory(name)

    class Instance:
        def __call__(self, environ, start_response):
            return plain(environ, start_response)

        def method(self, environ, start_response):
            return plain(environ, start_response)

    instance = Instance()
    method = instance.method

    def bottle():
        import bottle
        app = bottle.Bottle()

        @app.route("/<path:path>", method=["GET", "POST"])
        def any(path):
            bottle.response.set_header("X-At", str(time.time()))
            return told(path, bottle.request.query.x, bottle.request.body.read())

        return app

    def falcon():
        import falcon

        class Any:
            def on_get(self, request, response):
                response.media = told(request.path, request.get_param("x"))

            def on_post(self, request, response):
                response.text = told(request.bounded_stream.read())

        app = falcon.App()
        def sink(request, response):
            getattr(Any(), f"on_{request.method.lower()}")(request, response)

        app.add_sink(sink)
        return app

    def pyramid():
        from pyramid.config import Configurator
        from pyramid.response import Response
        with Configurator() as config:
            config.add_route("any", "/*path")
            config.add_view(lambda request: Response(told(request.path, request.body)), route_name="any")
            return config.make_wsgi_app()

    async def coroutine(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        message = await receive()
        headers = [(b"x-at", str(time.time()).encode()), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        text = told(scope["method"], scope["path"], scope["query_string"], message["body"])
        await send({"type": "http.response.body", "body": text.encode()})

    number = 3
    def needs(name): ...
    def two(config, debug): ...
    def three_settings(config, debug, name): ...
"""


async def _visit(user: User) -> None:
    await user.http.get("/a%20b/c?x=1")
    await user.http.post("/p", content=b"body" * user.id)
    await user.http.get("/p")


VISIT = Scenario("visit", "some requests", _visit)


@pytest.fixture
def applications(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(bench.path)
    bench.script(APPLICATIONS, "apps.py")
    return bench


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "factory",
        "configured(name='b')",
        "instance",
        "method",
        "bottle",
        "falcon",
        "pyramid",
        "coroutine",
    ],
)
def test_identical(applications: Bench, name: str) -> None:
    """Answers that depend on order, clock and chance are the same."""
    recorded = applications.record(f"apps:{name}", VISIT, concurrency=6, iterations=3)
    assert {*recorded.totals.statuses} <= {200, 201}
    verdict = applications.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("number", r"apps:number \(a int\) is not an application"),
        ("Instance", r"apps:Instance \(the class Instance\) is not an application"),
        ("needs", "neither a WSGI application nor a factory without arguments: .*create_app"),
        ("two", r"a factory without arguments: it takes \(config, debug\); .*start_response"),
        ("three_settings", r"it takes \(config, debug, name\)"),
        ("gone", "the module apps has no gone"),
    ],
)
def test_refused(applications: Bench, name: str, says: str) -> None:
    """The message names the kind, and what to give instead."""
    with pytest.raises(ServerFault, match=f"cannot be recorded: .*{says}"):
        applications.record(f"apps:{name}", VISIT, concurrency=1, iterations=1)
