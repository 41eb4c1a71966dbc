"""Workloads: after any reduction, requests can still overlap, and values still come from answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.workload import NEVER, Origin, Ref, Workload, likelihood, read

JSON = (("Content-Type", "application/json"),)


def ask(seq: int, user: int, method: str, target: str, body: object = None, **headers: str) -> Request:
    own = tuple(headers.items())
    if body is None:
        return Request(seq, user, method, target, own)
    return Request(seq, user, method, target, (*own, *JSON), json.dumps(body, separators=(",", ":")).encode())


def answer(seq: int, body: object, status: int = 200) -> Response:
    return Response(seq, status, JSON, json.dumps(body).encode())


def refs(workload: Workload) -> dict[int, list[tuple[int, tuple[str | int, ...]]]]:
    """Return where each step takes its values from."""
    return {step.seq: [(ref.seq, ref.path) for ref in step.refs()] for step in workload.steps}


def test_ids_come_from_the_answer_that_made_them() -> None:
    """An id in a path comes from the resource before it, one in a body from the resource its key names."""
    workload = read(
        [
            ask(1, 0, "POST", "/users", {"name": "x"}),
            answer(1, {"id": 7, "name": "x"}, 201),
            ask(2, 0, "POST", "/posts", {"user_id": 7, "count": 7}),
            answer(2, {"id": 7, "user_id": 7}, 201),
            ask(3, 1, "GET", "/users/7/posts?after=7"),
            answer(3, {"posts": []}),
            ask(4, 1, "GET", "/posts/7"),
        ]
    )
    assert refs(workload) == {1: [], 2: [(1, ("id",))], 3: [(1, ("id",))], 4: [(2, ("id",))]}
    assert workload.steps[1].json == {"user_id": Ref(1, ("id",), 7), "count": 7}
    assert workload.steps[2].path == ("/users/", Ref(1, ("id",), "7"), "/posts")
    assert workload.steps[2].query == (("after=7",),)


def test_tokens_come_from_where_they_were_seen_first() -> None:
    """A text too particular for chance is a reference wherever it stands; one of the client's own is not."""
    token = "tok-5f3a9c"
    workload = read(
        [
            ask(1, 0, "POST", "/login", {"name": "ann"}),
            answer(1, {"auth": {"token": token}, "name": "ann"}),
            ask(2, 0, "GET", f"/me?t={token}", None, Authorization=f"Bearer {token}", Host="x", Cookie="a=b"),
            answer(2, {"token": token}),
            ask(3, 1, "POST", f"/sessions/{token}", {"name": "ann", "token": token}),
        ]
    )
    path = (1, ("auth", "token"))
    assert refs(workload) == {1: [], 2: [path, path], 3: [path, path]}
    assert workload.steps[1].headers == (("Authorization", ("Bearer ", Ref(1, path[1], token))),)


def test_what_was_not_answered_yet_gives_nothing() -> None:
    """A value is taken from answers that were seen before the request was sent."""
    workload = read([ask(1, 0, "POST", "/users"), ask(2, 1, "GET", "/users/7"), answer(1, {"id": 7})])
    assert refs(workload) == {1: [], 2: []}


def test_bodies_that_httpx_would_write_otherwise_stay_bytes() -> None:
    """A body is JSON only where nothing is lost by it; and failures and forms are kept as they are."""
    odd = Request(1, 0, "POST", "/x", JSON, b'{"a": 1}')
    form = Request(2, 0, "POST", "/x", (("Content-Type", "application/x-www-form-urlencoded"),), b"a=1")
    workload = read([odd, Failure(1, "ReadTimeout", ""), form])
    assert [(step.json, step.body) for step in workload.steps] == [(None, b'{"a": 1}'), (None, b"a=1")]
    assert workload.steps[0].headers == (("Content-Type", ("application/json",)),)
    assert [step.answered for step in workload.steps] == [NEVER, NEVER]


def crossing() -> Workload:
    """Return a case in which 3 and 4 overlap, and both wait for 1 and 2."""
    return read(
        [
            ask(1, 0, "POST", "/items", {"name": "a"}),
            ask(2, 1, "POST", "/items", {"name": "b", "more": {"x": 1, "y": 2}}),
            answer(1, {"id": 1}),
            answer(2, {"id": 2}),
            ask(3, 0, "POST", "/items/2/reserve?fast=1&loud=1", None, X="1"),
            ask(4, 2, "POST", "/items/2/reserve"),
            answer(3, {}),
            answer(4, {}),
            ask(5, 1, "GET", "/items"),
            answer(5, {}),
        ]
    )


