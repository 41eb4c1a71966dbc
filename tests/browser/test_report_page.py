"""The report in a real browser: user actions, screen sizes, and use with the keyboard alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from loadgen import protocol
from loadgen.core.departure import Departure
from tests.report.sample import RACE, Sample
from tests.report.test_asked import BUG, REFACTORED

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.browser
SOME = tuple(range(30, 60, 7))
CALLS = (
    "/srv/shop.py:65 in sampled: return time.time() > 0",
    "/srv/lib/python3.11/site-packages/flask/app.py:902 in dispatch: return view()",
)
LEFT = Sample(
    diverge=(30,),
    left=dict.fromkeys(range(20, 29, 2), Departure(protocol.CALL_NOT_RECORDED, "a call not recorded", CALLS)),
)
SEEN = {
    "calls": [
        {"at": [CALLS[1]], "got": "1795449711.3"},
        {
            "at": ["/srv/lib/python3.11/logging/__init__.py:297 in __init__: ct = time.time()", *CALLS],
            "got": "7",
        },
    ],
    "count": 5,
    "left_over": ["an object", "b'x'"],
}
EXPLAINED = replace(
    LEFT,
    facts={
        "call_log": {"seq": 20, "logged": SEEN},
        "engine_log": {
            "line": 8,
            "first": 7,
            "lines": ["GET / 200", "loadgen: request 20 left the tape", "end"],
        },
    },
)
ENTER, TAB, ESCAPE, DOWN, END = "\ue007", "\ue004", "\ue00c", "\ue015", "\ue010"


def test_opens_without_network_and_without_complaint(open_report: Callable[..., Any]) -> None:
    """The file is all there is: nothing else is asked for, and the console stays empty."""
    page = open_report(Sample(diverge=SOME))
    assert page.requested() == [page.browser.current_url]
    assert page.complaints() == []
    assert page.one("h1").text == "Diverged"
    assert page.run("return document.querySelectorAll('#latency canvas').length") == 2


def test_latency_from_when_requests_were_due_is_a_row_of_its_own(open_report: Callable[..., Any]) -> None:
    """Both figures are there to compare, and the load is told as it was asked for."""
    page = open_report(Sample(broken="no posts"))
    assert page.complaints() == []
    rows = [row.text for row in page.all("#percentiles tbody th")]
    assert rows == ["recorded", "replayed", "recorded, from when due"]
    assert "Failed in the scenario, 1 iteration: read: AssertionError: no posts" in page.one("#reasons").text
    assert "4 virtual users, 10 iterations each" in page.one("#about").text


def test_policy_lets_nothing_else_run(open_report: Callable[..., Any]) -> None:
    """A script or an image that got into the page all the same would not be run or fetched."""
    page = open_report(Sample())
    page.run(
        "const s = document.createElement('script');"
        "s.textContent = 'window.hacked = 1'; document.body.append(s);"
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);"
    )
    assert page.run("return window.hacked") is None
    assert any("Content Security Policy" in line for line in page.complaints())


def test_recorded_markup_stays_text(open_report: Callable[..., Any]) -> None:
    """What a server answered is shown as characters, whatever it is."""
    evil = b"</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>{{data}}"
    page = open_report(Sample(bodies={3: (evil, evil + b"!")}, diverge=(3,)))
    assert "<img src=x" in page.one("#divergence-list .diff").text
    assert page.run("return window.hacked") is None
    assert page.complaints() == []


def test_search_finds_by_target_header_body_and_field(open_report: Callable[..., Any]) -> None:
    """One field searches everything that is shown of a request."""
    page = open_report(
        Sample(requests=200, answer_headers=(("X-Region", "north"),), bodies={77: (b"needle", b"needle")})
    )
    box = page.one("#search")
    lost = page.run("return requestList.store.sides[0].status.filter((status) => status === 404).length")
    for text, count in (
        ("needle", 1),
        ("x-region:", 200),
        ("#12", 1),
        ("status:404", lost),
        ("no such thing", 0),
    ):
        box.clear()
        box.send_keys(text)
        want = "200 requests" if count == 200 else f"{count} of 200 requests"
        page.until(f"byId('found').textContent === {want!r}")
    assert page.one("#nothing").is_displayed()
    box.clear()
    box.send_keys("method:post user:2")
    page.until("!byId('rows').hidden && byId('found').textContent.includes(' of ')")
    rows = page.all("#rows .row")
    assert rows
    assert {row.find_element("css selector", ".what b").text for row in rows} == {"POST"}
    assert {row.find_element("css selector", ".user").text for row in rows} == {"2"}


def test_filter_shows_what_differs(open_report: Callable[..., Any]) -> None:
    """The filter's number is the verdict's, and the rows are its requests."""
    page = open_report(Sample(diverge=SOME))
    page.one("#filters [value=differ]").click()
    assert page.one("#found").text == f"{len(SOME)} of 60 requests"
    assert page.run(
        "return [...document.querySelectorAll('#rows .seq')].map((e) => Number(e.textContent))"
    ) == list(SOME)


def test_divergence_opens_side_by_side_with_the_difference_marked(open_report: Callable[..., Any]) -> None:
    """The first is open; another opens with a click; both sides mark exactly what differs."""
    page = open_report(Sample(diverge=(31, 38)))
    buttons = page.all("#divergence-list .toggle button")
    assert [button.get_attribute("aria-expanded") for button in buttons] == ["true", "false"]
    buttons[1].click()
    inside = page.one("#divergence-38")
    assert inside.is_displayed()
    left, right = (inside.find_element("css selector", f".diff .{side} mark").text for side in "lr")
    assert (left, right) == ("76", "77")
    buttons[1].click()
    assert not inside.is_displayed()


def test_thousands_of_divergences_come_in_portions(open_report: Callable[..., Any]) -> None:
    """The page stays light: fifty at a time, and the rest a click away, with the true number said."""
    page = open_report(Sample(requests=2400, diverge=tuple(range(1, 2400, 2)), concluded=False))
    assert len(page.all(".divergence")) == 50
    assert "1,200 requests differ; the details of 1,000 were kept" in page.one("#divergences-note").text
    page.one("#divergence-list > button").click()
    assert len(page.all(".divergence")) == 100
    page.one("#filters [value=differ]").click()
    assert page.one("#found").text == "1,200 of 2,400 requests"


def test_cause_says_what_where_whose_and_what_next_and_leads_there(open_report: Callable[..., Any]) -> None:
    """A card under the headline; its link opens the cause's first divergence, and has the focus there."""
    page = open_report(LEFT)
    cards = page.all("#causes .cause")
    assert "At fault: not known yet" in cards[0].text
    assert "in the replay it left the tape: a call not recorded." in cards[0].text
    for name, said in (
        ("Where", "/srv/shop.py:65 in sampled"),
        ("Why", "Its code is unchanged"),
        ("Next", "Either the application"),
    ):
        assert re.search(rf"{name}\s+.*{re.escape(said)}", cards[0].text), name
    links = page.all("#causes .jump")
    assert links[0].text == "4 more requests of the same cause: 22, 24, 26, 28"
    assert not page.one("#divergence-30").is_displayed()
    links[1].click()
    assert page.one("#divergence-30").is_displayed()
    assert page.run("return document.activeElement.id") == "cause-2"


