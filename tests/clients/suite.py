"""A test suite as a client: pytest with a session of requests. Run by pytest, with $LOADGEN_URL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = os.environ.get("LOADGEN_URL", "")


@pytest.fixture(scope="session")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def user(http: requests.Session) -> dict[str, object]:
    made: dict[str, object] = http.post(f"{URL}/api/users", json={"name": "ann", "email": "a@x"}).json()
    return made


def test_health(http: requests.Session) -> None:
    assert http.get(f"{URL}/health").json()["status"] == "ok"


def test_create(http: requests.Session, user: dict[str, object]) -> None:
    assert http.get(f"{URL}/api/users/{user['id']}").json() == user


@pytest.mark.parametrize("count", range(5))
def test_posts(http: requests.Session, user: dict[str, object], count: int) -> None:
    for number in range(count):
        post = {"user_id": user["id"], "title": str(number), "content": "x"}
        assert http.post(f"{URL}/api/posts", json=post).status_code == 201
    assert http.get(f"{URL}/api/users/{user['id']}/posts").json()["count"] == count


def test_missing(http: requests.Session) -> None:
    assert http.get(f"{URL}/api/users/9999").status_code == 404


def test_mistakes(http: requests.Session) -> None:
    assert http.post(f"{URL}/api/users", json={}).status_code == 400
    assert http.post(f"{URL}/api/users", data="x").status_code >= 400
