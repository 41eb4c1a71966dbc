"""How many trials a hunt needs for each planted race, and whether its fixed twin is left alone.

    python benchmarks/races.py FOLDER [--only counter,rename] [--seeds 20] [--points lines] [--parts racy]
    python benchmarks/races.py FOLDER --table

A part is a planted race with its points, its Python, and what is done: ``racy`` hunts until something breaks,
``--most`` trials at most, reduces the failure and replays it 20 times, as ``loadgen races`` does; ``twins``
hunts the fixed application, where a finding is an error; ``turns`` and ``parallel`` record as often without
a strategy. Each part is a file in FOLDER, written after each seed: started again, the benchmark goes on
where it was. ``--table`` prints what the documentation has.
"""

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
from msgspec.structs import replace
from planted.applications import PLANTED, Planted

from loadgen.check import invariants
from loadgen.client.session import Stop
from loadgen.core.spec import Explore, Load, Points, RunSpec, ScenarioTraffic, Schedule
from loadgen.hunt.races.hunting import LIMIT, Setting, hunt
from loadgen.hunt.races.narrowing import Narrowed, Narrowing, replayed
from loadgen.hunt.races.trial import attempt
from loadgen.store.files import write_json

PYTHON = ".".join(platform.python_version_tuple()[:2])
COLUMNS = ("race", "found", "trials: median, most", "seconds: median, most", "replays identical",
           "lines right", "twin reported", "turns", "parallel")  # fmt: skip
Hunt = dict[str, Any]


def setting(planted: Planted, folder: Path, seed: int, points: Points, most: int, *, fixed: bool) -> Setting:
    """Write an application into *folder*, and return how it is hunted."""
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
    return Setting(spec, invariants(spec.invariants), work, seconds=3600, seed=1000 * seed, most=most)


async def explored(where: Setting, planted: Planted, *, fixed: bool) -> Hunt:
    """Hunt once; what is found is reduced and replayed, but for a twin."""
    began = monotonic()
    found = await hunt(where, Stop(), lambda *_: None)
    figures: Hunt = {
        "found": found.found is not None,
        "trials": found.trials - 1,
        "without_race": found.without_race,
        "what": found.found.broken[0].message if found.found else "",
        "failed_trials": found.failed,
        "why": found.why,
        "found_after": round(found.seconds, 1),
    }
    if found.found is not None and found.spec is not None and not fixed:
        narrowed = await Narrowing(where, found.spec, found.found, Stop(), lambda _: None).narrow(
            found.measured
        )
        same, of = await replayed(narrowed.tried.run, where.limit)
        figures |= {
            "requests": narrowed.tried.requests,
            "preemptions": sum(one.is_preemption for one in narrowed.script),
            "repeats": narrowed.repeats,
            "lines": _lines(narrowed, planted),
            "identical": same,
            "replays": of,
        }
    return {**figures, "seconds": round(monotonic() - began, 1)}


def _lines(narrowed: Narrowed, planted: Planted) -> list[str]:
    """Return the code of the line that was stopped and of the one that ran in between, if it was found."""
    if narrowed.pair is None:
        return []
    code = planted.source(fixed=False).splitlines()
    return [
        code[int(at.partition(" ")[0].rpartition(":")[2]) - 1].strip()
        for at in (narrowed.pair.at, narrowed.pair.ran)
    ]


async def plain(where: Setting, schedule: Schedule, most: int) -> Hunt:
    """Record until something breaks, with the threads in turns or in parallel."""
    spec = replace(where.spec, schedule=schedule, explore=Explore())
    for number in range(1, most + 1):
        tried = await attempt(spec, where.folder / str(number), where.invariants, LIMIT)
        if tried.broken:
            return {"found": True, "trials": number, "what": tried.broken[0].message}
    return {"found": False, "trials": most, "what": ""}


