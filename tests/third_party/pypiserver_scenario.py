"""Packages that are listed, uploaded and downloaded."""

from loadgen import User, scenario


@scenario
async def use(user: User) -> None:
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    name = f"made{user.id}-{turn}.0.tar.gz"
    await user.http.post(
        "/", data={":action": "file_upload"}, files={"content": (name, f"{user.rng.random()}".encode())}
    )
    for path in (
        "/",
        "/simple/",
        "/simple/some/",
        f"/packages/{name}",
        "/packages/",
        "/packages/some-1.0.tar.gz",
        "/simple/missing/",
    ):
        await user.http.get(path)
