"""What customers do in the shop: most of them look around, and some want the same few things."""

from __future__ import annotations

from loadgen import User, scenario


@scenario(iterations=20)
async def customers(user: User) -> None:
    """Bring an item, look at some, say something, and now and then reserve one of everybody's."""
    if "items" not in user.data:
        created = await user.http.post("/items", json={"name": f"thing of {user.id}", "stock": 50})
        user.data["items"] = [created.json()["id"]]
    listed = (await user.http.get("/items")).json()
    item = user.rng.choice(listed["items"])["id"]
    await user.http.get(f"/items/{item}")
    await user.http.post(f"/items/{item}/notes", json={"text": "x" * user.rng.randint(1, 80)})
    if user.rng.choice((True, False, False, False)):
        await user.http.post(f"/items/{item}/reserve", json={"user": user.id, "gift": False})
