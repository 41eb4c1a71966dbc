"""Comments on pages: written, read, liked, edited and removed."""

from loadgen import User, scenario


@scenario
async def comment(user: User) -> None:
    page = f"/page-{user.id % 3}"
    text = f"what {user.id} thinks: {user.rng.random()}"
    made = await user.http.post(
        "/new", params={"uri": page}, json={"text": text, "author": f"u{user.id}", "title": page}
    )
    assert made.status_code in (201, 202), made.text
    number = made.json()["id"]
    await user.http.get("/", params={"uri": page})
    await user.http.post(f"/id/{number}/like")
    await user.http.put(f"/id/{number}", json={"text": text + " again"})
    await user.http.post("/count", json=[page])
    await user.http.get("/latest", params={"limit": "5"})
    await user.http.get("/config")
    if user.id % 2:
        await user.http.delete(f"/id/{number}")
