"""Does a verification tell a refactoring from a bug? A confusion matrix, of changes made by hand.

A copy of the bundled server is recorded. Each change of ``changes.toml`` is then made, verified with every
recording, and put back.

    python benchmarks/changed_code.py [--runs 3] [--concurrency 1 8] [--only WORD] [--json FILE]

A bug that the scenario reaches, and that is called identical, fails the run.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import server_app

NAMES = {0: "identical", 1: "diverged", 3: "undetermined"}
KINDS = ("harmless", "bug", "unreached")
LOAD = ("--scenario", "mixed")


def loadgen(*arguments: str) -> tuple[int, Any]:
    """Run a command with ``--json``; return its exit code and what it printed."""
    command = [sys.executable, "-m", "loadgen", *arguments, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        sys.exit(f"loadgen {' '.join(arguments)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")


def copied(folder: Path) -> Path:
    """Copy the bundled server, under another name, so that it can be changed."""
    package = folder / "shop"
    shutil.copytree(Path(server_app.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in package.rglob("*.py"):
        path.write_text(path.read_text().replace("server_app", "shop"))
    return package


def record(folder: Path, options: argparse.Namespace) -> list[str]:
    """Record the server as often as wanted; return the runs' folders."""
    runs = []
    for concurrency in options.concurrency:
        for number in range(options.runs):
            runs.append(str(folder / f"{concurrency}-{number}"))
            plan = ("-c", str(concurrency), "-n", str(options.iterations), "--seed", str(number))
            code, said = loadgen(
                "record", "shop.app:create_app", "--cwd", str(folder), *plan, "--run", runs[-1], *LOAD
            )
            if code:
                sys.exit(f"the recording failed: {said}")
    return runs


def tried(package: Path, change: dict[str, Any], runs: list[str]) -> tuple[Counter[str], str]:
    """Make a change, verify it with every run, and put it back; return the verdicts, and what one says."""
    path = package / change["file"]
    before = after = path.read_text()
    for old, new in change["replace"]:
        if old not in after:
            sys.exit(f"{change['name']}: {change['file']} has no {old!r}")
        after = after.replace(old, new)
    verdicts, said = Counter[str](), ""
    try:
        path.write_text(after)
        for run in runs:
            code, verdict = loadgen("verify", run)
            verdicts[NAMES[code]] += 1
            said = said or _said(verdict)
    finally:
        path.write_text(before)
    return verdicts, said


def _said(verdict: dict[str, Any]) -> str:
    """Return the first thing that a verdict says of what changed."""
    for cause in verdict.get("causes", ()):
        return str(cause["headline"])
    for reason in verdict.get("reasons", ()):
        return str(reason["message"])
    return ", ".join(verdict.get("asked") or ())


def main() -> None:
    """Run all and print a line for each change, and the matrix."""
    parser = argparse.ArgumentParser(description="Does a verification tell a refactoring from a bug?")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", "-c", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--iterations", "-n", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--only", default="", help="changes whose names have this word")
    parser.add_argument("--json", type=Path, help="write what came of each change into this file")
    options = parser.parse_args()
    changes = tomllib.loads(Path(__file__).with_name("changes.toml").read_text())
    matrix: Counter[tuple[str, str]] = Counter()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="loadgen-changed-") as name:
        package = copied(Path(name))
        runs = record(Path(name), options)
        for kind in options.kinds:
            for change in (one for one in changes[kind] if options.only in one["name"]):
                verdicts, said = tried(package, change, runs)
                matrix.update({(kind, verdict): times for verdict, times in verdicts.items()})
                found.append({"kind": kind, "change": change["name"], "verdicts": verdicts, "said": said})
                shown = ", ".join(f"{verdict} {times}" for verdict, times in verdicts.items())
                print(f"{kind:<9} {change['name']:<50} {shown}  {said[:150]}", flush=True)
    for kind in KINDS:
        print(kind, {verdict: matrix[kind, verdict] for verdict in NAMES.values()})
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if matrix["bug", "identical"]:
        sys.exit("a bug was called identical")


if __name__ == "__main__":
    main()
