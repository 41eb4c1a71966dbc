"""A music collection over the Subsonic API, and its pages."""

from loadgen import User, scenario


@scenario
async def listen(user: User) -> None:
    who = {"u": "alice", "p": "word", "v": "1.8.0", "c": f"user{user.id}", "f": "json"}
    for call, more in (
        ("ping", {}),
        ("getMusicFolders", {}),
        ("getIndexes", {}),
        ("getRandomSongs", {"size": "3"}),
        ("getAlbumList", {"type": "random"}),
        ("createPlaylist", {"name": f"list {user.id}"}),
        ("getPlaylists", {}),
        ("search2", {"query": "a"}),
        ("getUser", {"username": "alice"}),
    ):
        answer = await user.http.get(f"/rest/{call}.view", params={**who, **more})
        assert answer.status_code == 200, (call, answer.text)
    await user.http.post("/user/login", data={"user": "alice", "password": "word"})
    await user.http.get("/")
