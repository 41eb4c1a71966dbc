"""Texts that are pasted, listed, fetched and removed."""

from loadgen import User, scenario


@scenario
async def paste(user: User) -> None:
    text = f"{user.id} {user.rng.random()}\n" * 20
    data = {
        "text": text,
        "contenttype": "text/plain",
        "maxlife-unit": "hours",
        "maxlife-value": "1",
        "filename": "a.txt",
    }
    await user.http.get("/")
    made = await user.http.post("/+upload", data=data)
    assert made.status_code == 302, made.text
    where = made.headers["location"]
    for path in (where, f"{where}/+inline", f"{where}/+download", "/+list", "/apis/rest/items"):
        await user.http.get(path)
    if user.id % 2:
        await user.http.post(f"{where}/+delete")
