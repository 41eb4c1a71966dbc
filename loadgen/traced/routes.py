"""The routes of an application, of the frameworks that can list them. None is imported that is not in use."""

from __future__ import annotations

import importlib
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def prepare(application: Any) -> Callable[[], list[str]]:
    """Do what the framework would do for its routes at the first request.

    If an untraced health check came first, the first traced request would take different steps than in a
    replay without health checks. Return a function that returns the paths that a GET without parameters
    reaches, as far as they are known.
    """
    routes = getattr(application, "url_map", None)
    if routes is not None:
        routes.update()  # Flask sorts them under a traced lock
        return partial(_of_werkzeug, routes)
    routes = getattr(getattr(application, "application", None), "routes", None)
    if routes is not None:
        return partial(_of_starlette, routes, "")
    django = _of_django()
    return lambda: django


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
