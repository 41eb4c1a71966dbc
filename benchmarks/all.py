"""All figures of speed and size, each against its counterpart of the same round.

The measurements take turns, round after round, so what disturbs the machine for a while disturbs all of them.
A figure is a ratio of two measurements of the same round wherever there is a counterpart; its spread is from
the least to the greatest of the rounds. ``--write`` writes the table of ``docs/performance.md``, and the
results to ``benchmarks/performance.json``. A figure that is worse than there by more than both spreads is
pointed out, and so is a measurement that failed.

    python benchmarks/all.py [--rounds 3] [--only NAME ...] [--write]

wrk sends requests to the server without loadgen; without wrk, loadgen's own client does. Locust is installed
into an environment of its own, which ``--locust DIR`` keeps for the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import resource
import runpy
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from documented import write_measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "performance.json"

CONNECTIONS = 8
ITERATIONS = 150
"""Requests of each virtual user in a measured run."""
WARM = 3
"""Requests of each in the run that is subtracted: start and end of the processes."""
SECONDS = 5
"""How long the server alone is under load."""
CLIENT_REQUESTS = 1000

SCENARIOS = {
    "GET": """
from loadgen import scenario

@scenario
async def visit(user):
    answer = await user.http.get("/api/stats")
    assert answer.status_code == 200
""",
    "POST": """
from loadgen import scenario

@scenario
async def visit(user):
    number = user.data["number"] = user.data.get("number", 0) + 1
    name = f"user {user.id} {number}"
    answer = await user.http.post("/api/users", json={"name": name, "email": "a@example.org"})
    assert answer.status_code == 201
""",
}
PATHS = {"GET": "/api/stats", "POST": "/api/users"}
WRK_POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name":"user 1 1","email":"a@example.org"}'
"""
LOCUST = """
import json, os, sys, time
from locust import FastHttpUser, constant, task

TOTAL, WARM = int(os.environ["REQUESTS"]), 200
done, began = 0, None

class Visitor(FastHttpUser):
    wait_time = constant(0)

    @task
    def visit(self):
        global done, began
        if os.environ["METHOD"] == "GET":
            self.client.get("/api/stats")
        else:
            body = {"name": "user 1 1", "email": "a@example.org"}
            self.client.post("/api/users", json=body)
        done += 1
        if done == WARM:
            began = time.process_time()
        if done == TOTAL + WARM:
            with open(os.environ["RESULT"], "w") as file:
                json.dump((time.process_time() - began) / TOTAL, file)
            os._exit(0)
"""
KEEPING = """
from flask import Flask
app = Flask(__name__)
kept = []

@app.get("/fill")
def fill():
    kept.extend({"number": number} for number in range(1_000_000))
    return {"kept": len(kept)}

@app.get("/api/stats")
def stats():
    return {"kept": 0}

app.run()
"""
FILLING = """
from loadgen import scenario

@scenario
async def visit(user):
    if FILLS and user.id == 0 and "filled" not in user.data:
        user.data["filled"] = True
        await user.http.get("/fill")
    await user.http.get("/api/stats")
"""

Samples = dict[str, float]


@dataclass(frozen=True)
class Figure:
    """How to read one figure."""

    what: str
    unit: str = "x"
    higher_is_better: bool = False


