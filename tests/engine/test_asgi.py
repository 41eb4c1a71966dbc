"""ASGI applications: tasks of one event loop, threads, locks, streams and a database, at concurrency 8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

SHOP = """
    import asyncio, os, random, sqlite3, time, uuid
    from contextlib import asynccontextmanager
    from fastapi import BackgroundTasks, Depends, FastAPI, Request
    from fastapi.responses import StreamingResponse

    @asynccontextmanager
    async def lifespan(app):
        with sqlite3.connect(os.environ["DB_FILE"]) as connection:
            connection.execute("create table items (id integer primary key, at real)")
        app.state.lock = asyncio.Lock()
        yield

    app = FastAPI(lifespan=lifespan)
    seen = []

    def database():
        connection = sqlite3.connect(os.environ["DB_FILE"], timeout=20, check_same_thread=False)
        try:
            yield connection
        finally:
            connection.close()

    @app.middleware("http")
    async def timing(request: Request, call_next):
        began = time.perf_counter()
        answer = await call_next(request)
        answer.headers["x-took"] = str(time.perf_counter() - began)
        return answer

    @app.post("/items", status_code=201)
    async def add(name: str, tasks: BackgroundTasks, connection=Depends(database)):
        async with app.state.lock:
            cursor = connection.execute("insert into items (at) values (?)", (time.time(),))
            connection.commit()
            await asyncio.sleep(random.random() / 100)
        tasks.add_task(seen.append, name)
        return {"id": cursor.lastrowid, "uuid": uuid.uuid4().hex, "seen": len(seen)}

    @app.get("/in-a-thread")
    def in_a_thread(connection=Depends(database)):
        time.sleep(random.random() / 200)
        return {"count": connection.execute("select count(*) from items").fetchone()[0], "at": time.time()}

    @app.get("/tasks")
    async def tasks():
        async def one(number):
            await asyncio.sleep(random.random() / 200)
            return number, time.time()
        return await asyncio.gather(*(one(number) for number in range(3)))

    @app.get("/stream")
    async def stream():
        async def parts():
            for number in range(3):
                await asyncio.sleep(0.001)
                yield f"{number} {time.time()} "
        return StreamingResponse(parts())

    @app.get("/broken")
    async def broken():
        raise RuntimeError("broken")

    if __name__ == "__main__":
        import uvicorn
        uvicorn.run(app, host="0.0.0.0", port=8000)
"""


async def _visit(user: User) -> None:
    await user.http.post("/items", params={"name": f"of {user.id}"})
    for path in ("/in-a-thread", "/tasks", "/stream", "/broken", "/missing//a%2Fb", "/in-a-thread"):
        await user.http.get(path)
    await user.http.post("/items")


VISIT = Scenario("visit", "some requests", _visit)


@pytest.mark.parametrize("target", ["shop:app", "shop.py"])
def test_a_shop(bench: Bench, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """By its name, and by uvicorn.run: identical; and a changed answer is found, in its requests only."""
    monkeypatch.chdir(bench.path)
    script = bench.script(SHOP, "shop.py")
    recorded = bench.record(target, VISIT, concurrency=8, iterations=2)
    assert recorded.totals.statuses == {200: 64, 201: 16, 404: 16, 422: 16, 500: 16}
    assert recorded.manifest.result.on_loop
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
    if target == "shop.py":
        bench.script(SHOP.replace('"count":', '"number":'), script)
        verdict = bench.verify(strict=False).verdict
        assert verdict.judgement is Judgement.DIVERGED
        assert (verdict.compared, verdict.diverged) == (128, 32)
