"""Tickets that are made, listed and searched, and pages of the wiki."""

from loadgen import User, scenario


def token(page: str) -> str:
    return page.partition('name="__FORM_TOKEN" value="')[2].partition('"')[0]


@scenario
async def work(user: User) -> None:
    number = user.rng.randrange(10**6)
    await user.http.get("/")
    form = await user.http.get("/newticket")
    ticket = {
        "__FORM_TOKEN": token(form.text),
        "field_summary": f"Ticket {number}",
        "field_description": f"by user {user.id}",
        "submit": "create",
    }
    made = await user.http.post("/newticket", data=ticket)
    assert made.status_code in (303, 500), made.text
    for path in ("/timeline", "/report/1", "/query", f"/search?q={number}", "/wiki/TitleIndex", "/ticket/1"):
        await user.http.get(path)
