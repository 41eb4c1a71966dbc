"""What people do with quotes."""

from loadgen import User, scenario


@scenario
async def trading(user: User) -> None:
    """Ask for a quote twice, order, and forget the quote."""
    name = user.rng.choice(["abc", "def", "ghi"])
    await user.http.get(f"/quotes/{name}")
    await user.http.get(f"/quotes/{name}-{user.id}")
    await user.http.post("/orders", json={"name": name, "quantity": user.rng.randint(1, 9)})
    await user.http.post("/orders", json={"name": name, "quantity": 0})
    await user.http.get("/orders")
    await user.http.delete(f"/quotes/{name}")
