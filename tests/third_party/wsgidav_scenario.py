"""Files and collections over WebDAV: written, listed, copied, locked, removed."""

from loadgen import User, scenario


@scenario
async def share(user: User) -> None:
    folder = f"/folder-{user.id}-{user.rng.randrange(10**6)}"
    content = f"{user.id} {user.rng.random()}\n" * 50
    await user.http.request("MKCOL", folder)
    await user.http.put(f"{folder}/a.txt", content=content)
    await user.http.request("PROPFIND", folder, headers={"depth": "1"})
    part = await user.http.get(f"{folder}/a.txt", headers={"range": "bytes=3-9"})
    assert part.text == content[3:10]
    await user.http.request("COPY", f"{folder}/a.txt", headers={"destination": f"{folder}/b.txt"})
    locked = await user.http.request(
        "LOCK",
        f"{folder}/b.txt",
        content='<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        "<D:locktype><D:write/></D:locktype><D:owner>someone</D:owner></D:lockinfo>",
    )
    await user.http.put(f"{folder}/b.txt", content="refused")
    token = locked.headers["lock-token"]
    await user.http.put(f"{folder}/b.txt", content="accepted", headers={"if": f"({token})"})
    await user.http.request("UNLOCK", f"{folder}/b.txt", headers={"lock-token": token})
    await user.http.get(folder + "/")
    if user.id % 2:
        await user.http.delete(folder)
