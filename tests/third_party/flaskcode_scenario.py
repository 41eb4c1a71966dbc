"""Files that are opened, changed and made in a code editor."""

from loadgen import User, scenario


@scenario
async def edit(user: User) -> None:
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    await user.http.get("/")
    await user.http.get("/resource-data/a.py.txt")
    name = f"new-{user.id}-{turn}.txt"
    data = {"resource_data": f"{user.rng.random()}", "is_new_resource": "1"}
    await user.http.post(f"/update-resource-data/{name}", data=data)
    await user.http.get(f"/resource-data/{name}.txt")
    await user.http.get("/missing")
