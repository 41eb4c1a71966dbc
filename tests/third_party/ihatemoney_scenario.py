"""Shared expenses over I Hate Money's JSON API: a project, its members, bills, and who owes whom."""

from loadgen import User, scenario


@scenario
async def share(user: User) -> None:
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    name = f"trip-{user.id}-{turn}"
    project = {"id": name, "name": name, "password": "open", "contact_email": "a@example.com"}
    made = await user.http.post("/api/projects", data={**project, "default_currency": "XXX"})
    assert made.status_code == 201, made.text
    signed = (name, "open")
    members = []
    for member in ("ann", "bob", "cas"):
        answer = await user.http.post(
            f"/api/projects/{name}/members", data={"name": member, "weight": 1}, auth=signed
        )
        members.append(answer.json())
    for at in range(3):
        bill = {
            "date": f"2026-01-{user.rng.randint(10, 28)}",
            "what": f"meal {at}",
            "payer": user.rng.choice(members),
            "payed_for": members,
            "amount": str(user.rng.randint(1, 100)),
            "bill_type": "Expense",
        }
        answer = await user.http.post(f"/api/projects/{name}/bills", data=bill, auth=signed)
        assert answer.status_code == 201, answer.text
    for path in ("", "/bills", "/statistics"):
        assert (await user.http.get(f"/api/projects/{name}{path}", auth=signed)).status_code == 200
    assert (await user.http.get(f"/api/projects/{name}", auth=(name, "wrong"))).status_code == 401
    assert (await user.http.get("/")).status_code == 200