FIGURES = {
    **{
        f"{method} {name}": Figure(f"{method} {PATHS[method]}: {what}", unit, higher)
        for method in PATHS
        for name, what, unit, higher in (
            ("plain rate", "server alone, under {loader}", "/s", True),
            ("plain CPU", "server alone: its CPU a request", "ms", False),
            ("record rate", "requests a second while recording, to the server alone", "x", True),
            ("engine CPU", "CPU of the server under the engine alone, to the server alone", "x", False),
            ("record CPU", "CPU of the recorded server, to the server alone", "x", False),
            ("record client CPU", "CPU of record's client, journal included", "ms", False),
            ("verify wall", "time of the replay, to that of the recording", "x", False),
            ("verify CPU", "CPU of the replayed server, to that of the recorded one", "x", False),
        )
    },
    **{
        f"client {name}": Figure(f"CPU of a request in loadgen's client, to Locust's FastHttpUser: {what}")
        for name, what in (
            ("GET", "GET /api/stats, a connection for each"),
            ("POST", "POST /api/users, a connection for each"),
        )
    },
    "transport wire": Figure("CPU of a request of `httpx.AsyncClient` on loadgen's transport, to its own"),
    "kept objects": Figure("CPU of the recorded server with 1,000,000 more objects alive, to without"),
    "help": Figure("`loadgen --help`: CPU", "s"),
    "verify start": Figure("`loadgen verify` of 10 requests: CPU of its own process", "s"),
    "verify server": Figure("`loadgen verify` of 10 requests: CPU of the replayed server", "s"),
    "verify engine": Figure("`loadgen verify` of 10 requests: CPU of the server under the engine alone", "s"),
    "import server": Figure("importing the bundled server without loadgen: CPU", "s"),
    "diff time": Figure("comparing two transcripts of 1,000,000 entries: CPU, from 50,000", "s"),
    "diff memory": Figure("comparing two transcripts of 50,000 entries: memory", "MiB"),
    "report size": Figure("report of 20,000 requests", "MB"),
    "report time": Figure("report of 20,000 requests: CPU to write it", "s"),
}


# ---- processes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Processor seconds of a process, and of its children."""

    own: float
    children: float


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
    return done.stdout


def inner(task: str, *arguments: str) -> Any:
    """Run a task of this file in a process of its own, and return its result."""
    with tempfile.NamedTemporaryFile("r") as result:
        run(sys.executable, __file__, "--inner", task, result.name, *arguments)
        return json.load(result)


def loadgen(*arguments: str) -> Cost:
    """Run a command of loadgen and return what it cost."""
    return Cost(*inner("loadgen", *arguments))