def once(planted: Planted, part: str, seed: int, points: Points, most: int) -> Hunt:
    """Make one hunt of a part; return its figures."""
    folder = Path(tempfile.mkdtemp(prefix=f"loadgen-{planted.name}-"))
    try:
        where = setting(planted, folder, seed, points, most, fixed=part == "twins")
        call: Callable[[], Any]
        if part in {"turns", "parallel"}:
            call = lambda: plain(where, Schedule(part), most)  # noqa: E731
        else:
            call = lambda: explored(where, planted, fixed=part == "twins")  # noqa: E731
        return {"seed": seed, **anyio.run(call)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parts(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the parts in *folder*."""
    for path in sorted(folder.glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def table(folder: Path) -> str:
    """Return the documentation's tables: one for each Python and kind of points."""
    found = list(parts(folder))
    lines = []
    for python, points in sorted({(one["python"], one["points"]) for one in found if one["part"] == "racy"}):
        mine = {(one["race"], one["part"]): one["hunts"] for one in found if one["python"] == python
                and (one["points"] == points or one["part"] in {"turns", "parallel"})}  # fmt: skip
        lines += [
            f"Python {python}, `--points {points}`:",
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"|{' --- |' * len(COLUMNS)}",
            *(_row(planted, mine) for planted in PLANTED if (planted.name, "racy") in mine),
            "",
        ]
    return "\n".join(lines)


def _row(planted: Planted, mine: dict[tuple[str, str], list[Hunt]]) -> str:
    racy = mine[planted.name, "racy"]
    broken = [one for one in racy if one["found"]]
    trials, seconds = [one["trials"] for one in broken], [one["seconds"] for one in broken]
    explained = [one["lines"] for one in broken if one["lines"]]
    cells = [
        planted.name,
        f"{len(broken)} of {len(racy)}",
        f"{statistics.median(trials):g}, {max(trials)}" if trials else "",
        f"{statistics.median(seconds):.0f}, {max(seconds):.0f}" if seconds else "",
        f"{sum(one['identical'] for one in broken)} of {sum(one['replays'] for one in broken)}",
        f"{sum(map(_is_right, explained))} of {len(explained)}" if explained else "",
        *(_found(mine.get((planted.name, part))) for part in ("twins", "turns", "parallel")),
    ]
    return f"| {' | '.join(cells)} |"


def _is_right(lines: list[str]) -> bool:
    """Whether both lines of an explanation are marked as such in the planted source."""
    return all(mark in line.rpartition("#")[2] for mark, line in zip(("stopped", "ran"), lines, strict=True))


def _found(hunts: list[Hunt] | None) -> str:
    return "" if hunts is None else f"{sum(one['found'] for one in hunts)} of {len(hunts)}"


def main() -> None:
    """Hunt, and keep each part; print a line for each hunt."""
    parser = argparse.ArgumentParser(description="How many trials does a hunt need?")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", action="store_true", help="print the tables of what was measured")
    parser.add_argument("--only", default=",".join(one.name for one in PLANTED), metavar="NAME,...")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--points", choices=[str(one) for one in Points], default="lines")
    parser.add_argument("--parts", default="racy,twins", metavar="racy,twins,turns,parallel")
    parser.add_argument("--most", type=int, default=20, help="trials of a hunt")
    options = parser.parse_args()
    if options.table:
        print(table(options.folder))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for planted in (one for one in PLANTED if one.name in options.only.split(",")):
        for part in options.parts.split(","):
            file = options.folder / f"{planted.name}-{part}-{options.points}-{PYTHON}.json"
            about = {"race": planted.name, "part": part, "points": options.points, "python": PYTHON}
            hunts = json.loads(file.read_text(encoding="utf-8"))["hunts"] if file.exists() else []
            for seed in sorted({*range(1, options.seeds + 1)} - {one["seed"] for one in hunts}):
                hunts.append(once(planted, part, seed, Points(options.points), options.most))
                write_json(file, {**about, "hunts": hunts})
                print(json.dumps({**about, **hunts[-1]}), flush=True)
            wrong += part == "twins" and any(one["found"] for one in hunts)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
