"""The routes of an application, of the frameworks that can list them. None is imported that is not in use."""

from __future__ import annotations

import importlib
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def prepare(application: Any) -> Callable[[], list[str]]:
    """Do what the framework would do for its routes at the first request.

    If an untraced health check came first, the first traced request would take different steps than in a
    replay without health checks. Return a function that returns the paths that a GET without parameters
    reaches, as far as they are known.
    """
    listing: list[tuple[str, Callable[[], Iterable[str]]]] = []
    for prefix, one in _layers(application, "", set()):
        if (routes := _attribute(one, "url_map")) is not None:
            if one is application:
                routes.update()  # Flask sorts them under a traced lock
            listing.append((prefix, partial(_of_werkzeug, routes)))
        elif (own := next(filter(None, map(_LISTED.get, _frameworks(one))), None)) is not None:
            listing.append((prefix, partial(own, one)))
    django = () if listing else _of_django()

    def paths() -> list[str]:
        found = [f"{prefix}{path}" for prefix, listed in listing for path in listed()]
        return list(dict.fromkeys([*found, *django]))

    return paths


_INNER = ("__self__", "app", "application", "wsgi_app", "_app")
"""Where middleware keeps what it wraps, a bound method its object, and Flask its middleware."""


def _attribute(one: Any, name: str) -> Any:
    try:
        return getattr(one, name, None)
    except Exception:  # noqa: BLE001 - a property of the application's
        return None


def _layers(application: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield *application*, what it wraps, and what is mounted in it, with the beginnings of their paths."""
    if id(application) in seen:
        return
    seen.add(id(application))
    yield prefix, application
    for name in _INNER:
        if callable(inner := _attribute(application, name)):
            yield from _layers(inner, prefix, seen)
    mounts = _attribute(application, "mounts")
    for at, inner in mounts.items() if isinstance(mounts, dict) else ():
        yield from _layers(inner, f"{prefix}{at}", seen)


def _frameworks(one: Any) -> list[str]:
    return [kind.__module__.partition(".")[0] for kind in type(one).__mro__]


def _of_bottle(application: Any) -> list[str]:
    return [one.rule for one in application.routes if one.method in {"GET", "ANY"} and "<" not in one.rule]


def _of_falcon(application: Any) -> Iterator[str]:
    nodes = list(application._router._roots)
    while nodes:
        node = nodes.pop(0)
        nodes += node.children
        responder = (node.method_map or {}).get("GET")  # one that refuses, if the resource has none
        if getattr(responder, "__name__", "").startswith("on_get") and "{" not in node.uri_template:
            yield node.uri_template


def _of_pyramid(application: Any) -> Iterator[str]:
    registry = getattr(application, "registry", None)
    known = registry.introspector if registry is not None else None
    views = known.get_category("views", ()) if known is not None else ()
    got = {
        view["introspectable"]["route_name"]
        for view in views
        if "GET" in (view["introspectable"]["request_methods"] or ("GET",))
    }
    for route in known.get_category("routes", ()) if known is not None else ():
        pattern = route["introspectable"]["pattern"]
        if route["introspectable"]["name"] in got and not {"{", "*", ":"}.intersection(pattern):
            yield f"/{pattern.removeprefix('/')}"


def _of_werkzeug(routes: Any) -> list[str]:
    return [
        rule.rule
        for rule in getattr(routes, "_rules", ())
        if "GET" in (rule.methods or ())
        and not (rule.arguments or rule.build_only or rule.websocket or rule.host or rule.subdomain)
    ]


def _of_starlette(routes: Any, prefix: str) -> list[str]:
    """Return those of Starlette or FastAPI, the mounted ones too."""
    found = []
    for one in routes:
        path = f"{prefix}{getattr(one, 'path', '')}"
        if "{" in path:
            continue
        if (inner := getattr(one, "routes", None)) is not None:
            found += _of_starlette(inner, path)
        elif "GET" in (getattr(one, "methods", None) or ()):
            found.append(path)
    return found


_LISTED: dict[str, Callable[[Any], Iterable[str]]] = {
    "bottle": _of_bottle,
    "falcon": _of_falcon,
    "fastapi": lambda one: _of_starlette(getattr(one, "routes", ()), ""),
    "pyramid": _of_pyramid,
    "starlette": lambda one: _of_starlette(getattr(one, "routes", ()), ""),
}


def _of_django() -> list[str]:
    """Import Django's routes, with all views. An error is logged here, and answered in the requests."""
    conf, apps = sys.modules.get("django.conf"), sys.modules.get("django.apps")
    if conf is None or apps is None or not (conf.settings.configured and apps.apps.ready):
        return []
    try:
        patterns = importlib.import_module("django.urls").get_resolver().url_patterns
        return list(dict.fromkeys(_paths(patterns, "/")))
    except Exception:  # noqa: BLE001 - whatever the application's modules raise
        traceback.print_exc()
        return []


def _paths(patterns: list[Any], prefix: str) -> Iterator[str]:
    for one in patterns:
        route = getattr(one.pattern, "_route", None)
        if route is None or one.pattern.converters:  # a regular expression, or it has parameters
            continue
        if (inner := getattr(one, "url_patterns", None)) is not None:
            yield from _paths(inner, f"{prefix}{route}")
        else:
            yield f"{prefix}{route}"