def test_explanation_is_folded_up_under_its_cause(open_report: Callable[..., Any]) -> None:
    """What each call got, the application's own by name; what the recording has further; and the log."""
    page = open_report(EXPLAINED)
    (call_log,) = page.all(".cause .call-log")
    assert (
        call_log.find_element("css selector", "summary").text == "Results of its 5 calls, from the recording"
    )
    assert not call_log.find_element("css selector", "table").is_displayed()
    for summary in page.all(".call-log summary, .engine-log summary"):
        summary.click()
    rows = [row.text for row in page.all(".call-log tbody tr")]
    assert "return view()" in rows[0]
    assert "1795449711.3" in rows[0]
    assert "return time.time() > 0" in rows[1], "the application's own call, not the library's"
    assert "The first 3 are left out." in call_log.text
    assert [one.text for one in page.all(".call-log .stack li")] == ["an object", "b'x'"]
    assert page.one(".engine-log b").text.strip() == "loadgen: request 20 left the tape"
    assert page.complaints() == []
    assert page.accessibility() == []


def test_cascade_is_no_wall(open_report: Callable[..., Any]) -> None:
    """Of a thousand requests with one cause, three are listed, and the others are a click away."""
    many = {n: (b'{"id":%d}' % n, b'{"id":%d}' % (n + 1)) for n in range(11, 1011)}
    page = open_report(Sample(requests=1100, bodies=many))
    assert len(page.all("#causes .cause")) == len(page.all(".group")) == 1
    assert len(page.all(".divergence")) == 3
    assert "1,000 requests" in page.one(".group-head h3").text
    button = page.one(".group .more")
    assert button.text == "Show 50 of 997 more requests of this cause"
    button.click()
    assert len(page.all(".divergence")) == 53
    assert page.run("return document.activeElement.textContent").startswith("#14")