def inner_loadgen(*arguments: str) -> tuple[float, float]:
    """Run a command of loadgen in this process."""
    sys.argv = ["loadgen", *arguments]
    try:
        runpy.run_module("loadgen", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, children = (one.ru_utime + one.ru_stime for one in used)
    return own, children


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """Run the bundled server alone; yield its address, and a function that returns its CPU so far."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "DB_FILE": str(folder / "plain.db")}
    command = [sys.executable, "-m", "server_app", "--port", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as server:
        try:
            while not _accepts(port):
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", partial(_used, server.pid)
        finally:
            server.terminate()
            (folder / "plain.db").unlink(missing_ok=True)


def _accepts(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- a request ------------------------------------------------------------------------------------------


def requests(folder: Path, method: str) -> Samples:
    """Measure the server alone, under the engine alone, recorded and replayed."""
    scenario = folder / f"{method.lower()}.py"
    scenario.write_text(SCENARIOS[method])
    with serving(folder) as (url, used):
        _load(folder, url, method, 1)
        before, began = used(), time.perf_counter()
        served = _load(folder, url, method, SECONDS)
        plain, rate = (used() - before) / served, served / (time.perf_counter() - began)
    alone = _recorded(folder, scenario, "--engine-alone")
    record = _recorded(folder, scenario, verify=True)
    return {
        f"{method} plain rate": rate,
        f"{method} plain CPU": plain * 1e3,
        f"{method} engine CPU": alone["server"] / plain,
        f"{method} record CPU": record["server"] / plain,
        f"{method} record rate": record["rate"] / rate,
        f"{method} record client CPU": record["client"] * 1e3,
        f"{method} verify wall": record["replay"] / record["seconds"],
        f"{method} verify CPU": record["replayed server"] / record["server"],
    }


def _load(folder: Path, url: str, method: str, seconds: int) -> int:
    """Send requests to *url* for about that time, and return how many were answered."""
    if shutil.which("wrk") is None:
        count = 200 * seconds
        inner("client", url, method, str(count))
        return count
    script = folder / "post.lua"
    script.write_text(WRK_POST)
    how = ("-s", str(script)) if method == "POST" else ()
    command = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *how, url + PATHS[method])
    told = run(*command)
    found = re.search(r"(\d+) requests in", told)
    if found is None or "Non-2xx" in told:
        raise RuntimeError(f"{' '.join(command)}:\n{told}")
    return int(found[1])


def _recorded(
    folder: Path, scenario: Path, *options: str, server: tuple[str, ...] = (), verify: bool = False
) -> dict[str, float]:
    """Record with *options*, and verify if asked to; return seconds, those of the processor a request."""
    costs: dict[str, list[Cost]] = {"record": [], "verify": []}
    run_folder = folder / "run"
    for iterations in (WARM, ITERATIONS):
        shutil.rmtree(run_folder, ignore_errors=True)
        plan = ("-c", str(CONNECTIONS), "-n", str(iterations), "--scenario", str(scenario))
        costs["record"].append(loadgen("record", *server, *plan, *options, "--run", str(run_folder), "-q"))
        if verify:
            costs["verify"].append(loadgen("verify", str(run_folder), "-q"))
    totals = json.loads((run_folder / "run.json").read_text())["result"]["totals"]
    more = (ITERATIONS - WARM) * CONNECTIONS
    short, long = costs["record"]
    result = {
        "seconds": totals["seconds"],
        "rate": totals["requests"] / totals["seconds"],
        "client": (long.own - short.own) / more,
        "server": (long.children - short.children) / more,
    }
    if verify:
        verdict = json.loads((run_folder / "verify" / "1" / "verdict.json").read_text())
        if verdict["verdict"] != "identical":
            raise RuntimeError(f"{scenario}: {verdict['verdict']}")
        short, long = costs["verify"]
        result["replay"] = verdict["seconds"]["replay"]
        result["replayed server"] = (long.children - short.children) / more
    return result


def kept_objects(folder: Path) -> Samples:
    """Measure a recorded server that keeps a million objects beside one that keeps none."""
    server = folder / "keeping.py"
    server.write_text(KEEPING)
    cost = {}
    for fills in (True, False):
        scenario = folder / f"fills_{fills}.py"
        scenario.write_text(FILLING.replace("FILLS", str(fills)))
        cost[fills] = _recorded(folder, scenario, server=(str(server),))["server"]
    return {"kept objects": cost[True] / cost[False]}


# ---- the client -----------------------------------------------------------------------------------------


def client(folder: Path, locust: Path, method: str) -> Samples:
    """Measure loadgen's client and Locust's, one after the other, against the same server."""
    file, result = folder / "locustfile.py", folder / "locust.json"
    file.write_text(LOCUST)
    result.unlink(missing_ok=True)
    with serving(folder) as (url, _):
        ours = float(inner("client", url, method, str(CLIENT_REQUESTS)))
        run(
            *(str(locust / "bin" / "locust"), "-f", str(file), "--headless", "-u", str(CONNECTIONS)),
            *("-r", str(CONNECTIONS), "--host", url),
            env={"REQUESTS": str(CLIENT_REQUESTS), "METHOD": method, "RESULT": str(result)},
        )
    return {f"client {method}": ours / json.loads(result.read_text())}


def installed_locust(folder: Path) -> Path:
    """Return an environment with Locust; it is made in *folder* unless it is there."""
    if not (folder / "bin" / "locust").exists():
        run(sys.executable, "-m", "venv", str(folder))
        run(str(folder / "bin" / "pip"), "install", "-q", "locust")
    return folder


def inner_client(url: str, method: str, count: str) -> float:
    """Send requests as record does, with a journal, and return the CPU of each."""
    from loadgen.client.session import fire  # noqa: PLC0415 - only this task needs it
    from loadgen.core.stop import Stop  # noqa: PLC0415
    from loadgen.store.journal import Journal  # noqa: PLC0415

    names: dict[str, Any] = {}
    exec(SCENARIOS[method], names)  # noqa: S102 - written above
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(Path(folder) / "transcript.jsonl", Path(folder) / "bodies") as journal,
    ):

        async def send(requests: int) -> None:
            end = await fire(
                *(url, names["visit"], journal),
                concurrency=CONNECTIONS,
                iterations=requests // CONNECTIONS,
                seed=1,
                timeout=30,
                stop=Stop(),
                say=print,
            )
            if end.failed:
                raise RuntimeError(f"iterations failed: {end.errors}")

        asyncio.run(send(200))
        began = time.process_time()
        asyncio.run(send(int(count)))
        return (time.process_time() - began) / int(count)


def transport(_: Path) -> Samples:
    """Take one round of ``transport.py``."""
    told = run(sys.executable, str(HERE / "transport.py"), "--rounds", "1")
    ratio = re.search(r"^wire\s.*\s([\d.]+)$", told, re.MULTILINE)
    assert ratio is not None
    return {"transport wire": float(ratio[1])}


# ---- start and scale ------------------------------------------------------------------------------------


def start(folder: Path) -> Samples:
    """Measure commands that do little."""
    scenario = folder / "get.py"
    scenario.write_text(SCENARIOS["GET"])

    def verified(*options: str) -> Cost:
        run_folder = folder / "short"
        shutil.rmtree(run_folder, ignore_errors=True)
        plan = ("-c", "2", "-n", "5", "--scenario", str(scenario), "--run", str(run_folder), "-q")
        loadgen("record", *plan, *options)
        return loadgen("verify", str(run_folder), "-q")

    verify = verified()
    return {
        "help": loadgen("--help").own,
        "verify start": verify.own,
        "verify server": verify.children,
        "verify engine": verified("--engine-alone").children,
        "import server": float(inner("import")),
    }


def inner_import() -> float:
    """Import the bundled server."""
    sys.path.insert(0, str(HERE.parent))
    began = time.process_time()
    __import__("server_app.app")
    return time.process_time() - began


def scale(_: Path) -> Samples:
    """Measure the comparison of two transcripts, and a report."""
    seconds, mebibytes = inner("diff", "25000")
    size, took = inner("report", "20000")
    return {
        "diff time": seconds * 20,
        "diff memory": mebibytes,
        "report size": size / 1e6,
        "report time": took,
    }


def inner_diff(count: str) -> tuple[float, float]:
    """Compare two transcripts of *count* requests; return the CPU, and the greatest memory."""
    from loadgen.core.exchange import Response  # noqa: PLC0415 - as above
    from loadgen.core.transcript import Run  # noqa: PLC0415
    from loadgen.diff import diff, side  # noqa: PLC0415
    from loadgen.store.journal import Journal  # noqa: PLC0415

    asks = (("Host", "127.0.0.1:39999"), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"))
    told = (("Date", "Thu, 26 Nov 2026 17:00:00 GMT"), ("Content-Type", "application/json"))
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "one.jsonl", Path(folder) / "other.jsonl"
        with Journal(one, Path(folder) / "bodies") as journal:
            journal.write(Run("r", "mixed", 1, 32, 0, "2026-01-01T00:00:00Z"))
            for number in range(int(count)):
                body = b'{"name":"user %d","email":"user%d@example.org"}' % (number, number)
                seq = journal.issue(number % 32, "POST", "/api/users", asks, body).seq
                journal.complete(Response(seq, 201, told, body, (), "CREATED"))
            journal.end([], int(count))
        with one.open("rb") as lines, other.open("wb") as later:
            later.writelines(line.replace(b"17:00:00 GMT", b"17:00:01 GMT") for line in lines)
        began = time.process_time()
        verdict = diff(side(one), side(other))
        took = time.process_time() - began
    if verdict.compared != int(count) or verdict.diverged:
        raise RuntimeError("the transcripts are not the same")
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def inner_report(count: str) -> tuple[int, float]:
    """Write the report of a run of *count* requests; return its size, and the CPU."""
    sys.path.insert(0, str(HERE.parent))
    from loadgen.core.masking import Masker, parse  # noqa: PLC0415 - as above
    from loadgen.report.evidence import gather  # noqa: PLC0415
    from loadgen.report.page import render  # noqa: PLC0415
    from loadgen.store.verification import find_verification  # noqa: PLC0415
    from tests.report.sample import Sample, make  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        sample = Sample(requests=int(count), users=32, diverge=tuple(range(1000, 1050)))
        there, manifest = make(Path(folder) / "run", sample)
        began = time.process_time()
        masker = Masker(parse(()))
        page = render(gather(there, manifest, find_verification(there.path), masker), masker, version="0")
        return len(page), time.process_time() - began


INNER: dict[str, Callable[..., Any]] = {
    "loadgen": inner_loadgen,
    "client": inner_client,
    "import": inner_import,
    "diff": inner_diff,
    "report": inner_report,
}


# ---- results --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """A figure: its median, and its least and greatest sample."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: list[float]) -> Result:
        """Return the result of *samples*."""
        low, middle, high = min(samples), statistics.median(samples), max(samples)
        return cls(*(float(f"{one:.4g}") for one in (middle, low, high)))

    def fell(self, before: Result, figure: Figure) -> bool:
        """Whether it is worse than *before* by more than the spread of either."""
        return self.high < before.low if figure.higher_is_better else self.low > before.high


def shown(result: Result, unit: str) -> str:
    """Return a result as a cell of a table."""
    sign = "" if unit == "x" else f" {unit}".replace(" /s", "/s")
    return f"{result.median:.3g}{sign} | {result.low:.3g} to {result.high:.3g}"


def table(results: dict[str, Result], loader: str) -> str:
    """Return the table of the docs."""
    lines = ["| figure | median | spread |", "| --- | --- | --- |"]
    lines += [
        f"| {figure.what.format(loader=loader)} | {shown(results[name], figure.unit)} |"
        for name, figure in FIGURES.items()
        if name in results
    ]
    return "\n".join(lines)


def committed() -> dict[str, Result]:
    """Return the results of the last commit; empty if it has none."""
    name = RESULTS.relative_to(HERE.parent)
    try:
        told = json.loads(run("git", "-C", str(HERE.parent), "show", f"HEAD:{name}"))["figures"]
    except RuntimeError:
        return {}
    return {name: Result(**one) for name, one in told.items()}


def write(results: dict[str, Result], rounds: int, loader: str) -> None:
    """Write the results, and the table of the docs."""
    kept = committed() | results
    told = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "loader": loader,
        "figures": {name: vars(kept[name]) for name in FIGURES if name in kept},
    }
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}, {rounds} rounds:"
    write_measured("performance.md", Path(__file__).name, f"{where}\n\n{table(kept, loader)}\n\n")


