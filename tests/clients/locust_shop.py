"""A load test as people write them with Locust: locust -f locust_shop.py --headless ..."""

from __future__ import annotations

import random

from locust import HttpUser, between, task


class Shop(HttpUser):
    """Somebody who writes and reads posts."""

    wait_time = between(0.01, 0.05)

    def on_start(self) -> None:
        """Sign up."""
        account = {"name": "l", "email": f"l{random.random()}@x"}
        self.account = self.client.post("/api/users", json=account).json()["id"]

    @task(3)
    def write(self) -> None:
        """Write a post."""
        content = "c" * random.randrange(1, 100)
        self.client.post("/api/posts", json={"user_id": self.account, "title": "t", "content": content})

    @task(2)
    def read(self) -> None:
        """Read one's posts."""
        self.client.get(f"/api/users/{self.account}/posts", name="/mine")

    @task
    def stats(self) -> None:
        """Look at the figures."""
        self.client.get("/api/stats")
