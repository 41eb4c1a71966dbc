"""``loadgen init`` and ``loadgen doctor``: the first steps with a server."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from loadgen.cli.options import names, taking
from loadgen.cli.output import say
from loadgen.core.option import shell
from loadgen.core.spec import RunSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.doctor import Finding
    from loadgen.init import Prepared

EXIT_MISSING = 3
Target = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        help="The server, as for loadgen record. Default: the application found in the current directory.",
        show_default=False,
    ),
]
_OPTIONS = frozenset({"python", "cwd", "server_env"})
"""Fields of a specification that say how a server is started."""
_WITHOUT = tuple(name for name in names(RunSpec) if name not in _OPTIONS)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    started = taking(spec=RunSpec, without=_WITHOUT)
    app.command(short_help="Find the application in this folder, try it, and write a configuration.")(
        started(init)
    )
    app.command(short_help="Say whether this machine and a server can be recorded.")(started(doctor))


def init(
    spec: RunSpec,
    target: Target = None,
    force: Annotated[bool, typer.Option("--force", help="Replace loadgen.toml and load.py.")] = False,
) -> None:
    """Find the application in the current directory and how it is started, and try it under the engine.

    Writes loadgen.toml and a first scenario, load.py, from the application's routes; records and replays it
    once; and says the next command.
    """
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible
    from loadgen.init import prepare

    with redirect_stdout(sys.stderr), Progress(quiet=False) as emit:
        wanted = replace(spec, target=tuple(target or ()))
        prepared = interruptible(lambda _: prepare(wanted, emit, overwrite=force), at_once=True)
    say(_prepared(prepared))
    raise typer.Exit(prepared.verdict.judgement.exit_code)


def _prepared(prepared: Prepared) -> str:
    *others, used = prepared.tried
    lines = [
        f"not used  {' '.join(one.candidate.target)}: {one.error.message.splitlines()[0]}"
        for one in others
        if one.error is not None
    ]
    lines.append(f"server    {' '.join(used.candidate.target)}  ({used.candidate.why})")
    spec = prepared.spec
    if spec.cwd is not None:
        lines.append(f"runs in   {spec.cwd}")
    if spec.python is not None:
        lines.append(f"python    {spec.python}")
    paths = (
        ("1 path" if len(used.routes) == 1 else f"{len(used.routes)} paths")
        if used.routes
        else "the path /; add your own requests"
    )
    lines.append(f"written   {' '.join(prepared.written)}: {paths}")
    verdict = prepared.verdict
    lines.append(f"tried     {verdict.requests} requests recorded and replayed: {verdict.judgement.value}")
    lines.append("next      loadgen record && loadgen verify")
    if prepared.others:
        also = ", ".join(" ".join(one.target) for one in prepared.others)
        another = shell("init", *prepared.others[0].target, "--force")
        lines.append(f"also here {also}; to use another: {another}")
    return "\n".join(lines)


def doctor(
    spec: RunSpec,
    target: Target = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say whether this machine can record, and whether the server can be recorded; start it once to find out.

    Exit code 3: something is missing.
    """
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible
    from loadgen.doctor import chosen, machine, server

    found = list(machine())
    spec, notes = chosen(replace(spec, target=tuple(target or ())))
    found += notes
    if spec.target:
        with redirect_stdout(sys.stderr), Progress(quiet=as_json):
            found += interruptible(lambda _: server(spec), at_once=True)
    say(json.dumps([asdict(one) for one in found], indent=1) if as_json else _found(found))
    if any(one.state == "missing" for one in found):
        raise typer.Exit(EXIT_MISSING)


def _found(found: Sequence[Finding]) -> str:
    lines = []
    for one in found:
        first, *rest = one.what.splitlines()
        lines += [f"{one.state:<9} {first}", *(f"{'':<9} {line.strip()}" for line in rest)]
        if one.advice:
            lines.append(f"{'':<9} → {one.advice}")
    return "\n".join(lines)
