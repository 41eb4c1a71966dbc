"""How many trials a hunt needs for each planted race, and whether its fixed twin is left alone.

    python benchmarks/races.py FOLDER [--only counter,rename] [--seeds 20] [--points lines] [--parts racy]
    python benchmarks/races.py FOLDER --table

A part is what is done with the planted races: ``racy`` hunts until something breaks, ``--most`` trials at
most, reduces the failure and replays it 20 times, as ``loadgen races`` does; ``twins`` hunts the fixed
applications, where a finding is an error; ``turns`` and ``parallel`` record as often without a strategy. With
``--strategies pct:3``, ``racy`` and ``twins`` use only this strategy, and what is found is not reduced.

Each part, with its points and its Python, is a file in FOLDER with a line for each hunt. Started again, the
benchmark goes on where it was. ``--table`` prints what the documentation has, which is made from the files in
``benchmarks/planted/results``. After a change of the strategies, delete the files and measure again: each
line has the digest of the loadgen that made it.
"""

import argparse
import json
import platform
import resource
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
from msgspec.structs import replace
from planted.applications import PLANTED, Planted

from loadgen.check import invariants
from loadgen.core.spec import Explore, Load, Points, RunSpec, ScenarioTraffic, Schedule
from loadgen.core.stop import Stop
from loadgen.engine import retrace
from loadgen.hunt.fleet import LocalFleet
from loadgen.hunt.races.hunting import LIMIT, ROTATION, Setting, hunt
from loadgen.hunt.races.narrowing import Narrowed, Narrowing
from loadgen.hunt.races.trial import attempt

PYTHON = ".".join(platform.python_version_tuple()[:2])
COLUMNS = ("race", "found", "trials: median, most", "seconds: median, most", "processor time",
           "replays identical", "lines right", "twin reported", "turns", "parallel")  # fmt: skip
BY_STRATEGY = ("race", *ROTATION)
Hunt = dict[str, Any]
Hunts = dict[str, list[Hunt]]
MARKS = ("stopped", "ran")
CODE = retrace.versions()["package"]


@dataclass(frozen=True, slots=True)
class Part:
    """What is done with a planted race, and how."""

    name: str
    points: Points
    most: int
    """Trials of a hunt."""
    strategies: tuple[str, ...] = ROTATION

    @property
    def file(self) -> str:
        """The name of its file."""
        only = () if self.strategies == ROTATION else ("+".join(self.strategies).replace(":", ""),)
        points = () if self.name in {"turns", "parallel"} else (str(self.points),)
        return f"{'-'.join((self.name, *points, *only, PYTHON))}.jsonl"

    @property
    def fixed(self) -> bool:
        """Whether it hunts the twin."""
        return self.name == "twins"


def setting(planted: Planted, folder: Path, seed: int, part: Part, fleet: LocalFleet) -> Setting:
    """Write an application into *folder*, and return how it is hunted."""
    (folder / "app.py").write_text(planted.source(fixed=part.fixed), encoding="utf-8")
    (folder / "load.py").write_text(planted.scenario(), encoding="utf-8")
    spec = RunSpec(
        target=(str(folder / "app.py"),),
        cwd=str(folder),
        load=Load(concurrency=8, iterations=2, seed=seed, timeout=20),
        traffic=ScenarioTraffic(scenario=str(folder / "load.py")),
        explore=Explore(points=part.points),
        invariants=planted.invariants,
    )
    work = folder / "hunt"
    work.mkdir()
    return Setting(
        spec,
        invariants(spec.invariants),
        work,
        fleet,
        seconds=3600,
        seed=1000 * seed,  # seeds of one hunt are not those of the next
        most=part.most,
        strategies=part.strategies,
    )


async def explored(where: Setting, planted: Planted, *, narrow: bool) -> Hunt:
    """Hunt once; with *narrow*, what is found is reduced and replayed."""
    began, before = monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
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
    if found.found is not None and found.spec is not None and narrow:
        narrowing = Narrowing(where, found.spec, found.found, Stop(), lambda _: None)
        narrowed = await narrowing.narrow()
        figures |= {
            "requests": narrowed.tried.requests,
            "preemptions": sum(one.is_preemption for one in narrowed.script),
            "narrowing": narrowed.trials,
            "repeats": narrowed.repeats,
            "lines": _lines(narrowed, planted),
            "identical": narrowed.replays[0],
            "replays": narrowed.replays[1],
        }
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**figures, "seconds": round(monotonic() - began, 1), "cpu": round(cpu, 1)}


def _lines(narrowed: Narrowed, planted: Planted) -> list[str]:
    """Return the code of the line that was stopped and of the one that ran in between, if it was found."""
    if narrowed.pair is None:
        return []
    code = planted.source(fixed=False).splitlines()
    return [
        _without_marks(code[int(at.partition(" ")[0].rpartition(":")[2]) - 1])
        for at in (narrowed.pair.at, narrowed.pair.ran)
    ]


def _without_marks(line: str) -> str:
    return line.partition("  #")[0].strip()


