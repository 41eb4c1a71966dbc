"""A site and its editors: pages read and searched; log-in, history, pages added, published and listed."""

import re

from loadgen import User, scenario


@scenario
async def edit(user: User) -> None:
    async def token(path: str) -> str:
        page = await user.http.get(path)
        assert page.status_code == 200, (path, page.status_code)
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert found is not None
        return found[1]

    await user.http.get("/")
    assert (await user.http.get("/admin/")).status_code == 302
    form = {"username": "root", "password": "secret", "next": "/admin/"}
    given = {**form, "csrfmiddlewaretoken": await token("/admin/login/")}
    assert (await user.http.post("/admin/login/", data=given)).status_code == 302
    await user.http.get("/admin/")
    for searched in ("/search/?query=of", "/admin/pages/search/?q=of", "/admin/reports/site-history/"):
        assert (await user.http.get(searched)).status_code == 200
    new = "/admin/pages/add/home/homepage/3/"
    slug = f"page-{user.id}-{user.rng.randrange(10**9)}"
    given = {"title": f"of {user.id}", "slug": slug, "action-publish": "1"}
    given |= {"comments-TOTAL_FORMS": "0", "comments-INITIAL_FORMS": "0"}
    given["csrfmiddlewaretoken"] = await token(new)
    assert (await user.http.post(new, data=given)).status_code == 302
    assert (await user.http.get(f"/{slug}/")).status_code == 200
    await user.http.get("/admin/pages/3/")
    await user.http.get("/missing/")
