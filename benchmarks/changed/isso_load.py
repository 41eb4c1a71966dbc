"""Comments on pages: written, answered, read, liked, edited with their cookie and without, and removed."""

from loadgen import User, scenario


@scenario
async def comment(user: User) -> None:
    page = f"/page-{user.id % 3}"
    said = {"text": f"what {user.id} thinks", "author": f"u{user.id}", "title": page}
    made = await user.http.post("/new", params={"uri": page}, json=said)
    assert made.is_success, made.text
    number, cookie = made.json()["id"], made.headers["set-cookie"].partition(";")[0]
    answer = {"text": "an **answer**", "parent": number, "email": "a@example.com", "website": "example.com"}
    await user.http.post("/new", params={"uri": page}, json=answer)
    await user.http.post("/new", params={"uri": page}, json={"text": "x"})
    voter = {"X-Forwarded-For": f"10.{user.id}.0.1", "Content-Type": "application/json"}
    await user.http.post(f"/id/{number}/like", headers=voter, content="{}")
    await user.http.post(f"/id/{number}/like", headers=voter, content="{}")
    another = voter | {"X-Forwarded-For": "192.168.7.7"}
    await user.http.post(f"/id/{number}/dislike", headers=another, content="{}")
    await user.http.get("/", params={"uri": page})
    await user.http.get(f"/id/{number}", headers={"Cookie": cookie}, params={"plain": "1"})
    edited = await user.http.put(
        f"/id/{number}", headers={"Cookie": cookie}, json={"text": "changed my mind"}
    )
    assert edited.is_success, edited.text
    stranger = {"Cookie": "of=nobody"}
    await user.http.put(f"/id/{number}", headers=stranger, json={"text": "somebody else's"})
    await user.http.post("/count", json=[page, "/nowhere"])
    await user.http.get("/latest", params={"limit": "5"})
    await user.http.post("/preview", json={"text": "*so*"})
    if number % 2:
        mine = {"Cookie": edited.headers["set-cookie"].partition(";")[0], "Content-Type": "application/json"}
        gone = await user.http.delete(f"/id/{number}", headers=mine)
        assert gone.is_success, gone.text