async def plain(where: Setting, schedule: Schedule, most: int) -> Hunt:
    """Record until something breaks, with the threads in turns or in parallel."""
    spec = replace(where.spec, schedule=schedule, explore=Explore())
    for number in range(1, most + 1):
        tried = await attempt(where.fleet, spec, where.folder / str(number), where.invariants, LIMIT)
        if tried.broken:
            return {"found": True, "trials": number, "what": tried.broken[0].message}
    return {"found": False, "trials": most, "what": ""}


def once(planted: Planted, part: Part, seed: int) -> Hunt:
    """Make one hunt of a part; return its figures."""
    folder = Path(tempfile.mkdtemp(prefix=f"loadgen-{planted.name}-"))
    try:

        async def call() -> Hunt:
            async with LocalFleet(1) as fleet:
                where = setting(planted, folder, seed, part, fleet)
                if part.name in {"turns", "parallel"}:
                    return await plain(where, Schedule(part.name), part.most)
                narrow = not part.fixed and part.strategies == ROTATION
                return await explored(where, planted, narrow=narrow)

        return {"race": planted.name, "seed": seed, "loadgen": CODE, **anyio.run(call)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hunts_in(file: Path) -> dict[str, list[Hunt]]:
    """Return the hunts in a part's file, by race."""
    found: dict[str, list[Hunt]] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            hunt = json.loads(line)
            found.setdefault(hunt["race"], []).append(hunt)
    return found


def table(folder: Path) -> str:
    """Return the documentation's tables: those of each Python and kind of points."""
    found = {file.stem: hunts_in(file) for file in sorted(folder.glob("*.jsonl"))}
    lines = []
    for python, points in (("3.12", "lines"), ("3.11", "lines"), ("3.12", "calls"), ("3.11", "calls")):
        racy = found.get(f"racy-{points}-{python}")
        if racy is None:
            continue
        names = (
            f"racy-{points}-{python}",
            f"twins-{points}-{python}",
            f"turns-{python}",
            f"parallel-{python}",
        )
        mine = [found.get(name, {}) for name in names]
        lines += [f"CPython {python}, `--points {points}`:", "", *_head(COLUMNS)]
        lines += [_row(planted, *mine) for planted in PLANTED if planted.name in racy]
        lines.append("")
        single = [found.get(f"racy-{points}-{one.replace(':', '')}-{python}", {}) for one in ROTATION]
        if any(single):
            lines += [f"Found with one strategy alone, CPython {python}, `--points {points}`:", ""]
            lines += _head(BY_STRATEGY)
            lines += [
                f"| {' | '.join((planted.name, *(_trials(one.get(planted.name)) for one in single)))} |"
                for planted in PLANTED
            ]
            lines.append("")
    return "\n".join(lines)


def _head(columns: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]


def _row(planted: Planted, racy: Hunts, *others: Hunts) -> str:
    name = planted.name
    broken = [one for one in racy[name] if one["found"]]
    trials, seconds = [one["trials"] for one in broken], [one["seconds"] for one in broken]
    cpu = [one["cpu"] for one in broken if "cpu" in one]
    explained = [one["lines"] for one in broken if one["preemptions"] == 1]
    cells = [
        name,
        _found(racy[name]),
        f"{statistics.median(trials):g}, {max(trials)}" if trials else "",
        f"{statistics.median(seconds):.0f}, {max(seconds):.0f}" if seconds else "",
        f"{statistics.median(cpu):.0f} s" if cpu else "",
        f"{sum(one['identical'] for one in broken)} of {sum(one['replays'] for one in broken)}",
        f"{sum(_is_right(planted, one) for one in explained)} of {len(explained)}" if explained else "",
        *(_found(one.get(name)) for one in others),
    ]
    return f"| {' | '.join(cells)} |"


def _trials(hunts: list[Hunt] | None) -> str:
    """Return how many hunts found something, and after how many trials in the median."""
    trials = [one["trials"] for one in hunts or () if one["found"]]
    return f"{_found(hunts)}, {statistics.median(trials):g}" if trials else _found(hunts)


def _is_right(planted: Planted, lines: list[str]) -> bool:
    """Whether both lines of an explanation are marked as such in the planted source."""
    code = planted.source(fixed=False).splitlines()
    marked = [{_without_marks(line) for line in code if mark in line.partition("  #")[2]} for mark in MARKS]
    return len(lines) == len(MARKS) and all(map(set.__contains__, marked, lines))


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
    parser.add_argument("--strategies", metavar="pct:3,...", help="hunt with these only, and reduce nothing")
    parser.add_argument("--most", type=int, default=20, help="trials of a hunt")
    options = parser.parse_args()
    if options.table:
        print(table(options.folder))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    strategies = tuple(options.strategies.split(",")) if options.strategies else ROTATION
    parts = [
        Part(name, Points(options.points), options.most, strategies) for name in options.parts.split(",")
    ]
    races = [one for one in PLANTED if one.name in options.only.split(",")]
    wrong = False
    for seed in range(1, options.seeds + 1):  # interrupted, it has measured every race equally often
        for part in parts:
            file = options.folder / part.file
            known = hunts_in(file)
            for planted in races:
                if any(one["seed"] == seed for one in known.get(planted.name, ())):
                    continue
                made = once(planted, part, seed)
                wrong = wrong or (part.fixed and made["found"])
                line = json.dumps(made)
                with file.open("a", encoding="utf-8") as out:
                    out.write(f"{line}\n")
                print(f"{file.stem}: {line}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
