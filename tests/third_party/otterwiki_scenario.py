"""Pages that are written, read, and listed with their history."""

from loadgen import User, scenario


def token(page: str) -> str:
    return page.split('name="csrf_token" value="')[1].split('"', maxsplit=1)[0]


@scenario
async def write(user: User) -> None:
    name = f"Page{user.id}"
    form = await user.http.get(f"/{name}/edit")
    data = {"content": f"# {name}\n{user.rng.random()}", "commit": "made", "csrf_token": token(form.text)}
    made = await user.http.post(f"/{name}/save", data=data)
    assert made.status_code in (302, 500), made.text
    for path in (f"/{name}", f"/{name}/history", "/-/changelog", "/-/index", f"/{name}/source"):
        await user.http.get(path)
