"""Record and replay in one of the three ways, again and again: what comes out, how often?

Each trial is ``loadgen record`` and ``loadgen verify`` as a user runs them, one seed each. What is not
identical is kept, with the reasons that loadgen gave, and the series goes on: this counts, it does not judge.

    python benchmarks/replay_modes.py --trace client|process|server [-c 8] [-n 10] [--seeds 20] [TARGET]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path


def loadgen(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "loadgen", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def main() -> None:
    """Run the series, and print a line a trial and the count of what came out."""
    parser = argparse.ArgumentParser(description="Three ways to replay: what comes out, how often?")
    parser.add_argument("target", nargs="?")
    parser.add_argument("--trace", default="client", help="client, process or server (default: client)")
    parser.add_argument("--concurrency", "-c", type=int, default=8)
    parser.add_argument("--iterations", "-n", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20, help="recordings, one seed each (default: 20)")
    parser.add_argument("--replays", type=int, default=1, help="of each recording (default: 1)")
    parser.add_argument("--scenario", default="mixed")
    options = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="loadgen-modes-"))
    target = [options.target] if options.target else []
    plan = ("-c", options.concurrency, "-n", options.iterations, "--trace", options.trace)
    outcomes: Counter[str] = Counter()
    for seed in range(1, options.seeds + 1):
        run = folder / f"seed-{seed}"
        given = ("--seed", seed, "--scenario", options.scenario, "--timeout", 20, "--run", run)
        recorded = loadgen("record", *target, *map(str, (*plan, *given)), "--json")
        requests = json.loads(recorded.stdout)["result"]["totals"]["requests"] if recorded.stdout else 0
        bad = bool(recorded.returncode)
        came = [f"not recorded: {recorded.stderr.strip().partition(chr(10))[0]}"] if bad else []
        for _ in range(0 if bad else options.replays):
            verdict = json.loads(loadgen("verify", str(run), "--json").stdout)
            why = "".join(f": {one['message'].partition(chr(10))[0]}" for one in verdict["reasons"][:1])
            came.append(verdict["verdict"] + why)
        outcomes.update(one.partition(" after")[0][:90] for one in came)
        print(f"seed {seed:>3}  {requests} requests  {'; '.join(came)}", flush=True)
        if any(one != "identical" for one in came):
            print(f"kept: {run}")
        else:
            shutil.rmtree(run)
    for outcome, times in outcomes.most_common():
        print(f"{times:>4} x {outcome}")
    if not any(folder.iterdir()):
        folder.rmdir()


if __name__ == "__main__":
    main()
