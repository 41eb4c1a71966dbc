"""Finding the application's own call among a request's calls."""

from __future__ import annotations

from loadgen.core.location import own_call

FLASK = "/venv/lib/python3.11/site-packages/flask/app.py:902 in dispatch_request: return ..."
LOGGING = "/usr/lib/python3.11/logging/__init__.py:297 in __init__: ct = time.time()"
OWN = "/srv/shop.py:12 in order: now = time.time()"


def test_innermost_own_call() -> None:
    """Calls of installed libraries and of the standard library are passed over."""
    assert own_call([LOGGING, OWN, FLASK]) == OWN


def test_only_libraries() -> None:
    """Where no call is the application's own, the innermost one stands."""
    assert own_call([LOGGING, FLASK]) == LOGGING
    assert own_call([]) == ""
