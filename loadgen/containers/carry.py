"""Carries a run between its folder on the host and the volume of its containers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from loadgen.client.traffic import carried
from loadgen.client.traffic.file import read
from loadgen.containers import image, layout
from loadgen.store.run_folder import Manifest, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.client.scenario import Origin, Scenario
    from loadgen.containers.daemon import Daemon
    from loadgen.store.run_folder import RunFolder

OWNER = int(layout.USER.partition(":")[0])
PRIVATE = 0o600
_HOSTS = frozenset(
    {"id", "created", "command", "runtime", "target", "python_path", "server_env", "sources", "image"}
)
"""What a manifest says in the words of the host."""
SCENARIOS = "scenarios"
"""Where in the volume a scenario's file is."""


def inside(run: RunFolder) -> str:
    """Say where *run* is in the containers."""
    return f"{layout.HOME}/runs/{run.path.resolve().name}"


async def bring_in(daemon: Daemon, container: Any, run: RunFolder, verification: Path) -> None:
    """Copy *run* into *container*, so that its next verification there is *verification*."""
    name = inside(run).removeprefix(f"{layout.HOME}/")

    def members() -> Iterator[tuple[str, Path | None]]:
        folders = ["runs", name, f"{name}/verify"]
        if (number := int(verification.name)) > 1:
            folders.append(f"{name}/verify/{number - 1}")
        if run.bodies.is_dir():
            folders.append(f"{name}/bodies")
        yield from ((folder, None) for folder in folders)
        for path in (run.path / "run.json", run.transcript, run.recording):
            if path.is_file():
                yield f"{name}/{path.name}", path
        if run.bodies.is_dir():
            for path in sorted(run.bodies.iterdir()):
                yield f"{name}/bodies/{path.name}", path

    await daemon.put(container, layout.HOME, members(), OWNER)


async def bring_in_scenario(daemon: Daemon, container: Any, origin: Origin) -> None:
    """Copy what *origin* names into *container*: a scenario file with its folder, or the requests to play.

    Raises:
        UsageError: there is too much of it.
    """
    with TemporaryDirectory() as made:
        folder = origin.file.parent
        files = [origin.file]
        if origin.option == "--from":  # as it was read: what it names beside it is in there
            files = [Path(made, origin.file.name)]
            files[0].write_bytes(carried.dump(read(origin.file)[0]))
            folder = Path(made)
        else:
            files = list(image.code(folder, "scenario"))
        names = [path.relative_to(folder) for path in files]
        folders = sorted({parent for name in names for parent in name.parents})  # "." is the first
        members = [(f"{SCENARIOS}/{one}", None) for one in folders]
        await daemon.put(
            container,
            layout.HOME,
            [*members, *((f"{SCENARIOS}/{name}", path) for name, path in zip(names, files, strict=True))],
            OWNER,
        )


def scenario(chosen: Scenario) -> tuple[str, str]:
    """Return the option that names *chosen* in the containers."""
    origin = chosen.origin
    if origin is None:
        return "--scenario", chosen.name
    where = f"{layout.HOME}/{SCENARIOS}/{origin.file.name}"
    return origin.option, f"{where}:{origin.name}" if origin.name else where


async def bring_out(daemon: Daemon, container: Any, run: RunFolder, manifest: Manifest) -> Manifest:
    """Copy a recorded run out of *container*, and return its manifest, in the host's words."""
    if await daemon.get(container, inside(run), run.path):
        try:
            recorded = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            recorded = {}
        recorded |= {key: value for key, value in asdict(manifest).items() if key in _HOSTS}
        manifest = Manifest(**(asdict(manifest) | recorded))
    if not run.recording.exists():  # it was not completed; what there is may still help
        await daemon.get(container, layout.TAPE, run.path)
    if run.recording.exists():
        run.recording.chmod(PRIVATE)
    return manifest


async def bring_out_verification(
    daemon: Daemon, container: Any, run: RunFolder, verification: Path
) -> dict[str, Any] | None:
    """Copy a verification out of *container*; return its verdict, in the host's words, if it reached one."""
    where = inside(run)
    await daemon.get(container, f"{where}/verify/{verification.name}", verification)
    verdict = verification / "verdict.json"
    if not verdict.is_file():
        return None
    text = verdict.read_text(encoding="utf-8").replace(where, json.dumps(str(run.path))[1:-1])
    content: dict[str, Any] = json.loads(text)
    write_json(verdict, content)
    return content
