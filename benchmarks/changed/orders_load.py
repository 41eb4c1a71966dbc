"""What people do with products and orders, now and then wrongly."""

from loadgen import User, scenario


@scenario
async def shopping(user: User) -> None:
    """Add a product, order it and another one, look at both, and at the sales."""
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    added = await user.http.post("/products", json={"name": f"thing {user.id}-{turn}", "price": 3 + turn})
    number = added.json()["id"]
    await user.http.post("/products", json={"name": "", "price": 1})
    bought = await user.http.post("/orders", json={"product_id": number, "quantity": 2})
    await user.http.post("/orders", json={"product_id": number, "quantity": 99})
    await user.http.get(f"/products/{number}")
    await user.http.get(f"/orders/{bought.json()['id']}")
    await user.http.get("/products/999999")
    await user.http.get("/products")
    await user.http.get("/sales")