def test_causes_beyond_the_first_are_a_click_away(open_report: Callable[..., Any]) -> None:
    """Three cards, then the rest; a card leads to its cause though that is not listed yet."""
    bodies = {n: (b'{"%s":1}' % (b"x" * n), b'{"%s":"%d"}' % (b"x" * n, n)) for n in range(5, 60)}
    page = open_report(Sample(bodies=bodies))
    count = page.run("return requestList.store.data.causes.length")
    assert count > 10
    assert len(page.all("#causes .cause")) == 3
    assert len(page.all(".group")) == 10
    more = page.one("#verdict .more")
    assert more.text == f"And {count - 3} more causes"
    while page.all("#verdict .more"):
        page.one("#verdict .more").click()
    assert len(page.all("#causes .cause")) == count
    page.all("#causes .jump")[-1].click()
    assert page.run("return document.activeElement.id") == f"cause-{count}"


def test_stack_is_where_it_left_the_tape(open_report: Callable[..., Any]) -> None:
    """Innermost first; in the list and in the drawer; a request that kept to the tape has none."""
    page = open_report(LEFT)
    calls = page.one("#divergence-20 .stack").find_elements("css selector", "li")
    assert [call.text.split(" in ")[0] for call in calls] == [
        "/srv/shop.py:65",
        "/srv/lib/python3.11/site-packages/flask/app.py:902",
    ]
    assert [call.get_attribute("class") for call in calls] == ["", "far"]
    page.run("document.querySelectorAll('#causes .jump')[1].click()")
    assert page.all("#divergence-30 .diff")
    assert not page.all("#divergence-30 .stack")


def test_one_of_several_replays_lists_its_divergences(open_report: Callable[..., Any]) -> None:
    """The causes are with the replay that has the verdict on all: no cards, no groups, and all else."""
    page = open_report(Sample(diverge=SOME, concluded=False))
    assert not page.all("#causes .cause, .group")
    assert len(page.all(".divergence")) == len(SOME)
    assert page.one(f"#divergence-{SOME[0]}").is_displayed()
    assert page.complaints() == []


def test_time_line_zooms_by_buttons_wheel_drag_and_keys(open_report: Callable[..., Any]) -> None:
    """Every way of zooming narrows the view; zero shows the whole run again."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    page = open_report(Sample(requests=300))
    lanes = page.one("#lanes")
    page.run("byId('timeline').scrollIntoView()")
    width = "timeline.view[1] - timeline.view[0]"
    whole = page.run(f"return {width}")

    last = whole

    def narrower() -> None:
        nonlocal last
        page.until(f"{width} < {last}")  # the browser hands a wheel on when it likes
        last = page.run(f"return {width}")

    page.one("[data-zoom=in]").click()
    narrower()
    ActionChains(page.browser).scroll_from_origin(ScrollOrigin.from_element(lanes), 0, 100).perform()
    assert page.run(f"return {width}") == last  # without focus, the wheel is the page's
    page.run("byId('timeline').scrollIntoView(); byId('lanes').focus()")
    for _ in range(5):  # one may still belong to the page's scrolling; each that arrives narrows
        ActionChains(page.browser).scroll_from_origin(ScrollOrigin.from_element(lanes), 0, -120).pause(
            0.3
        ).perform()
    narrower()
    ActionChains(page.browser).move_to_element(lanes).click_and_hold().move_by_offset(
        160, 0
    ).release().perform()
    narrower()
    page.keys("+")
    narrower()
    page.keys("0")
    assert page.run(f"return {width}") == whole


def test_time_line_can_be_walked_by_keyboard(open_report: Callable[..., Any]) -> None:
    """Requests can be walked, said, and opened; the next divergence is one key away."""
    page = open_report(Sample(diverge=(31,)))
    page.run("byId('lanes').focus()")
    page.keys("n", "n")
    assert page.one("#timeline-said").get_attribute("textContent").startswith("Request 2, user")
    page.keys("d")
    assert page.one("#timeline-said").get_attribute("textContent").endswith("differs")
    page.keys(ENTER)
    assert page.one("#detail").is_displayed()
    assert page.one("#detail-title").text.startswith("#31")


def test_server_order_is_an_axis(open_report: Callable[..., Any]) -> None:
    """The other axis is the server's steps: two for every request."""
    page = open_report(Sample(requests=120))
    page.run("document.querySelector('[name=axis][value=order]').click()")
    assert page.run("return timeline.end") == [240, 240]
    assert page.run("return timeline.span(0, 0)")[0] == 0


