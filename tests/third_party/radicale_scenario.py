"""Calendars and their events over CalDAV."""

from loadgen import User, scenario

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//here//
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20260101T000000Z
DTSTART:20260102T100000Z
DTEND:20260102T110000Z
SUMMARY:{uid}
END:VEVENT
END:VCALENDAR
"""


@scenario
async def plan(user: User) -> None:
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    home, who = f"/u{user.id}/c{turn}/", (f"u{user.id}", "word")
    made = await user.http.request("MKCALENDAR", home, auth=who)
    assert made.status_code == 201, made.text
    for number in range(3):
        uid = f"{number}-{user.rng.random()}"
        await user.http.put(f"{home}{uid}.ics", content=EVENT.format(uid=uid).replace("\n", "\r\n"), auth=who)
        await user.http.get(f"{home}{uid}.ics", auth=who)
    await user.http.request("PROPFIND", home, headers={"Depth": "1"}, auth=who)
    await user.http.get(home, auth=who)
    await user.http.delete(home, auth=who)
