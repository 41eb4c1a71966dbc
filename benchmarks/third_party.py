"""Record and verify the applications of ``tests/third_party`` many times: how many replays are identical?

    python benchmarks/third_party.py FOLDER [--recordings 10] [--concurrency 1 8] [--only isso klaus]
    python benchmarks/third_party.py FOLDER --table

It measures on the Python that runs it, round by round: in each round, every application is recorded once at
each concurrency, with the number of the round as seed. FOLDER keeps one file of results for each application
and Python, written after each recording: started again, the benchmark goes on where it was. It also keeps the
environments that it made, in which loadgen is installed again when its code has changed (each result has the
digest of the code that was measured), and the artefacts of each recording that was not identical. ``--table``
writes the table of ``docs/third-party.md`` from all files.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from documented import write_measured

sys.path.insert(0, str(Path(__file__).parents[1]))

from loadgen.engine import retrace
from loadgen.store.files import write_json
from tests.third_party.applications import APPLICATIONS, REPOSITORY, Application, Trial, install, trial

CONCURRENCY = (1, 8)
SERIES = tuple(f"{python}, c={at}" for python in ("3.11", "3.12") for at in CONCURRENCY)
PYTHON = ".".join(platform.python_version_tuple()[:2])
CODE = retrace.versions()["package"]


def results(folder: Path, name: str, python: str) -> dict[str, Any]:
    """Return what was measured of an application on a Python."""
    path = folder / f"{name}-{python}.json"
    if not path.exists():
        return {"version": "", "trials": []}
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def version(programs: Path, name: str) -> str:
    """Return the version that is installed of an application."""
    path = [str(one) for one in programs.parent.glob("lib/python*/site-packages")]
    [found] = {one.version for one in metadata.distributions(name=name, path=path)}
    return found


def ready(venv: Path, application: Application) -> Path:
    """Return where the programs of an environment are, which has the application and this loadgen."""
    programs, mark = venv / "bin", venv / "ready"
    if not mark.exists():
        shutil.rmtree(venv, ignore_errors=True)
        install(application, venv)
    elif mark.read_text(encoding="utf-8") != CODE:
        pip: list[str | Path] = [programs / "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--force-reinstall", REPOSITORY], check=True)
    mark.write_text(CODE, encoding="utf-8")
    return programs


def measure(folder: Path, application: Application, concurrency: int, seed: int) -> Trial | None:
    """Make one recording, and keep what came of it; return None if there is a result already."""
    name = application.name
    known = results(folder, name, PYTHON)
    if any((one["concurrency"], one["seed"]) == (concurrency, seed) for one in known["trials"]):
        return None
    programs = ready(folder / "environments" / f"{name}-{PYTHON}", application)
    here = folder / "kept" / f"{name}-{PYTHON}-c{concurrency}-s{seed}"
    shutil.rmtree(here, ignore_errors=True)  # of a benchmark that was interrupted
    made = trial(application, programs, here, concurrency, seed)
    if made.verdict == "identical":
        shutil.rmtree(here)
    known["version"] = version(programs, name)
    known["python"] = platform.python_version()
    known["trials"].append(
        {
            "concurrency": concurrency,
            "seed": seed,
            "loadgen": CODE,
            "verdict": made.verdict,
            "requests": made.requests,
            "why": made.why,
        }
    )
    write_json(folder / f"{name}-{PYTHON}.json", known)
    return made


def counted(trials: list[dict[str, Any]], concurrency: int) -> str:
    """Return how many recordings at a concurrency were identical."""
    those = [one["verdict"] for one in trials if one["concurrency"] == concurrency]
    return f"{those.count('identical')} of {len(those)}" if those else "not measured"


def table(folder: Path) -> str:
    """Return the table of the documentation."""
    lines = [
        "| application | by | server, data | load at concurrency 8 | " + " | ".join(SERIES) + " |",
        "| --- " * (4 + len(SERIES)) + "|",
    ]
    for application in APPLICATIONS:
        name = application.name
        known = [results(folder, name, python) for python in ("3.11", "3.12")]
        versions = dict.fromkeys(one["version"] for one in known if one["trials"])
        sizes = [
            one["requests"]
            for each in known
            for one in each["trials"]
            if one["concurrency"] == 8 and one["requests"]  # noqa: PLR2004 - as the column says
        ]
        load = f"{application.load}: {max(sizes)} requests" if sizes else application.load
        link = f"[{name}](https://pypi.org/project/{name}/) {', '.join(versions)}: {application.about}"
        identical = [counted(one["trials"], at) for one in known for at in CONCURRENCY]
        lines.append(
            "| " + " | ".join([link, application.author, application.server, load, *identical]) + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing, or write the table."""
    parser = argparse.ArgumentParser(description="How many replays of applications of others are identical?")
    parser.add_argument("folder", type=Path, help="where results and environments are kept")
    parser.add_argument("--recordings", type=int, default=10, help="for each concurrency (default: 10)")
    parser.add_argument("--concurrency", type=int, nargs="+", default=CONCURRENCY)
    parser.add_argument("--only", nargs="+", choices=[one.name for one in APPLICATIONS])
    parser.add_argument("--table", action="store_true", help="write the table of what was measured")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.table:
        write_measured("third-party.md", Path(__file__).name, table(folder))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(1, options.recordings + 1):
        for application in APPLICATIONS:
            if options.only and application.name not in options.only:
                continue
            for concurrency in options.concurrency:
                made = measure(folder, application, concurrency, seed)
                if made is not None:
                    where = f"{PYTHON}  {application.name:<12} c={concurrency} seed {seed}"
                    print(
                        f"{where}  {made.verdict:<12} {made.requests:>4} requests  {made.why[:200]}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