def test_list_is_used_by_keyboard_alone(open_report: Callable[..., Any]) -> None:
    """Arrows move, Enter opens, J goes on inside, Escape returns to where one was."""
    page = open_report(Sample(requests=500))
    page.run("byId('rows').focus()")
    page.keys(DOWN, DOWN, ENTER)
    assert page.one("#detail-title").text.startswith("#3 ")
    page.keys("j")
    assert page.one("#detail-title").text.startswith("#4 ")
    page.keys(ESCAPE)
    assert not page.one("#detail").is_displayed()
    assert page.run("return document.activeElement.id") == "rows"
    page.keys(END)
    page.until("document.querySelector('#rows [aria-selected=true] .seq')?.textContent === '500'")


def test_calls_are_side_by_side_by_route_and_beside_the_answers(open_report: Callable[..., Any]) -> None:
    """What differs within a call is marked; code that answers the same has its calls shown, too."""
    page = open_report(BUG)
    assert page.one("#calls h3").text == "GET /api/users now runs 4 statements instead of 2"
    assert page.one("#call-list td.rec").text.startswith("db.Cursor.execute('insert into users")
    assert page.one("#call-list td.rep").text.startswith("db.Cursor.execute('update users")
    assert page.one("#call-list td.rep mark").text.startswith("update users")
    assert page.one("#call-list .location").text == "/srv/shop/store.py:7 in add"
    assert "Calls that differ" in page.one("#divergence-list .exchange").text
    assert page.one("#facts").text.count("2 effects changed") == 1


def test_other_calls_behind_the_same_answers_are_shown(open_report: Callable[..., Any]) -> None:
    """There is no divergence then, and nothing else to show them in."""
    page = open_report(REFACTORED)
    assert page.one("#call-list td.rep").text == "db.query('a')"
    page.run("requestList.active = 2; requestList.open()")
    assert "db.query('a')" in page.one("#detail-body").text


@pytest.mark.parametrize("width", [360, 390, 768, 1360])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sample", [LEFT, BUG], ids=["left", "calls"])
def test_fits_every_screen(
    open_report: Callable[..., Any], width: int, sample: Sample, *, dark: bool
) -> None:
    """Nothing sticks out sideways, and the colours follow the scheme."""
    page = open_report(sample, width=width, dark=dark)
    page.run(
        "document.querySelectorAll('#divergence-list button[aria-expanded=false]').forEach((b) => b.click())"
    )
    assert page.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    light = page.run(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] > 128"
    )
    assert light is not dark
    assert page.complaints() == []


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_headline_and_hint_are_whole(open_report: Callable[..., Any], width: int) -> None:
    """The longest headline fits a phone, and so does the hint for the search, beside all filters."""
    page = open_report(Sample(doubt="stuck", diverge=SOME, fail=(7,)), width=width)
    page.run("document.querySelector('h1').lastChild.textContent = 'Undetermined'")
    assert page.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert (
        page.run(
            "const box = document.createRange(), h1 = document.querySelector('h1');"
            "box.selectNodeContents(h1);"
            "return box.getBoundingClientRect().right - h1.getBoundingClientRect().right"
        )
        <= 0
    )
    assert (
        page.run(
            "const input = byId('search'), of = getComputedStyle(input);"
            "const text = document.createElement('canvas').getContext('2d'); text.font = of.font;"
            "const room = input.clientWidth - parseFloat(of.paddingLeft) - parseFloat(of.paddingRight);"
            "return text.measureText(input.placeholder).width - room"
        )
        <= 0
    )