def main() -> None:
    """Measure, print, compare with the last commit, and write if asked to."""
    if sys.argv[1:2] == ["--inner"]:
        _, _, task, written_to, *arguments = sys.argv
        Path(written_to).write_text(json.dumps(INNER[task](*arguments)))
        return
    parser = argparse.ArgumentParser(description="All figures of speed and size.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="GET, POST, client, transport, ...")
    parser.add_argument("--locust", type=Path, help="an environment with Locust, made if it is not there")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loadgen-all-") as name:
        folder = Path(name)
        locust = options.locust or folder / "locust"
        benchmarks: dict[str, Callable[[], Samples]] = {
            "GET": lambda: requests(folder, "GET"),
            "POST": lambda: requests(folder, "POST"),
            "client": lambda: (
                client(folder, installed_locust(locust), "GET") | client(folder, locust, "POST")
            ),
            "transport": lambda: transport(folder),
            "kept": lambda: kept_objects(folder),
            "start": lambda: start(folder),
            "scale": lambda: scale(folder),
        }
        samples, failed = measured(benchmarks, options.only or list(benchmarks), options.rounds)
    loader = "loadgen's client" if shutil.which("wrk") is None else "wrk"
    results = {name: Result.of(samples[name]) for name in FIGURES if name in samples}
    print(table(results, loader))
    before = committed()
    for figure, result in results.items():
        how = FIGURES[figure]
        if figure in before and result.fell(before[figure], how):
            now, was = shown(result, how.unit), shown(before[figure], how.unit)
            print(f"WORSE: {how.what.format(loader=loader)}: {now}; was {was}")
    if options.write:
        write(results, options.rounds, loader)
    sys.exit(bool(failed))


def measured(
    benchmarks: dict[str, Callable[[], Samples]], wanted: list[str], rounds: int
) -> tuple[dict[str, list[float]], list[str]]:
    """Let the benchmarks take turns; return their samples, and those that failed."""
    samples: dict[str, list[float]] = {}
    failed = []
    for number in range(1, rounds + 1):
        for name in wanted:
            print(f"round {number}: {name}", file=sys.stderr, flush=True)
            try:
                found = benchmarks[name]()
            except (RuntimeError, OSError) as error:
                failed.append(name)
                print(f"FAILED: {name}: {error}", flush=True)
                continue
            for figure, value in found.items():
                samples.setdefault(figure, []).append(value)
    return samples, failed


if __name__ == "__main__":
    main()
