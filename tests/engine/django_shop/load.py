"""A customer, and somebody who logs in to the administration pages."""

import re

from loadgen import User, scenario


@scenario
async def customer(user: User) -> None:
    """Look, add an item with the form's token, look at it."""
    home = (await user.http.get("/")).json()
    token = {"X-CSRFToken": home["token"]}
    form = {"name": f"item of {user.id}"}
    assert (await user.http.post("/add/", data=form)).status_code == 403
    added = await user.http.post("/add/", data=form, headers=token)
    await user.http.get(f"/items/{added.json()['id']}/")
    await user.http.get("/items/999999/")
    await user.http.get("/stream/")
    await user.http.get("/broken/")
    await user.http.get("/")


@scenario
async def administrator(user: User) -> None:
    """Log in, look at the list, add an item, log out."""
    assert (await user.http.get("/private/")).status_code == 302

    async def token(path: str) -> str:
        page = await user.http.get(path)
        return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]

    form = {"username": "root", "password": "secret", "next": "/admin/"}
    given = {**form, "csrfmiddlewaretoken": await token("/admin/login/")}
    assert (await user.http.post("/admin/login/", data=given)).status_code == 302
    assert (await user.http.get("/private/")).status_code == 200
    await user.http.get("/admin/shop/item/")
    given = {"name": "by root", "csrfmiddlewaretoken": await token("/admin/shop/item/add/")}
    given["code"] = "8c9ac8a1-5c7e-4d0e-9d43-6b6d5d7bc7f1"
    assert (await user.http.post("/admin/shop/item/add/", data=given)).status_code == 302
    await user.http.get("/admin/shop/item/")
