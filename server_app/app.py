"""The HTTP face: what a request must look like, and what each one answers.

Every answer is JSON, errors included, and no input a client can send is answered with a 500.
"""

import os
import time
from pathlib import Path

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from server_app.store import Store, UnknownUserError


class RowIdConverter(BaseConverter):
    """An id in a path: no longer than SQLite's largest, since ``int`` raises on thousands of digits."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        """Give views a number; whether a row has it is the store's to say."""
        return int(value)


def create_app(database: str | Path | None = None) -> Flask:
    """Build the application on ``database``, or on the file ``DB_FILE`` names, creating its schema."""
    store = Store(database or os.environ.get("DB_FILE") or "app.db")
    app = Flask(__name__, static_folder=None)
    app.url_map.converters["row_id"] = RowIdConverter
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(UnknownUserError, _unknown_user)

    @app.get("/health")
    def health() -> ResponseReturnValue:
        """Say the process answers; the database is left alone, so that a busy one cannot fail the check."""
        return {"status": "ok", "timestamp": time.time()}

    @app.get("/api/users")
    def list_users() -> ResponseReturnValue:
        users = store.users()
        return {"users": users, "count": len(users)}

    @app.post("/api/users")
    def create_user() -> ResponseReturnValue:
        body = _json_object()
        return store.add_user(name=_text(body, "name"), email=_text(body, "email")), 201

    @app.get("/api/users/<row_id:user_id>")
    def get_user(user_id: int) -> ResponseReturnValue:
        return store.user(user_id)

    @app.get("/api/users/<row_id:user_id>/posts")
    def list_posts(user_id: int) -> ResponseReturnValue:
        posts = store.posts_of(user_id)
        return {"posts": posts, "count": len(posts)}

    @app.post("/api/posts")
    def create_post() -> ResponseReturnValue:
        body = _json_object()
        user_id, title, content = _integer(body, "user_id"), _text(body, "title"), _text(body, "content")
        return store.add_post(user_id=user_id, title=title, content=content), 201

    @app.get("/api/stats")
    def stats() -> ResponseReturnValue:
        return {**store.counts(), "timestamp": time.time()}

    return app


def _json_object() -> dict[str, object]:
    """Return the request's body, or answer 400: one message for all the ways not to be a JSON object."""
    try:
        body = request.get_json(silent=True)
    except RecursionError:  # nested deeper than the parser's stack: ``silent`` covers ValueError only
        body = None
    if not isinstance(body, dict):
        abort(400, "the body must be a JSON object, sent as application/json")
    return body


def _text(body: dict[str, object], field: str) -> str:
    """Return a field that must be text, as it was sent; blank text counts as missing."""
    value = body.get(field)
    if not isinstance(value, str) or not value.strip():
        abort(400, f"{field!r} must be a non-blank string")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can escape half a surrogate pair; SQLite cannot store one
        abort(400, f"{field!r} must be valid Unicode")
    return value


def _integer(body: dict[str, object], field: str) -> int:
    """Return a field that must be a whole number; JSON's ``true`` is an ``int`` to Python, but not here."""
    value = body.get(field)
    if not isinstance(value, int) or isinstance(value, bool):
        abort(400, f"{field!r} must be an integer")
    return value


def _http_error(error: HTTPException) -> ResponseReturnValue:
    """Answer an HTTP error in JSON, keeping its own headers (``Allow`` on a 405)."""
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    return {"error": error.description}, error.code or 500, headers


def _unknown_user(error: UnknownUserError) -> ResponseReturnValue:
    return {"error": str(error)}, 404
