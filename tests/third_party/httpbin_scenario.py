"""Requests of many kinds, echoed, delayed, streamed, compressed and random."""

from loadgen import User, scenario


@scenario
async def try_out(user: User) -> None:
    http, name = user.http, f"{user.id}-{user.rng.random()}"
    for path in (
        "/uuid",
        "/bytes/100",
        "/stream/5",
        "/drip?duration=0.1&numbytes=5&delay=0",
        "/gzip",
        "/deflate",
        "/brotli",
        "/image/png",
        "/html",
        "/json",
        "/xml",
        "/status/418",
        "/range/200",
        "/delay/0.1",
        f"/cookies/set?name={name}",
        "/cookies",
        "/base64/SGVsbG8=",
        "/etag/abc",
        "/cache/60",
        "/digest-auth/auth/user/word",
        "/redirect/1",
        "/links/3/1",
        "/user-agent",
        "/headers",
        "/ip",
    ):
        await http.get(path)
    await http.post(f"/anything/{name}", json={"name": name})
    await http.put("/put", data={"name": name}, files={"file": ("a.txt", name.encode())})
    await http.patch("/patch", content=b"\x00\xff")
    await http.delete("/delete")
