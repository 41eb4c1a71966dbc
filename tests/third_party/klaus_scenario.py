"""History, files and changes of a git repository."""

from loadgen import User, scenario


@scenario
async def browse(user: User) -> None:
    for path in (
        "/",
        "/repo/",
        "/repo/tree/HEAD/",
        "/repo/history/HEAD",
        "/repo/blob/HEAD/a.txt",
        "/repo/blame/HEAD/a.txt",
        "/repo/raw/HEAD/a.txt",
        "/repo/commit/HEAD/",
        "/repo/tarball/HEAD/",
        "/repo/missing",
    ):
        await user.http.get(path)
