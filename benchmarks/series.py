"""Record and verify again and again, one seed each: how often is the replay identical, and how fast is it?

A concurrency bug is a rare event, so one pass says little. Each trial is ``loadgen record`` and ``loadgen
verify`` as a user runs them; a trial that is not identical ends the series with exit code 1, and its run
folder is kept. The ratio of times compares the two sides of the same trial, replay to recording: of the
session alone (the same requests), and of the whole commands.

    python benchmarks/series.py [--concurrency 8] [--seeds 20] [--iterations 10] [--runtime local]
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def loadgen(*arguments: str) -> tuple[int, Any, float]:
    """Run a command with ``--json``; return its exit code, what it printed, and its wall seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "loadgen", *arguments, "--json"], check=False, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    if not done.stdout:
        sys.exit(f"loadgen {' '.join(arguments)} failed ({done.returncode}):\n{done.stderr}")
    return done.returncode, json.loads(done.stdout), seconds


def main() -> None:
    """Run the series and print a line a trial, and the summary."""
    parser = argparse.ArgumentParser(description="How often is a replay identical, and how fast is it?")
    parser.add_argument("--concurrency", "-c", type=int, default=8)
    parser.add_argument("--iterations", "-n", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20, help="trials, one seed each (default: 20)")
    parser.add_argument("--scenario", default="mixed")
    parser.add_argument("--runtime", default="local", help="local, or docker")
    options = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="loadgen-series-"))
    identical, sessions, commands = 0, [], []
    where = ("--runtime", options.runtime)
    for seed in range(1, options.seeds + 1):
        run = folder / f"seed-{seed}"
        plan = ("-c", str(options.concurrency), "-n", str(options.iterations), "--seed", str(seed))
        _, recorded, record_seconds = loadgen(
            "record", *plan, "--scenario", options.scenario, "--run", str(run), *where
        )
        code, verdict, verify_seconds = loadgen("verify", str(run), *where)
        sessions.append(verdict["seconds"]["replay"] / verdict["seconds"]["recording"])
        commands.append(verify_seconds / record_seconds)
        print(
            f"seed {seed:>3}  {verdict['verdict']:<12}  {recorded['result']['totals']['requests']} requests  "
            f"replay/record: session {sessions[-1]:.2f}, command {commands[-1]:.2f}",
            flush=True,
        )
        if code:
            print(f"not identical; kept: {run}")
        else:
            identical += 1
            shutil.rmtree(run)
    print(
        f"identical {identical} of {options.seeds} at concurrency {options.concurrency}; "
        f"median ratio replay/record: session {statistics.median(sessions):.2f}, "
        f"command {statistics.median(commands):.2f}"
    )
    if identical == options.seeds:
        folder.rmdir()
    sys.exit(identical != options.seeds)


if __name__ == "__main__":
    main()
