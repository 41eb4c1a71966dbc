"""The commands of the containers in the compose file, with output for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from loadgen.cli.main import record_spec, recorded, reporting, verified, verify_spec
from loadgen.containers import layout
from loadgen.containers.attached import AttachedHost
from loadgen.containers.serve import serve, serve_replay
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def part(words: Sequence[str]) -> int:
    """Run the part named by *words*, with its options; return the exit code."""
    name, *options = words or [""]
    code = 0

    def work() -> None:
        nonlocal code
        try:
            match name:
                case "serve":
                    serve(record_spec(options))
                case "drive":
                    recorded(record_spec(options), host=AttachedHost(layout.RECORDED_AT))
                case "serve-replay":
                    serve_replay(None)
                case "drive-replay":
                    verified(verify_spec(options), host=AttachedHost(layout.REPLAYED_AT))
                case _:
                    raise UsageError(
                        f"{name!r} is not a part", advice="Parts: serve, drive, serve-replay, drive-replay."
                    )
        except typer.Exit as done:
            code = done.exit_code

    reporting(work)
    return code
