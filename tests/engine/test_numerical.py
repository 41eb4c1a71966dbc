"""NumPy's generators give the same numbers recorded as unrecorded, and in a replay."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

SERVER = """
    import json, sys
    import numpy as np
    from flask import Flask, jsonify

    app = Flask(__name__)

    def seeded():
        np_state = np.random.RandomState(7)
        children = np.random.SeedSequence(5).spawn(2)
        return [
            np.random.default_rng(3).random(), np.random.default_rng(3).integers(0, 9, 5).tolist(),
            np_state.rand(), [np.random.default_rng(child).random() for child in children],
            np.random.Generator(np.random.MT19937(4)).normal(), float(np.linalg.norm(np.arange(9.0))),
        ]

    @app.get("/drawn")
    def drawn():
        fresh = [np.random.default_rng().random(), np.random.RandomState().rand()]
        order = np.arange(5)
        np.random.shuffle(order)
        shared = [np.random.random(), np.random.normal(size=2).tolist(), order.tolist()]
        entropy = str(np.random.SeedSequence().entropy)
        return jsonify(seeded(), fresh, shared, entropy)

    if __name__ == "__main__":
        print(json.dumps(seeded())) if sys.argv[1:] else app.run()
"""


@pytest.mark.parametrize("concurrency", [1, 8])
def test_generators(bench: Bench, concurrency: int) -> None:
    """Seeded ones draw what they draw unrecorded; all others, in a replay, what was recorded."""
    script = bench.script(SERVER)
    plain = subprocess.run([sys.executable, script, "print"], capture_output=True, text=True, check=True)
    expected, answers = json.loads(plain.stdout), []

    async def ask(user: User) -> None:
        answers.append((await user.http.get("/drawn")).json())

    recorded = bench.record(script, Scenario("asking", "asks", ask), concurrency=concurrency, iterations=3)
    assert recorded.totals.statuses == {200: concurrency * 3}
    assert all(answer[0] == expected for answer in answers)
    assert len({json.dumps(answer[1:]) for answer in answers}) == len(answers)
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:2]
