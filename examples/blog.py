"""Readers and writers of a blog, for the bundled server: loadgen record --scenario examples/blog.py."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from loadgen import scenario

if TYPE_CHECKING:
    from loadgen import User


async def sign_up(user: User) -> None:
    """Make an account: once for each virtual user, before its first iteration."""
    name = f"reader-{user.id}"
    answer = await user.http.post("/api/users", json={"name": name, "email": f"{name}@example.com"})
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    user.data["account"] = answer.json()["id"]


@scenario(weight=3, think=(0.01, 0.05), setup=sign_up)
async def read(user: User) -> None:
    """Look at somebody's posts."""
    people = (await user.http.get("/api/users")).json()["users"]
    somebody = user.rng.choice(people)
    listed = (await user.http.get(f"/api/users/{somebody['id']}/posts")).json()
    assert listed["count"] == len(listed["posts"])


@scenario(weight=1, think=0.02, setup=sign_up)
async def write(user: User) -> None:
    """Publish a post, and find it among one's own."""
    post = {"user_id": user.data["account"], "title": "Hello", "content": "x" * user.rng.randint(1, 400)}
    answer = await user.http.post("/api/posts", json=post)
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    mine = (await user.http.get(f"/api/users/{user.data['account']}/posts")).json()
    assert answer.json()["id"] in {one["id"] for one in mine["posts"]}
