"""A client as people write them, with requests: it knows nothing of loadgen. Usage: shop.py URL [COPIES]"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import requests


def visit(url: str, number: int) -> None:
    """Make a user, write some posts, look at them, and make some mistakes."""
    with requests.Session() as session:
        user = session.post(
            f"{url}/api/users",
            json={"name": f"caf\xe9 {number}", "email": f"{number}@example.com"},
            timeout=30,
        ).json()
        for post in range(3):
            content = {"user_id": user["id"], "title": f"post {post}", "content": "x" * (1 + 100 * post)}
            session.post(f"{url}/api/posts", json=content, timeout=30).raise_for_status()
        session.get(f"{url}/api/users/{user['id']}/posts", timeout=30).raise_for_status()
        session.get(f"{url}/api/stats?for={number}&q=%7e", timeout=30).raise_for_status()
        assert session.get(f"{url}/api/users/99999", timeout=30).status_code == 404
        assert session.post(f"{url}/api/users", data="no JSON", timeout=30).status_code >= 400
        session.head(f"{url}/health", timeout=30).raise_for_status()


def main() -> None:
    """Visit the server, several times at once."""
    url, copies = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with ThreadPoolExecutor(copies) as pool:
        list(pool.map(visit, [url] * copies, range(copies)))
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
