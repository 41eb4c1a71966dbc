"""Prepares a folder: finds its application, tries it, and writes a configuration and a scenario."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from loadgen import dispatch
from loadgen.core.events import Stage, ignore
from loadgen.core.spec import Load, RunSpec, ScenarioTraffic, VerifySpec
from loadgen.core.stop import Stop
from loadgen.discovery import Candidate, look
from loadgen.engine import scratch
from loadgen.errors import LoadgenError, ServerFault, UsageError
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from loadgen.core.events import Emit
    from loadgen.core.verdict import Verdict

CONFIGURATION, SCENARIO = "loadgen.toml", "load.py"
MOST_ROUTES = 40
"""Maximum number of routes in the scenario."""
UNREADABLE = 3
"""Maximum number of files that are named because they are not valid Python."""
TRIED = 5
"""Maximum number of candidates that are started."""


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """A start of a candidate."""

    candidate: Candidate
    routes: tuple[str, ...] = ()
    error: LoadgenError | None = None
    """Why it did not start; None if it did."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared folder."""

    tried: tuple[StartAttempt, ...]
    """The last one is used."""
    spec: RunSpec
    """What was written into the configuration."""
    others: tuple[Candidate, ...]
    """Found, of the same kind as the one that is used, and not tried."""
    written: tuple[str, ...]
    """Files that were written."""
    verdict: Verdict
    """Of a replay of the scenario."""


async def prepare(spec: RunSpec, emit: Emit, *, overwrite: bool = False) -> Prepared:
    """Prepare the current directory for the target of *spec*, or for the application that is found.

    Raises:
        UsageError: there is a configuration already, and it is not to be *overwritten*.
        ServerFault: no application was found, or none that starts.
    """
    here = Path.cwd()
    existing = [name for name in (CONFIGURATION, SCENARIO) if (here / name).exists()]
    if existing and not overwrite:
        raise UsageError(
            f"{' and '.join(existing)} exist{'s' if len(existing) == 1 else ''} here already",
            advice="Replace them: loadgen init --force",
        )
    found = look(Path(spec.cwd or ""))
    spec = replace(spec, python=found.python_for(spec), traffic=ScenarioTraffic(scenario=SCENARIO))
    tried: tuple[StartAttempt, ...]
    others: tuple[Candidate, ...] = ()
    if spec.target:
        tried = (StartAttempt(Candidate(spec.target, "as given", 0), await dispatch.routes(spec)),)
    else:
        tried = await _first(spec, found.candidates, emit)
        others = found.candidates[len(tried) :]
    if not tried or tried[-1].error is not None:
        raise _nothing(tried, found.unreadable)
    used = tried[-1]
    spec = used.candidate.started(spec)
    (here / CONFIGURATION).write_text(configuration(spec), encoding="utf-8")
    (here / SCENARIO).write_text(scenario(used.routes), encoding="utf-8")
    emit(Stage(what="recording and replaying the scenario once"))
    with tempfile.TemporaryDirectory(prefix=scratch.prefix()) as folder:
        run = Path(folder) / "run"
        once = replace(spec, load=Load(concurrency=2, iterations=1))
        await dispatch.record(once, run, Stop(), ignore)
        opened, manifest = RunFolder.open(run)
        verified = await dispatch.verify(opened, manifest, VerifySpec(), ignore)
    others = tuple(one for one in others if one.rank == used.candidate.rank)
    return Prepared(tried, spec, others, (CONFIGURATION, SCENARIO), verified.verdict)


async def _first(spec: RunSpec, candidates: tuple[Candidate, ...], emit: Emit) -> tuple[StartAttempt, ...]:
    tried = list[StartAttempt]()
    for one in candidates[:TRIED]:
        emit(Stage(what=f"trying {' '.join(one.target)}"))
        try:
            tried.append(StartAttempt(one, await dispatch.routes(one.started(spec))))
            break
        except LoadgenError as error:
            tried.append(StartAttempt(one, error=error))
    return tuple(tried)


def _nothing(tried: tuple[StartAttempt, ...], unreadable: tuple[str, ...]) -> LoadgenError:
    name = partial(str.join, " ")
    failed = [f"{name(one.candidate.target)}: {one.error.message}" for one in tried if one.error is not None]
    if failed:
        return ServerFault(
            "no server here could be started:\n  " + "\n  ".join(failed),
            advice="Say how it is started: loadgen init -- COMMAND. Its Python environment: --python PATH. "
            "Its variables, of which it gets few: --server-env NAME, or NAME=VALUE.",
        )
    broken = "".join(f"\n  {one}" for one in unreadable[:UNREADABLE])
    return ServerFault(
        f"no application was found in this folder{broken}",
        advice="Say how it is started: loadgen init module:app, or loadgen init -- COMMAND",
    )


def configuration(spec: RunSpec) -> str:
    """Return the content of ``loadgen.toml``."""
    target = spec.target[0] if len(spec.target) == 1 else list(spec.target)
    values = {
        "target": target,
        "cwd": spec.cwd,
        "python": spec.python,
        "server-env": spec.server_env,
        "scenario": SCENARIO,
    }
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items() if value]
    return (
        "# Options of loadgen's commands; `loadgen record --help` lists them.\n\n[record]\n"
        + "\n".join(lines)
        + "\n"
    )


def scenario(paths: tuple[str, ...]) -> str:
    """Return the content of a scenario file that requests *paths*."""
    known = (
        "" if paths else "    # loadgen cannot list the routes of this application: add its requests here.\n"
    )
    gets = "".join(f"    await user.http.get({_quoted(path)})\n" for path in paths[:MOST_ROUTES] or ("/",))
    return (
        '"""What each virtual user does; docs/scenarios.md describes what else it can do."""\n\n'
        "from loadgen import User, scenario\n\n\n@scenario\nasync def visit(user: User) -> None:\n"
        f'    """Request each path that needs no parameters."""\n{known}{gets}'
    )


def _quoted(path: str) -> str:
    return msgspec.json.encode(path).decode()
