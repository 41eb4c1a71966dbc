"""Accounts, journals and reports; entries are added to the file."""

from loadgen import User, scenario

LEDGER = "/example"


@scenario
async def keep_books(user: User) -> None:
    for page in ("income_statement/", "balance_sheet/", "journal/", "statistics/", "errors/"):
        answer = await user.http.get(f"{LEDGER}/{page}")
        assert answer.status_code == 200, answer.text
    entry = {
        "t": "Transaction",
        "date": "2026-02-01",
        "flag": "*",
        "payee": f"u{user.id}",
        "narration": "bought",
        "tags": [],
        "links": [],
        "meta": {},
        "postings": [
            {"account": "Expenses:Food", "amount": f"{user.id + 1}.00 EUR"},
            {"account": "Assets:Cash", "amount": ""},
        ],
    }
    await user.http.put(f"{LEDGER}/api/add_entries", json={"entries": [entry]})
    for name in ("changed", "ledger_data", "income_statement", "journal"):
        await user.http.get(f"{LEDGER}/api/{name}")
