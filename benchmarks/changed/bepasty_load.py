"""Texts that are pasted, listed, read in three ways, renamed, refused and removed."""

from loadgen import User, scenario


@scenario
async def paste(user: User) -> None:
    data = {
        "text": f"{user.id} {user.rng.random()}\n" * 20,
        "contenttype": "text/plain",
        "maxlife-unit": "hours",
        "maxlife-value": "1",
        "filename": "a.txt",
    }
    await user.http.get("/")
    made = await user.http.post("/+upload", data=data)
    assert made.is_redirect, made.text
    where = made.headers["location"].partition("#")[0]
    await user.http.post("/+upload", data=data | {"maxlife-unit": "eons"})
    for path in (where, f"{where}/+inline", f"{where}/+download", "/+list", f"/apis/rest/items{where}"):
        await user.http.get(path)
    await user.http.post(f"{where}/+modify", data={"filename": "b.txt"})
    await user.http.post(f"{where}/+lock")
    await user.http.get("/nothing1")
    await user.http.post(f"{where}/+delete")
    await user.http.get(where)
