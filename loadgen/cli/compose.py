"""The commands of the containers in the compose file, with output for a person."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio
import typer

from loadgen.cli.main import record_spec, recorded, reporting, verified, verify_spec
from loadgen.containers import layout
from loadgen.containers.attached import AttachedHost
from loadgen.containers.serve import serve, serve_replay
from loadgen.convention import expanded
from loadgen.core.events import Note
from loadgen.dispatch import here
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.events import Event


def part(words: Sequence[str]) -> int:
    """Run the part named by *words*, with its options; return the exit code."""
    name, *given = words or [""]
    options = [word for word in given if not re.fullmatch(r"--[\w-]+=", word)]  # variables that are not set
    code = 0

    def work() -> None:
        nonlocal code
        try:
            match name:
                case "serve":
                    serve(anyio.run(partial(expanded, record_spec(options), _say, inside=True)))
                case "drive":
                    recorded(record_spec(options), host=AttachedHost(layout.RECORDED_AT))
                case "serve-replay":
                    serve_replay(None)
                case "drive-replay":
                    verified(verify_spec(options), host=AttachedHost(layout.REPLAYED_AT))
                case "replay-alone":
                    verified(verify_spec(options), host=here())
                case _:
                    parts = "serve, drive, serve-replay, drive-replay, replay-alone"
                    raise UsageError(f"{name!r} is not a part", advice=f"Parts: {parts}.")
        except typer.Exit as done:
            code = done.exit_code

    reporting(work)
    return code


def _say(event: Event) -> None:
    if isinstance(event, Note):
        print(f"loadgen: {event.line}", file=sys.stderr)
