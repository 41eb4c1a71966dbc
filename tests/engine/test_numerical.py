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
    import json, sys, tempfile
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

    @app.get("/saved")
    def saved():
        array = np.random.random(1000)
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/array.npy"
            np.save(path, array)
            with open(path, "ab") as file:
                np.save(file, array * 2)
            with open(path, "rb") as file:
                pair = [np.load(file), np.load(file)]
            np.savez(folder + "/pair", *pair)
            with np.load(folder + "/pair.npz") as packed:
                kept = packed["arr_1"]
            mapped = np.load(path, mmap_mode="r")[3]
        return jsonify([bool((array == pair[0]).all()), bool((kept == array * 2).all()), mapped, array[3]])

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


@pytest.mark.parametrize("concurrency", [1, 8])
def test_files_of_arrays(bench: Bench, concurrency: int) -> None:
    """What is saved is loaded, in a replay, too."""
    answers = []

    async def ask(user: User) -> None:
        answers.append((await user.http.get("/saved")).json())

    created = "app = Flask(__name__)"
    often = SERVER.replace(created, f"{created}\n    sys.setswitchinterval(1e-6)", 1)
    scenario = Scenario("asking", "asks", ask)
    recorded = bench.record(bench.script(often), scenario, concurrency=concurrency, iterations=3)
    # The first requests import parts of NumPy: none waits for an import with the turn that another needs.
    assert "does not record" not in recorded.run.log.read_text()
    assert all(answer[:2] == [True, True] and answer[2] == answer[3] for answer in answers)
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:2]
