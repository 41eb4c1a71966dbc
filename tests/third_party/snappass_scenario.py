"""Passwords that are stored, previewed, fetched once, and gone after that."""

from loadgen import User, scenario


@scenario
async def share(user: User) -> None:
    await user.http.get("/")
    secret = f"{user.id} {user.rng.random()}"
    made = await user.http.post(
        "/", data={"password": secret, "ttl": "Hour"}, headers={"accept": "application/json"}
    )
    link = "/" + made.json()["link"].rpartition("/")[2]
    await user.http.get(link)
    shown = await user.http.post(link)
    assert secret in shown.text
    await user.http.post(link)  # 404: it can be fetched once
    await user.http.get(link)
    await user.http.post("/", data={"password": secret, "ttl": "never"})  # 400
