"""Times that are made of the application's own classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

SERVER = """
    from datetime import datetime, timedelta, timezone, tzinfo
    from zoneinfo import ZoneInfo
    from flask import Flask, jsonify

    app = Flask(__name__)

    class Zone(tzinfo):
        def __init__(self, minutes, name):  # without what pickle needs
            self.offset, self.name = timedelta(minutes=minutes), name
        def utcoffset(self, at): return self.offset
        def tzname(self, at): return self.name
        def dst(self, at): return timedelta(0)

    class Moment(datetime):
        pass

    ZONE = Zone(60, "one")

    @app.get("/made")
    def made():
        times = [datetime.now(ZONE), Moment.now(ZONE), Moment.now(), Moment.utcnow(), Moment.today(),
                 datetime.now(), datetime.now(tz=ZoneInfo("Europe/Berlin")), datetime.now(timezone.utc),
                 datetime.now(None)]
        try:
            datetime.now(5)
        except TypeError as error:
            refused = str(error)
        kinds = [type(one).__name__ for one in times]
        kinds += [times[0].tzinfo is ZONE, times[1].tzinfo is ZONE, refused]
        return jsonify(kinds, [one.isoformat() for one in times])

    app.run()
"""


def test_own_classes(bench: Bench) -> None:
    """A subclass makes its own objects, in a time zone that cannot be unpickled as well."""
    kinds = []

    async def ask(user: User) -> None:
        kinds.append((await user.http.get("/made")).json()[0])

    scenario = Scenario("asking", "gets a path", ask)
    bench.record(bench.script(SERVER), scenario, concurrency=2, iterations=2)
    refused = "tzinfo argument must be None or of a tzinfo subclass, not type 'int'"
    plain = ["datetime", *["Moment"] * 4, *["datetime"] * 4, True, True, refused]
    assert kinds == [plain] * 4
    assert bench.verify().verdict.judgement is Judgement.IDENTICAL
