"""Does a verification tell a refactoring from a bug? A confusion matrix of changed code.

Copies of servers are recorded: the bundled one, those in ``changed/`` beside this file with what they depend
on, and two applications that others wrote, from PyPI. Each change that is listed for a server is then made,
verified with every recording, and put back; what the server depends on is gone by then.

    python benchmarks/changed_code.py FOLDER [--servers bundled orders quotes isso bepasty] [--runs 3]
                                      [--concurrency 1 8] [--kinds bug mutant] [--only WORD]
    python benchmarks/changed_code.py FOLDER --table

``mutant`` stands for changes that a mutation tool (cosmic-ray) made to the bundled server. Whether they are
bugs is decided without loadgen: ``changed/oracle.py`` serves the requests of each recording with the original
and with the mutant; if answers and database are the same, it is listed as one that nothing shows. It also
decides whether a bug that is called identical is one that the requests of that recording do not reach.

FOLDER keeps recordings, environments and a file of results for each server. Started again, the benchmark goes
on where it was: delete the folder after a change of loadgen. ``--table`` writes the table of
``docs/changed-code.md``.

A bug that the requests reach, and that is called identical, fails the run.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
import venv
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from documented import write_measured

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import server_app  # noqa: E402 - found by the line before
from loadgen.core.exchange import Request  # noqa: E402
from loadgen.store.files import write_json  # noqa: E402
from loadgen.store.run_folder import RunFolder  # noqa: E402
from tests.engine import services  # noqa: E402 - found by the line before

NAMES = {0: "identical", 1: "diverged", 3: "undetermined"}
KINDS = ("harmless", "bug", "unreached", "mutant", "unseen")
"""``unreached`` and ``unseen``: a bug or a mutant that changes nothing for the requests of a recording."""
MUTANTS, SEED = 40, 1


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is recorded, and whose code is changed."""

    about: str
    target: str
    scenario: str
    """The name of a built-in scenario, or of a file in ``changed/``."""
    requires: dict[str, Callable[[], AbstractContextManager[Any]]] = field(default_factory=dict)
    """What it depends on, by the variable that names the port of each."""
    package: str = ""
    """The requirement of a package on PyPI; its code is copied out of its environment."""
    variables: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Files beside its code; ``{data}`` stands for its folder of data."""


ISSO = """
[general]
dbpath = {data}/comments.db
host = http://localhost/
latest-enabled = true
[server]
listen = http://localhost:8080/
trusted-proxies = 127.0.0.1
[guard]
enabled = false
"""
BEPASTY = """
SECRET_KEY = "key"
STORAGE = "filesystem"
STORAGE_FILESYSTEM_DIRECTORY = "{data}"
DEFAULT_PERMISSIONS = "create,read,delete,list,modify"
"""
SERVERS = {
    "bundled": Server("the bundled server: Flask, SQLite", "shop.app:create_app", "mixed"),
    "orders": Server(
        "orders: Flask-SQLAlchemy on PostgreSQL",
        "orders/orders.py",
        "orders_load.py",
        {"PORT": services.postgres},
    ),
    "quotes": Server(
        "quotes: Redis, and another service over HTTP",
        "quotes/quotes.py",
        "quotes_load.py",
        {"REDIS": services.redis, "HTTP": services.http},
    ),
    "isso": Server(
        "[isso](https://pypi.org/project/isso/) 0.14.0 by Martin Zimmermann: Werkzeug, SQLite",
        "isso.run:application",
        "isso_load.py",
        package="isso==0.14.0",
        variables={"ISSO_SETTINGS": "{code}/isso.cfg"},
        files={"isso.cfg": ISSO},
    ),
    "bepasty": Server(
        "[bepasty](https://pypi.org/project/bepasty/) 1.2.2 by Thomas Waldmann: Flask, files",
        "bepasty.wsgi:application",
        "bepasty_load.py",
        package="bepasty==1.2.2",
        variables={"BEPASTY_CONFIG": "{code}/bepasty.conf"},
        files={"bepasty.conf": BEPASTY},
    ),
}


def loadgen(*arguments: str) -> tuple[int, Any]:
    """Run a command with ``--json``; return its exit code and what it printed."""
    command = [sys.executable, "-m", "loadgen", *arguments, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        sys.exit(f"loadgen {' '.join(arguments)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")


def installed(folder: Path, requirement: str) -> Path:
    """Return the Python of an environment in *folder* that has a package."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", requirement]
        subprocess.run(pip, check=True)
        (folder / "ready").touch()
    return python


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a server's code."""

    name: str
    folder: Path
    """Where its code is, its data, its environment and its recordings."""

    @property
    def code(self) -> Path:
        """Where the server runs."""
        return self.folder / "code"

    @property
    def package(self) -> Path:
        """The folder of its code."""
        return self.code / ("shop" if self.name == "bundled" else self.name)

    @property
    def server(self) -> Server:
        """The server that was copied."""
        return SERVERS[self.name]

    def make(self) -> None:
        """Make the copy anew."""
        shutil.rmtree(self.code, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        if self.name == "bundled":  # under another name, so that it is the copy that runs
            shutil.copytree(Path(server_app.__file__).parent, self.package, ignore=ignored)
            for path in self.package.rglob("*.py"):
                path.write_text(path.read_text().replace("server_app", "shop"))
        elif self.server.package:
            python = installed(self.folder / "environment", self.server.package)
            [library] = (python.parents[1] / "lib").glob("python*/site-packages")
            shutil.copytree(library / self.name, self.package, ignore=ignored)
        else:
            self.package.mkdir(parents=True)
            shutil.copy(HERE / "changed" / f"{self.name}.py", self.package)
        for name, content in self.server.files.items():
            (self.code / name).write_text(content.format(data=self.folder / "data"))

    def record(self, concurrency: int, seed: int, iterations: int) -> Path:
        """Record it, unless there is such a recording already; return the run's folder."""
        run = self.folder / f"c{concurrency}-s{seed}"
        if (run / "complete").exists():
            return run
        shutil.rmtree(run, ignore_errors=True)
        data = self.folder / "data"
        data.mkdir()
        scenario = self.server.scenario
        load = str(HERE / "changed" / scenario) if scenario.endswith(".py") else scenario
        plan = ["-c", str(concurrency), "-n", str(iterations), "--seed", str(seed), "--scenario", load]
        if self.server.package:
            plan += ["--python", str(installed(self.folder / "environment", self.server.package))]
        given = {name: value.format(code=self.code) for name, value in self.server.variables.items()}
        with ExitStack() as running:
            for variable, service in self.server.requires.items():
                given[variable] = str(running.enter_context(service()).port)
            for name, value in given.items():
                plan += ["--server-env", f"{name}={value}"]
            where = ("--cwd", str(self.code), "--run", str(run))
            code, said = loadgen("record", self.server.target, *plan, *where)
        if code:
            sys.exit(f"the recording failed: {said}")
        shutil.rmtree(data)
        (run / "complete").touch()
        print(f"{self.name}: recorded at {concurrency}: {said['result']['totals']['statuses']}", flush=True)
        return run


def changes(copy: Copy, kinds: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the changes of a server, each with its kind."""
    listed = tomllib.loads((HERE / "changed" / f"{copy.name}.toml").read_text())
    for kind in ("harmless", "bug", "unreached"):
        if kind in kinds:
            yield from ((kind, change) for change in listed.get(kind, ()))
    if "mutant" in kinds and copy.name == "bundled":
        python = installed(copy.folder / "mutation", "cosmic-ray>=8.4")
        files = sorted(str(path) for path in copy.package.glob("*.py"))
        command = [str(python), str(HERE / "changed" / "mutants.py"), *files]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        mutants = [json.loads(line) for line in said.splitlines()]
        drawn = random.Random(SEED).sample(mutants, min(MUTANTS, len(mutants)))
        yield from (("mutant", one) for one in drawn)


def served(copy: Copy, run: Path) -> str:
    """Return what the oracle says of the code as it is now; empty if it cannot be served."""
    with RunFolder.open(run)[0].read() as events:
        asked = [event for event in events if isinstance(event, Request)]
    requests = [
        (one.method, one.target, list(one.headers), b64encode(one.body).decode())
        for one in sorted(asked, key=lambda one: one.seq)
    ]
    data = copy.folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    database = str(data / "oracle.db")
    command = [sys.executable, str(HERE / "changed" / "oracle.py"), copy.server.target, database]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            cwd=copy.code,
            env={**os.environ, "DB_FILE": database},
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    finally:
        shutil.rmtree(data)
    return done.stdout if done.returncode == 0 else ""


@cache
def served_before(copy: Copy, run: Path) -> str:
    """Return what the oracle says of the original code."""
    return served(copy, run) or sys.exit(f"the oracle cannot serve {copy.name}")


def shown(copy: Copy, run: Path, path: Path, text: str) -> bool:
    """Return whether a mutant, *text* at *path*, answers otherwise or leaves another database."""
    original, before = path.read_text(), served_before(copy, run)
    path.write_text(text)
    try:
        return served(copy, run) != before
    finally:
        path.write_text(original)


def tried(copy: Copy, change: dict[str, Any], runs: list[Path], kind: str) -> list[dict[str, str]]:
    """Make a change, verify it with every run, and put it back; return what was said of each."""
    path = Path(change["file"]) if "text" in change else copy.package / change["file"]
    before = after = path.read_text()
    for old, new in change.get("replace", ()):
        if old not in after:
            sys.exit(f"{change['name']}: {change['file']} has no {old!r}")
        after = after.replace(old, new)
    after = change.get("text", after)
    found = []
    for run in runs:
        kind_here = kind if kind != "mutant" or shown(copy, run, path, after) else "unseen"
        try:
            path.write_text(after)
            code, verdict = loadgen("verify", str(run))
        finally:
            path.write_text(before)
        if (copy.name, kind, NAMES[code]) == ("bundled", "bug", "identical") and not shown(
            copy, run, path, after
        ):
            kind_here = "unreached"
        found.append({"run": run.name, "kind": kind_here, "verdict": NAMES[code], "said": _said(verdict)})
    return found


def _said(verdict: dict[str, Any]) -> str:
    """Return the first thing that a verdict says of what changed."""
    for cause in verdict.get("causes", ()):
        return str(cause["headline"])
    for reason in verdict.get("reasons", ()):
        return str(reason["message"])
    return ", ".join(verdict.get("asked") or ())


def counted(results: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Return the number of verifications with each kind of change and verdict."""
    return Counter((one["kind"], one["verdict"]) for change in results for one in change["found"])


ROWS = {
    "harmless": "harmless changes",
    "bug": "bugs",
    "unreached": "bugs that the requests do not reach",
    "mutant": "mutants that change an answer or the database",
    "unseen": "mutants that change neither",
}


def table(folder: Path) -> str:
    """Return the table of the documentation."""
    lines = ["| | changes | identical | diverged | undetermined |", "| --- | --- | --- | --- | --- |"]
    for name, server in SERVERS.items():
        path = folder / f"{name}.json"
        results = json.loads(path.read_text()) if path.exists() else []
        verdicts = counted(results)
        for kind, told in ROWS.items():
            those = sum(any(one["kind"] == kind for one in change["found"]) for change in results)
            if those:
                cells = " | ".join(str(verdicts[kind, verdict]) for verdict in NAMES.values())
                lines.append(f"| {server.about}: {told} | {those} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all that is missing, and print a line for each change, or write the table."""
    parser = argparse.ArgumentParser(description="Does a verification tell a refactoring from a bug?")
    parser.add_argument("folder", type=Path, help="where recordings and results are kept")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", "-c", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--iterations", "-n", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS[:4], default=list(KINDS[:4]))
    parser.add_argument("--only", default="", help="changes whose names have this word")
    parser.add_argument("--table", action="store_true", help="write the table of the documentation")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.table:
        write_measured("changed-code.md", Path(__file__).name, table(folder))
        return
    wrong = False
    for name in options.servers:
        copy, kept = Copy(name, folder / name), folder / f"{name}.json"
        copy.folder.mkdir(parents=True, exist_ok=True)
        results: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
        copy.make()
        runs = [
            copy.record(concurrency, seed, options.iterations)
            for seed in range(options.runs)
            for concurrency in options.concurrency
        ]
        for kind, change in changes(copy, options.kinds):
            if options.only not in change["name"]:
                continue
            known = next(
                (one for one in results if (one["of"], one["change"]) == (kind, change["name"])), None
            )
            if known is None:
                known = {"of": kind, "change": change["name"], "found": []}
                results.append(known)
            done = {one["run"] for one in known["found"]}
            known["found"] += tried(copy, change, [run for run in runs if run.name not in done], kind)
            verdicts = Counter(one["verdict"] for one in known["found"])
            told = ", ".join(f"{verdict} {times}" for verdict, times in verdicts.items())
            said = next((one["said"] for one in known["found"]), "")
            print(f"{name:<8} {kind:<9} {change['name']:<50} {told}  {said[:150]}", flush=True)
            write_json(kept, results)
        verdicts = counted(results)
        for kind in KINDS:
            print(name, kind, {verdict: verdicts[kind, verdict] for verdict in NAMES.values()}, flush=True)
        wrong = wrong or any(verdicts[kind, "identical"] for kind in ("bug", "mutant"))
    if wrong:
        sys.exit("a bug was called identical")


if __name__ == "__main__":
    main()
