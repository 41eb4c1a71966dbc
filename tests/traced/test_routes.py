"""The paths that need no parameters, of applications of many frameworks, also wrapped and mounted."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import falcon
import pytest
from fastapi import FastAPI
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from loadgen.traced.routes import prepare


def flask_app(path: str) -> Flask:
    made = Flask(__name__, static_folder=None)
    made.add_url_rule(path, "a", lambda: "a")
    made.add_url_rule(f"{path}/<int:number>", "b", lambda number: "b")
    made.add_url_rule(f"{path}/made", "c", lambda: "c", methods=["POST"])
    return made


def mounted() -> Flask:
    made = flask_app("/one")
    made.wsgi_app = ProxyFix(DispatcherMiddleware(made.wsgi_app, {"/sub": flask_app("/two")}))  # type: ignore[method-assign]
    return made


def bottle_app() -> Any:
    made = importlib.import_module("bottle").Bottle()
    made.route("/one", "GET", lambda: "")
    made.route("/one/<name>", "GET", lambda name: "")
    made.route("/made", "POST", lambda: "")
    return made


def falcon_app() -> Any:
    class Gets:
        def on_get(self, request: Any, response: Any) -> None: ...

    class Posts:
        def on_post(self, request: Any, response: Any) -> None: ...

    made = falcon.App()
    made.add_route("/one", Gets())
    made.add_route("/one/{name}", Gets())
    made.add_route("/made", Posts())
    return made


def pyramid_app() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pkg_resources, whose kind differs by its version
        configurator = importlib.import_module("pyramid.config").Configurator
    with configurator() as config:
        for name, path, methods in (("a", "/one", "GET"), ("b", "/one/{n}", "GET"), ("c", "/made", "POST")):
            config.add_route(name, path)
            config.add_view(lambda request: {}, renderer="json", route_name=name, request_method=methods)
        return config.make_wsgi_app()


class OnLoop:
    """As loadgen serves an ASGI application."""

    def __init__(self) -> None:
        self.application = FastAPI(openapi_url=None)
        self.application.get("/one")(lambda: 1)
        self.application.get("/one/{number}")(lambda number: 1)

    def __call__(self) -> None: ...


class Odd:
    """An application whose attributes fail."""

    @property
    def app(self) -> None:
        raise LookupError("not now")

    def __call__(self, environ: Any, start_response: Any) -> None: ...


@pytest.mark.parametrize(
    ("application", "paths"),
    [
        (flask_app("/one"), ["/one"]),
        (flask_app("/one").wsgi_app, ["/one"]),
        (ProxyFix(ProxyFix(flask_app("/one"))), ["/one"]),
        (DispatcherMiddleware(flask_app("/one"), {"/sub": ProxyFix(bottle_app())}), ["/one", "/sub/one"]),
        (mounted(), ["/one", "/sub/two"]),
        (bottle_app(), ["/one"]),
        (falcon_app(), ["/one"]),
        (pyramid_app(), ["/one"]),
        (OnLoop(), ["/one"]),
        (Odd(), []),
        (lambda environ, start_response: [], []),
    ],
)
def test_paths(application: Any, paths: list[str]) -> None:
    """Those that a GET reaches, once each; what cannot be listed has none."""
    assert prepare(application)() == paths
