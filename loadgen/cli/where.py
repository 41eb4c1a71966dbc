"""The options that say where a session happens, and what they choose."""

from __future__ import annotations

import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.cli.show import Progress
    from loadgen.containers.events import Teller
    from loadgen.place import Place
    from loadgen.store.run_folder import Manifest


class RuntimeName(StrEnum):
    """Where servers run."""

    LOCAL = "local"
    DOCKER = "docker"


class Kind(StrEnum):
    """What is recorded for replay, and replayed."""

    SERVER = "server"
    PROCESS = "process"
    CLIENT = "client"


Trace = Annotated[
    Kind,
    typer.Option(
        help="What to record for replay: the server at its request boundary, its whole process, or also the "
        "client, this load generator. docs/replay-modes.md compares them."
    ),
]
Replay = Annotated[
    Kind | None,
    typer.Option(
        help="Which recording of the run to replay. [default: what was recorded]", show_default=False
    ),
]
Target = Annotated[
    list[str] | None,
    typer.Argument(
        help="A script that serves, module:app, module:factory, or a command: -- python serve.py --flag. "
        "Default: the bundled server.",
        show_default=False,
    ),
]
Cwd = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Directory that the server is started in; TARGET is relative to it. [default: this one]",
        show_default=False,
    ),
]
ServerEnv = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=VALUE]",
        help="An environment variable for the server: NAME alone passes ours on. May be repeated. "
        "The recording keeps it in clear text.",
        show_default=False,
    ),
]
Runtime = Annotated[
    RuntimeName, typer.Option(help="Run server and load here, or each in a container: local, or docker.")
]
Image = Annotated[
    str | None,
    typer.Option(
        help="docker: a prebuilt image, made by compose/Dockerfile. [default: built as needed]",
        show_default=False,
    ),
]
TestImage = Annotated[
    str | None,
    typer.Option(
        help="docker: the Python image to build on. [default: python:3.11-slim]", show_default=False
    ),
]
Requirements = Annotated[
    Path | None,
    typer.Option(
        help="docker: a requirements file with what your server needs.",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(help="docker: memory limit of each container. [default: 512m]", show_default=False),
]
Attach = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Drive a server that compose/ runs.", show_default=False),
]
Events = Annotated[
    bool, typer.Option("--events", hidden=True, help="Print all as JSON lines, for a program.")
]


def place(
    runtime: RuntimeName,
    attach: str | None,
    kind: Kind = Kind.SERVER,
    *,
    server_env: Sequence[str] = (),
    image: str | None = None,
    test_image: str | None = None,
    requirements: Path | None = None,
    memory: str | None = None,
    strict: bool = False,
) -> Place:
    """Return the place that the options choose.

    Raises:
        UsageError: they contradict each other.
    """
    from loadgen.engine.retrace import chosen

    environment = chosen(server_env)
    if kind is not Kind.SERVER and (attach is not None or runtime is RuntimeName.DOCKER):
        raise UsageError(f"the {kind} is traced on this machine only: not in containers")
    if runtime is RuntimeName.DOCKER:
        if attach is not None:
            raise UsageError("--attach drives a server that runs already, --runtime docker starts one")
        if image is not None and (test_image is not None or requirements is not None):
            raise UsageError(
                "--image names a finished image: --test-image and --requirements are for building one"
            )
        from loadgen.containers.place import Containers, Options

        return Containers(
            Options.of(
                image=image,
                test_image=test_image,
                requirements=requirements,
                memory=memory,
                server_env=environment,
            )
        )
    given = {"--image": image, "--test-image": test_image, "--requirements": requirements, "--memory": memory}
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name} is for containers", advice="Add: --runtime docker")
    if attach is not None and environment:
        raise UsageError("--server-env is for the one that starts the server, and --attach starts none")
    from loadgen.containers.attached import AttachedRuntime
    from loadgen.modes.client import WithoutServer
    from loadgen.modes.process import WholeProcess
    from loadgen.place import Here
    from loadgen.runtimes.local import LocalRuntime
    from loadgen.runtimes.whole import WholeRuntime
    from loadgen.verify import AtBoundary

    if kind is Kind.PROCESS:
        return Here(WholeRuntime(environment), WholeProcess())
    local = LocalRuntime(environment) if attach is None else AttachedRuntime(attach)
    return Here(local, WithoutServer() if kind is Kind.CLIENT else AtBoundary(local, strict=strict))


def kind(manifest: Manifest, wanted: Kind | None) -> Kind:
    """Return the kind of replay for a run, by default that which it was recorded for.

    Raises:
        UsageError: it has no recording for the one that is *wanted*.
    """
    recorded = Kind(manifest.trace)
    has = {recorded, Kind.SERVER} if recorded is Kind.CLIENT else {recorded}
    if wanted is not None and wanted not in has:
        raise UsageError(
            f"--replay {wanted} needs a recording made for it, and {manifest.id} was recorded with "
            f"--trace {recorded}",
            advice=f"Record one: loadgen record --trace {wanted}",
        )
    return wanted or recorded


def finite(seconds: float) -> float:
    """Refuse a time limit that is none: neither infinity nor what is no number can be waited for."""
    if not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is no number of seconds.")
    return seconds


def watcher(*, events: bool, quiet: bool) -> Progress | Teller:
    """Return what shows the progress: to a person, or to a program."""
    if events:
        from loadgen.containers.events import Teller

        return Teller(sys.stdout, sys.stdin.fileno())
    from loadgen.cli.show import Progress

    return Progress(quiet=quiet)
