"""What is served as ``module:name``: a WSGI application, or what a factory returns."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from loadgen.traced.application import found, is_asgi

if TYPE_CHECKING:
    from pathlib import Path

SERVED = """
    def application(environ, start_response): ...
    def short(e, s): ...
    def differently(request, respond): ...
    def optional(environ, start_response, more=None): ...
    def anything(environ, *more): ...
    def factory(): return application
    def settings(config=None, debug=False): return application
    def configured(config, debug): return application
    async def coroutine(scope, receive, send): ...
    class Asynchronous:
        async def __call__(self, scope, receive, send): ...
    asynchronous = Asynchronous()
    class Three:
        def __call__(self, scope, receive, send): ...
    triple = Three()
    class Instance:
        def __call__(self, scope, answer): ...
        def method(self, environ, start_response): ...
    instance = Instance()
    method = instance.method
"""
REFUSED = """
    def one(name): ...
    def two(config, debug): ...
    def three(config, debug, name): ...
    class Instance:
        def create(self, config, debug): ...
    create = Instance().create
    def makes_a_factory(): return two
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "named_apps", raising=False)
    (tmp_path / "named_apps.py").write_text(textwrap.dedent(SERVED + REFUSED.replace("Instance", "Refused")))
    return "named_apps"


@pytest.mark.parametrize(
    "name",
    ["application", "short", "differently", "optional", "anything", "factory", "settings",
     "configured('a', True)", "instance", "method", "coroutine", "asynchronous", "triple"],
)  # fmt: skip
def test_served(module: str, name: str) -> None:
    """A function is an application by its parameters, a factory if it needs none."""
    application = found(f"{module}:{name}")
    assert is_asgi(application) == (name in {"coroutine", "asynchronous", "triple"})


@pytest.mark.parametrize("name", ["one", "two", "three", "create", "makes_a_factory"])
def test_a_factory_that_needs_arguments_is_refused(module: str, name: str) -> None:
    """It would be called with a request for its settings, however many they are."""
    with pytest.raises(SystemExit, match=r"it takes \(.*\); give a factory its arguments"):
        found(f"{module}:{name}")