def test_waits_are_those_that_order_needs() -> None:
    """Nobody waits for what another answer, or the user's own past, has waited for."""
    workload = crossing()
    assert workload.waits() == {1: [], 2: [], 3: [2], 4: [1, 2], 5: [3, 4]}
    assert workload.only({4}).seqs == {2, 4}
    assert workload.only({4}).waits() == {2: [], 4: [2]}
    assert workload.without({2}).waits() == {1: [], 3: [], 4: [1], 5: [3, 4]}
    assert workload.without({2}).steps[1].path == ("/items/2/reserve",)


def test_what_overlapped_is_kept_together() -> None:
    """Around a request are those that were under way with it, what they need, and some before."""
    assert crossing().around(4, 0).seqs == {2, 3, 4}
    assert crossing().meeting(4).seqs == {2, 3, 4}
    assert crossing().meeting(3).seqs == {2, 3}
    assert crossing().around(4, 9).seqs == {1, 2, 3, 4}
    assert crossing().around(5, 1).seqs == {2, 4, 5}


def test_users_can_be_merged() -> None:
    """What one user does after the other needs no waits; the order of issue stays."""
    assert crossing().in_sequence().waits() == {seq: [] for seq in range(1, 6)}
    merged = crossing().merged(1, into=2)
    assert merged.users == [0, 2]
    assert [(step.seq, step.user) for step in merged.steps] == [(1, 0), (2, 2), (3, 0), (4, 2), (5, 2)]


def test_parts_can_be_left_out() -> None:
    """Headers, pieces of the query, keys of a body at any depth, the body, and waits without values."""
    workload = crossing().only({3, 4})
    parts = workload.parts()
    assert ("json", 2, ("more", "x")) in parts
    assert [part for part in parts if part[0] == "wait"] == []
    less = workload.less(
        [("header", 3, (0,)), ("query", 3, (1,)), ("json", 2, ("more", "x")), ("json", 2, ("name",))]
    )
    assert less.steps[0].json == {"more": {"y": 2}}
    assert (less.steps[1].headers, less.steps[1].query) == ((), (("fast=1",),))
    assert workload.less([("json", 2, ())]).steps[0].json is None
    freed = crossing().less([("wait", 5, (3,))])
    assert freed.waits()[5] == [4]
    assert ("wait", 5, (4,)) in freed.parts()


@given(st.data())
def test_order_is_never_lost(data: st.DataObject) -> None:
    """Whatever is left out: by its waits and its users' own order, each waits for all answers it had seen."""
    events: list[object] = []
    open_: list[tuple[int, int]] = []
    seq = 0
    for _ in range(data.draw(st.integers(1, 25))):
        idle = sorted(set(range(4)) - {user for user, _ in open_})
        if idle and (not open_ or data.draw(st.booleans())):
            seq += 1
            user = data.draw(st.sampled_from(idle))
            events.append(ask(seq, user, "GET", f"/{seq}"))
            open_.append((user, seq))
        else:
            one = data.draw(st.sampled_from(open_))
            open_.remove(one)
            events.append(answer(one[1], {}))
    whole = read(events)
    workload = whole.only(set(data.draw(st.lists(st.integers(1, max(seq, 1))))))
    waits = workload.waits()
    past: dict[int, set[int]] = {}
    last: dict[int, int] = {}
    for step in workload.steps:
        direct = {*waits[step.seq], *([last[step.user]] if step.user in last else [])}
        past[step.seq] = direct.union(*(past[one] for one in direct))
        last[step.user] = step.seq
        assert past[step.seq] == {one.seq for one in workload.steps if one.answered < step.sent}


def test_keys_that_cannot_be_written_are_no_origin() -> None:
    """A value behind a key that would need escaping stays literal."""
    workload = read(
        [ask(1, 0, "POST", "/a"), answer(1, {"it's": {"id": "abcdefgh"}}), ask(2, 0, "GET", "/abcdefgh")]
    )
    assert refs(workload) == {1: [], 2: []}


@pytest.mark.parametrize("seqs", [set(), {9}])
def test_nothing_is_a_case_too(seqs: set[int]) -> None:
    """Without requests there is nothing, and no error."""
    assert crossing().only(seqs).waits() == {}


def test_what_made_a_thing_goes_before_a_list_of_such_things() -> None:
    """Both name it; a shrunk workload may have the one request without the other."""
    made = Origin(Request(1, 0, "POST", "/items", ()), 0, ("id",))
    listed = Origin(Request(2, 0, "GET", "/items", ()), 0, ("items", 0, "id"))
    asked = Request(3, 0, "POST", "/items/3/reserve", ())
    assert likelihood(made, 3, asked, "", "/items") > likelihood(listed, 3, asked, "", "/items") > 0
