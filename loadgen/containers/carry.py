"""Carries a run between its folder on the host and the volume of its containers."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from loadgen.client.plan import read_traffic
from loadgen.client.traffic import carried
from loadgen.containers import image, layout
from loadgen.core.spec import FileTraffic, ScenarioTraffic
from loadgen.errors import RecordingFault
from loadgen.store import manifest as manifests
from loadgen.store import sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.containers.daemon import Daemon
    from loadgen.core.spec import Traffic
    from loadgen.modes.base import Session
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

OWNER = int(layout.USER.partition(":")[0])
PRIVATE = 0o600
SCENARIOS = "scenarios"
"""Folder of scenario files in the volume."""


def inside(run: RunFolder) -> str:
    """Return the path of *run* in the containers."""
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
        for path in (run.path / "run.json", run.transcript, run.recording, run.client, run.client_log):
            if path.is_file():
                yield f"{name}/{path.name}", path
        if run.bodies.is_dir():
            for path in sorted(run.bodies.iterdir()):
                yield f"{name}/bodies/{path.name}", path

    await daemon.put(container, layout.HOME, members(), OWNER)


async def bring_in_traffic(daemon: Daemon, container: Any, session: Session) -> None:
    """Copy the session's scenario file with its folder, or the requests to send, into *container*.

    Raises:
        UsageError: it is too large.
    """
    file = session.scenario.file
    if file is None:
        return
    with TemporaryDirectory() as made:
        folder = file.parent
        if isinstance(session.spec.traffic, FileTraffic):
            folder = Path(made)
            files = [folder / file.name]
            calls, _ = read_traffic(session.spec.traffic)  # includes other files that the file refers to
            files[0].write_bytes(carried.dump(calls))
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


def traffic(session: Session) -> Traffic:
    """Return the session's traffic with its paths in the containers."""
    given, file = session.spec.traffic, session.scenario.file
    if file is None:
        return given
    where = f"{layout.HOME}/{SCENARIOS}/{file.name}"
    match given:
        case FileTraffic():
            return FileTraffic(file=where)
        case ScenarioTraffic(scenario=name):
            return ScenarioTraffic(scenario=f"{where}{name.rpartition('.py')[2]}")
        case _:
            return given


async def bring_out(daemon: Daemon, container: Any, run: RunFolder, manifest: Manifest) -> None:
    """Copy a recorded run out of *container*, and its result into *manifest*."""
    if await daemon.get(container, inside(run), run.path):
        with suppress(RecordingFault):  # then it is not complete either
            manifest.result = manifests.read(run.path / manifests.NAME).result
    if not run.recording.exists():  # it was not completed, but the part that exists may help
        await daemon.get(container, layout.TAPE, run.path)
    if run.recording.exists():
        run.recording.chmod(PRIVATE)


async def keep_stderr(daemon: Daemon, container: Any, path: Path) -> None:
    """Keep the output of a load generator other than its events, if there is any."""
    await daemon.save_log(container, path, stdout=False)
    if not path.stat().st_size:
        path.unlink()


async def bring_out_verification(
    daemon: Daemon, container: Any, run: RunFolder, verification: Path
) -> dict[str, Any] | None:
    """Copy a verification out of *container*; return its verdict, with the host's paths, if there is one."""
    where = inside(run)
    await daemon.get(container, f"{where}/verify/{verification.name}", verification)
    verdict = verification / "verdict.json"
    if not verdict.is_file():
        return None
    text = verdict.read_text(encoding="utf-8").replace(where, json.dumps(str(run.path))[1:-1])
    content: dict[str, Any] = json.loads(text)
    content.pop(sealed.SEAL, None)  # with the paths of the container
    sealed.write(verdict, content)
    return content
