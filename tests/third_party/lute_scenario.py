"""Reading with a dictionary: Lute's books, pages, terms, and the tables that list them."""

from loadgen import User, scenario


@scenario
async def read(user: User) -> None:
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    for path in ("/", "/term/index", "/language/index", "/stats/", "/stats/data", "/book/archived"):
        answer = await user.http.get(path)
        assert answer.status_code == 200, (path, answer.text)
    for language in ("English", "German"):
        await user.http.get(f"/language/load_predefined/{language}")
    text = " ".join(f"word{user.rng.randint(1, 500)}" for _ in range(60))
    book = {"language_id": "1", "title": f"Book {user.id}-{turn}", "text": text, "max_page_tokens": "250"}
    made = await user.http.post("/book/new", data=book)
    assert made.status_code in (200, 302), made.text
    if made.status_code == 302:
        assert (await user.http.get(made.headers["location"])).status_code == 200
    for number in range(3):
        await user.http.get(f"/term/search/word{number}/1")
