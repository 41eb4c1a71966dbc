"""Files that are uploaded, listed and fetched again."""

from loadgen import User, scenario


@scenario
async def exchange(user: User) -> None:
    name = f"{user.id}-{user.rng.random()}.txt"
    files = {"file": (name, name.encode() * 50)}
    await user.http.post("/upload", files=files, data={"path": "."}, headers={"Referer": "/"})
    await user.http.get("/")
    await user.http.get(f"/{name}")
    await user.http.get(f"/{name}", headers={"Range": "bytes=5-20"})
    await user.http.get("/missing")
