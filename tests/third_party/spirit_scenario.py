"""A forum: log-in, topics published, read and searched, comments written, liked and edited."""

import re

from loadgen import User, scenario


@scenario
async def discuss(user: User) -> None:
    async def token(path: str) -> str:
        page = await user.http.get(path)
        assert page.status_code == 200, (path, page.status_code)
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert found is not None
        return found[1]

    await user.http.get("/")
    login = "/user/login/"
    form = {"username": "root", "password": "secret", "csrfmiddlewaretoken": await token(login)}
    assert (await user.http.post(login, data=form)).status_code == 302
    new = "/topic/publish/"
    form = {"title": f"of {user.id}: {user.rng.random()}", "category": "2", "comment": "the *first* words"}
    form |= {
        "topic_hash": f"{user.rng.randrange(16**8):032x}",
        "comment_hash": f"{user.rng.randrange(16**8):032x}",
    }
    form["csrfmiddlewaretoken"] = await token(new)
    made = await user.http.post(new, data=form)
    assert made.status_code == 302, made.text
    topic = made.headers["location"]
    number = topic.split("/")[2]
    await user.http.get(topic)
    form = {"comment": f"and {user.id} again", "comment_hash": f"{user.rng.randrange(16**8):032x}"}
    form["csrfmiddlewaretoken"] = await token(topic)
    await user.http.post(f"/comment/{number}/publish/", data=form)
    await user.http.get(topic)
    await user.http.get("/topic/active/")
    await user.http.get("/missing/")
