"""All that the numerical server serves."""

from loadgen import User, scenario


@scenario
async def look(user: User) -> None:
    for path in ("/groups", "/weeks", "/now", "/sample", "/file", "/plot.png", "/plot.svg", "/plot.pdf"):
        answer = await user.http.get(path)
        assert answer.status_code == 200, (path, answer.text)
