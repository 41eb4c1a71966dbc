"""Does a verification tell a refactoring from a bug? A confusion matrix of changes made by hand.

Copies of servers are recorded: the bundled one, and those in ``changed/`` beside this file, with what they
depend on. Each change that is listed for a server is then made, verified with every recording, and put back;
what the server depends on is gone by then.

    python benchmarks/changed_code.py [--servers bundled orders quotes] [--runs 3] [--concurrency 1 8]
                                      [--kinds bug] [--only WORD] [--json FILE]

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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import server_app  # noqa: E402 - found by the line before
from tests.engine import services  # noqa: E402 - found by the line before

NAMES = {0: "identical", 1: "diverged", 3: "undetermined"}
KINDS = ("harmless", "bug", "unreached")
SERVERS: dict[str, dict[str, Any]] = {
    "bundled": {},
    "orders": {"PORT": services.postgres},
    "quotes": {"REDIS": services.redis, "HTTP": services.http},
}
"""The variables that name the ports of what each server depends on."""


def loadgen(*arguments: str) -> tuple[int, Any]:
    """Run a command with ``--json``; return its exit code and what it printed."""
    command = [sys.executable, "-m", "loadgen", *arguments, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        sys.exit(f"loadgen {' '.join(arguments)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")


def copied(name: str, folder: Path) -> tuple[Path, list[str], dict[str, Any]]:
    """Copy a server into *folder*; return where its code is, how it is recorded, and its changes."""
    if name == "bundled":
        package = folder / "shop"  # another name, so that it is the copy that runs
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(server_app.__file__).parent, package, ignore=ignored)
        for path in package.rglob("*.py"):
            path.write_text(path.read_text().replace("server_app", "shop"))
        how, changes = ["shop.app:create_app", "--scenario", "mixed"], HERE / "changed" / "bundled.toml"
    else:
        package, changes = folder / name, HERE / "changed" / f"{name}.toml"
        package.mkdir()
        shutil.copy(HERE / "changed" / f"{name}.py", package)
        load = HERE / "changed" / f"{name}_load.py"
        how = [str(package / f"{name}.py"), "--scenario", str(load)]
    return package, [*how, "--cwd", str(folder)], tomllib.loads(changes.read_text())


def record(name: str, how: list[str], folder: Path, options: argparse.Namespace) -> list[str]:
    """Record a server as often as wanted; return the runs' folders."""
    runs = []
    for concurrency in options.concurrency:
        for number in range(options.runs):
            runs.append(str(folder / f"{concurrency}-{number}"))
            plan = ["-c", str(concurrency), "-n", str(options.iterations), "--seed", str(number)]
            with ExitStack() as running:
                for variable, service in SERVERS[name].items():
                    port = running.enter_context(service()).port
                    plan += ["--server-env", f"{variable}={port}"]
                code, said = loadgen("record", *how, *plan, "--run", runs[-1])
            if code:
                sys.exit(f"the recording failed: {said}")
            print(f"{name}: recorded at {concurrency}: {said['result']['totals']['statuses']}", flush=True)
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
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", "-c", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--iterations", "-n", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--only", default="", help="changes whose names have this word")
    parser.add_argument("--json", type=Path, help="write what came of each change into this file")
    options = parser.parse_args()
    matrix: Counter[tuple[str, str, str]] = Counter()
    found: list[dict[str, Any]] = []
    for server in options.servers:
        with tempfile.TemporaryDirectory(prefix="loadgen-changed-") as name:
            package, how, changes = copied(server, Path(name))
            runs = record(server, how, Path(name), options)
            for kind in options.kinds:
                for change in (one for one in changes.get(kind, ()) if options.only in one["name"]):
                    verdicts, said = tried(package, change, runs)
                    matrix.update({(server, kind, verdict): times for verdict, times in verdicts.items()})
                    told = {"server": server, "kind": kind, "change": change["name"]}
                    found.append({**told, "verdicts": verdicts, "said": said})
                    shown = ", ".join(f"{verdict} {times}" for verdict, times in verdicts.items())
                    print(f"{kind:<9} {change['name']:<50} {shown}  {said[:150]}", flush=True)
                    if options.json:
                        options.json.write_text(json.dumps(found, indent=1))
    for server in options.servers:
        for kind in KINDS:
            print(server, kind, {verdict: matrix[server, kind, verdict] for verdict in NAMES.values()})
    if any(matrix[server, "bug", "identical"] for server in options.servers):
        sys.exit("a bug was called identical")


if __name__ == "__main__":
    main()