@pytest.mark.parametrize(
    ("name", "sample", "title"),
    [
        ("identical", Sample(), "Identical"),
        ("diverged", Sample(diverge=SOME), "Diverged"),
        ("left the tape", LEFT, "Diverged"),
        ("one of several replays", Sample(diverge=SOME, concluded=False), "Diverged"),
        ("order", Sample(order_differs=True), "Diverged"),
        ("calls", BUG, "Diverged"),
        ("other calls, the same answers", REFACTORED, "Identical"),
        ("undetermined", Sample(doubt="stuck"), "Undetermined"),
        ("a client gave up", Sample(fail=(7,)), "Identical"),
        ("unverified", Sample(verified=False), "Not verified yet"),
        ("failed", Sample(verified=False, cut=True), "Recording failed"),
        ("empty", Sample(requests=0, verified=False), "Not verified yet"),
    ],
)
@pytest.mark.parametrize("dark", [False, True])
def test_accessible_in_every_state(
    open_report: Callable[..., Any], name: str, sample: Sample, title: str, *, dark: bool
) -> None:
    """Every kind of verdict has its headline, and nothing for axe-core to find; contrast included."""
    page = open_report(sample, dark=dark)
    assert page.one("h1").text == title
    assert page.complaints() == []
    assert page.accessibility() == []


def test_a_schedule_is_read_by_keyboard(open_report: Callable[..., Any]) -> None:
    """Lanes in order of time, a preemption is reached by its key, and opens its request."""
    page = open_report(RACE)
    assert page.complaints() == []
    tops = page.run(
        "return [...document.querySelectorAll('.turn')].map((one) => one.getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)
    assert len(set(tops)) == 3
    assert [one.text for one in page.all(".source.marked")] == ["7    total = n + 1", "6    n = total"]
    page.run("document.querySelector('.lanes').focus()")
    page.keys("n")
    page.until("document.activeElement.closest('.turn.stopped')")
    page.keys(ENTER)
    page.until("byId('detail').open")
    assert page.one("#detail-title").text.startswith("#2")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_schedule_fits_and_is_accessible(
    open_report: Callable[..., Any], width: int, *, dark: bool
) -> None:
    """In both schemes, and on a phone, where the lanes are one below the other."""
    page = open_report(RACE, width=width, dark=dark)
    assert page.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.accessibility() == []


def test_accessible_on_a_phone_and_in_the_drawer(open_report: Callable[..., Any]) -> None:
    """Also at phone width, and with an exchange open."""
    page = open_report(LEFT, width=390)
    assert page.accessibility() == []
    page.run("requestList.open()")
    assert page.accessibility() == []


def test_usable_with_20000_requests(open_report: Callable[..., Any]) -> None:
    """Large runs open in seconds, and searching, scrolling and zooming answer at once."""
    page = open_report(Sample(requests=20_000, users=32, diverge=(9000, 15000)))
    assert len(page.all("#rows .row")) < 80
    took = page.run(
        "const times = {}; const time = (name, act) => {"
        "  const began = performance.now(); act(); times[name] = performance.now() - began; };"
        "time('draw', () => timeline.draw()); time('zoom', () => { timeline.zoom(0.1); timeline.draw(); });"
        "time('search', () => { byId('search').value = 'user-1999'; requestList.apply(); });"
        "time('scroll', () => { byId('search').value = ''; requestList.apply(); requestList.move(15000); });"
        "return times;"
    )
    page.until("document.querySelector('#rows [aria-selected=true] .seq')?.textContent === '15001'")
    assert max(took.values()) < 1000, took


def test_masked_values_are_nowhere_in_the_file(open_report: Callable[..., Any], tmp_path: Any) -> None:
    """A secret in a header, a cookie, a body, a difference: all of the page's data is free of it."""
    secret = "s3cr3t-t0ken"
    page = open_report(
        Sample(
            headers=(("Authorization", f"Bearer {secret}"), ("X-Api-Key", secret)),
            answer_headers=(("Set-Cookie", f"session={secret}; Path=/"),),
            bodies={
                4: (b'{"password": "%s", "n": 1}' % secret.encode(), b'{"password": "other-secret", "n": 2}')
            },
        ),
        mask=("header:x-api-key", "json:$.password"),
    )
    data = page.run("return JSON.stringify(requestList.store.data)")
    assert secret not in data
    assert "other-secret" not in data
    assert "(masked)" in data
    assert page.one("#divergence-list").is_displayed()
