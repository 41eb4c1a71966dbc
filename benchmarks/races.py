"""How many trials a hunt needs for each planted race, and whether its fixed twin is left alone.

    python benchmarks/races.py [--only counter,rename] [--seeds 20] [--points lines] [--most 20] [--twins]

For each planted race and seed, the hunt records until something breaks, ``--most`` trials at most: a line a
hunt on standard output, as JSON. With ``--twins`` the fixed applications are hunted, where a finding is an
error.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import anyio
from planted.applications import PLANTED, Planted

from loadgen.check import invariants
from loadgen.client.session import Stop
from loadgen.core.spec import Explore, Load, Points, RunSpec, ScenarioTraffic
from loadgen.hunt.races.hunting import Setting, hunt


def hunted(planted: Planted, seed: int, points: Points, most: int, *, fixed: bool) -> dict[str, object]:
    """Hunt once; return the figures."""
    folder = Path(tempfile.mkdtemp(prefix=f"loadgen-{planted.name}-"))
    try:
        (folder / "app.py").write_text(planted.source(fixed=fixed), encoding="utf-8")
        (folder / "load.py").write_text(planted.scenario(), encoding="utf-8")
        spec = RunSpec(
            target=(str(folder / "app.py"),),
            cwd=str(folder),
            load=Load(concurrency=8, iterations=2, seed=seed, timeout=20),
            traffic=ScenarioTraffic(scenario=str(folder / "load.py")),
            explore=Explore(points=points),
            invariants=planted.invariants,
        )
        work = folder / "hunt"
        work.mkdir()
        # Seeds of one hunt are not those of the next.
        where = Setting(spec, invariants(spec.invariants), work, seconds=3600, seed=1000 * seed, most=most)
        found = anyio.run(hunt, where, Stop(), lambda *_: None)
        return {
            "race": planted.name,
            "fixed": fixed,
            "points": str(points),
            "seed": seed,
            "trials": found.trials - 1,
            "found": found.found is not None,
            "without_race": found.without_race,
            "what": found.found.broken[0].message if found.found else "",
            "failed_trials": found.failed,
            "why": found.why,
            "seconds": round(found.seconds, 1),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Hunt, and print a line for each hunt."""
    parser = argparse.ArgumentParser(description="How many trials does a hunt need?")
    parser.add_argument("--only", default=",".join(one.name for one in PLANTED), metavar="NAME,...")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--points", choices=[str(one) for one in Points], default="lines")
    parser.add_argument("--most", type=int, default=20, help="trials of a hunt")
    parser.add_argument("--twins", action="store_true", help="hunt the fixed twins")
    options = parser.parse_args()
    names, wrong = options.only.split(","), 0
    for planted in PLANTED:
        for seed in range(1, options.seeds + 1) if planted.name in names else ():
            points = Points(options.points)
            figures = hunted(planted, seed, points, options.most, fixed=options.twins)
            wrong += options.twins and bool(figures["found"])
            print(json.dumps(figures), flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
