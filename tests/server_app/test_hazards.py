"""The hazards: off by default, each with one source of nondeterminism; those of concurrency really race."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from loadgen.client.hazard_scenario import _service
from server_app import create_app
from server_app.hazards import HAZARDS
from tests.server_app.test_server_app import serving

if TYPE_CHECKING:
    from pathlib import Path

USERS, TURNS = 8, 2
SLOW = {"name_not_found", *(each.name for each in HAZARDS.values() if each.needs)}
"""They ask name servers, which take their time where there is no network, or import much."""

Answers = dict[tuple[int, int], tuple[int, bytes]]


def ask(url: str, name: str) -> Answers:
    """Let some users ask for a hazard at once, each several times."""
    where = urlsplit(url).netloc
    together = threading.Barrier(USERS)

    def live(user: int) -> Answers:
        connection = http.client.HTTPConnection(where, timeout=60)
        found = {}
        together.wait(60)
        for turn in range(TURNS):
            connection.request("GET", f"/hazards/{name}?user={user}&turn={turn}&service={_service()}")
            answer = connection.getresponse()
            found[user, turn] = (answer.status, answer.read())
        connection.close()
        return found

    with ThreadPoolExecutor(USERS) as users:
        return {key: answer for found in users.map(live, range(USERS)) for key, answer in found.items()}


def served(folder: Path, names: list[str]) -> dict[str, Answers]:
    """Return what a new server with hazards answers, by hazard."""
    folder.mkdir()
    with serving(folder, "--hazards", ",".join(names)) as server:
        return {name: ask(server.url, name) for name in names}


def test_off_by_default() -> None:
    """Nobody is served an endpoint that starts processes who did not ask for it."""
    client = create_app(":memory:").test_client()
    assert client.get("/hazards").status_code == 404
    assert client.get("/hazards/wall_clock").status_code == 404


def test_an_unknown_hazard_is_refused() -> None:
    """A name that is none ends the server before it serves, with the name."""
    done = subprocess.run(
        [sys.executable, "-m", "server_app", "--hazards", "wall_clock,nope"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "no such hazard: nope" in done.stderr


def test_each_says_what_it_shows() -> None:
    """The register has a sentence of its own for each."""
    told = [each.shows for each in HAZARDS.values()]
    assert all(told)
    assert len(set(told)) == len(told)


@pytest.mark.slow
def test_each_is_nondeterministic(tmp_path: Path) -> None:
    """The same requests, asked of two servers at once by several users, are not answered the same."""
    names = [name for name in HAZARDS if name not in SLOW]
    one, other = served(tmp_path / "one", names), served(tmp_path / "other", names)
    for name in names:
        statuses = Counter(status for answers in (one, other) for status, _ in answers[name].values())
        assert set(statuses) == {200}, (name, one[name])
    assert [name for name in names if one[name] == other[name]] == []


@pytest.mark.slow
def test_the_races_are_races(tmp_path: Path) -> None:
    """Without a lock updates are lost, with computation alone in between too; with a lock none is."""
    racing, locked = (
        ["shared_state", "shared_state_in_memory"],
        ["shared_state_locked", "shared_state_rlocked"],
    )

    def lost(url: str, name: str) -> int:
        seen = [count for _, body in ask(url, name).values() for count in json.loads(body)]
        assert len(seen) == 10 * USERS * TURNS
        return len(seen) - len(set(seen))

    with serving(tmp_path, "--hazards", ",".join((*racing, *locked))) as server:
        assert [name for name in locked if lost(server.url, name)] == []
        for name in racing:  # on a busy machine users may come one after the other
            assert any(lost(server.url, name) for _ in range(20)), name


@pytest.mark.parametrize("named", [["wall_clock"], ["uuid4", "urandom"]])
def test_the_index_lists_what_is_served(tmp_path: Path, named: list[str]) -> None:
    """Those that were named are served, and no other."""
    with serving(tmp_path, "--hazards", ",".join(named)) as server:
        assert [each["name"] for each in server.ask("/hazards").body] == named
        assert server.ask("/hazards/object_id").status == 404
