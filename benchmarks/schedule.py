"""What it costs to record in turns, one thread's code at a time, instead of in parallel.

Both ways record the same sessions of the bundled server, one after the other, again and again (turns,
parallel, turns, parallel, ...), so what disturbs the machine for a while disturbs both; each is verified.
Read the ratios, turns to parallel, of the same round: above 1, turns are faster (rate), or slower (the rest).
``cpu`` is the processor time of client and server while recording. With ``--ways points,turns``: what an
explored schedule costs in which no thread is stopped; with ``--ways points,choosing``: its points alone.

    python benchmarks/schedule.py [--concurrency 8] [--rounds 5] [--iterations 20] [--ways turns,parallel]

The run fails if a replay is not identical, never because one was slow.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WAYS = {
    "turns": ("--schedule", "turns"),
    "parallel": ("--schedule", "parallel"),
    "points": ("--schedule", "explore", "--strategy", "none", "--points", "lines"),
    "choosing": ("--schedule", "explore", "--strategy", "none", "--points", "none"),
    "calls": ("--schedule", "explore", "--strategy", "none", "--points", "calls"),
}


def loadgen(*arguments: str) -> Any:
    """Run a command with ``--json`` and return what it printed."""
    command = [sys.executable, "-m", "loadgen", *arguments, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"loadgen {' '.join(arguments)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout)


def trial(folder: Path, way: str, plan: list[str]) -> dict[str, float]:
    """Record and verify once; return its figures."""
    run = folder / way
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    totals = loadgen("record", *WAYS[way], "--run", str(run), *plan)["result"]["totals"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # the server's, too, which its parent has waited for
    verdict = loadgen("verify", str(run))
    shutil.rmtree(run)
    return {
        "rate": totals["requests"] / totals["seconds"],
        "p50": totals["p50_ms"],
        "p99": totals["p99_ms"],
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "replay": verdict["seconds"]["replay"],
    }


def main() -> None:
    """Run the rounds and print a line each, and the medians."""
    parser = argparse.ArgumentParser(description="What does it cost to record in turns?")
    parser.add_argument("--concurrency", "-c", type=int, default=8)
    parser.add_argument("--iterations", "-n", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", default="turns,parallel", help=f"two of {', '.join(WAYS)}")
    options = parser.parse_args()
    one, other = options.ways.split(",")
    plan = ["-c", str(options.concurrency), "-n", str(options.iterations)]

    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="loadgen-schedule-") as folder:
        for number in range(options.rounds):
            these, those = (trial(Path(folder), way, plan) for way in (one, other))
            for name, value in these.items():
                ratios.setdefault(name, []).append(value / those[name])
            shown = ", ".join(f"{name} {values[-1]:.2f}" for name, values in ratios.items())
            print(f"round {number + 1}: {these['rate']:.0f}/s and {those['rate']:.0f}/s; {shown}", flush=True)
    medians = ", ".join(f"{name} {statistics.median(values):.2f}" for name, values in ratios.items())
    print(f"{one}/{other} at concurrency {options.concurrency}, medians of {options.rounds}: {medians}")


if __name__ == "__main__":
    main()
