"""Tables, rows and queries in a browser, without the browser: sqlite-web's pages and forms."""

from loadgen import User, scenario


@scenario
async def browse(user: User) -> None:
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    table = f"t{user.id}_{turn}"

    async def query(sql: str) -> str:
        answer = await user.http.post("/query/", data={"sql": sql})
        assert answer.status_code == 200, answer.text
        return answer.text

    await query(f"create table {table} (id integer primary key, name text, at real default (random()))")
    for number in range(3):
        await query(f"insert into {table} (name) values ('{user.rng.random()}-{number}')")
    assert table in await query("select name, sql from sqlite_master order by name")
    for path in ("/", f"/{table}/", f"/{table}/content/", f"/{table}/query/"):
        answer = await user.http.get(path)
        assert answer.status_code == 200, (path, answer.text)
    await query(f"select count(*), sum(at) from {table}")
