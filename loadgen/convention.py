"""Folders by the convention of record/replay tests: server, load and requirements have fixed names.

``test.py`` is what the test is about. Beside ``client.py`` it is the server, and ``client.py`` is the load.
With ``app.py`` and no ``client.py``, ``app.py`` is the server, and ``test.py`` is a client that is traced
itself. ``requirements.txt`` lists what both need. A compose file may set variables of both; the address of
the server in it is replaced by that of the gateway. Clients find the address in ``SERVER_URL``.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from loadgen.client.gateway.command import URL
from loadgen.containers import layout
from loadgen.core.events import Note
from loadgen.core.spec import BUNDLED, CommandTraffic, ModeName, Runtime, ScenarioTraffic
from loadgen.discovery import ENVIRONMENTS
from loadgen.engine.environments import with_requirements
from loadgen.engine.interpreter import activated, chosen, own
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.events import Emit
    from loadgen.core.spec import RunSpec

TEST, CLIENT, APP, REQUIREMENTS = "test.py", "client.py", "app.py", "requirements.txt"
ADDRESS = "SERVER_URL"
"""The variable in which clients find the address of the server."""
COMPOSE = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
RUNS = "runs"
_SERVICES = {"server": "server-record", "client": "record"}
"""Names of the services of server and client in such a compose file."""
_OURS = re.compile(r"DB_FILE|PYTHON\w*|RETRACE\w*|VIRTUAL_ENV")
"""Variables that loadgen sets itself, or that are about the engine."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which file is the server, and which one the client."""

    server: str
    client: str
    mode: ModeName


def layout_of(folder: Path) -> Layout | None:
    """Return the roles of the files in *folder*; None if it does not follow the convention."""
    names = {name for name in (TEST, CLIENT, APP) if (folder / name).is_file()}
    if {TEST, CLIENT} <= names:
        return Layout(TEST, CLIENT, ModeName.BOUNDARY)
    if {TEST, APP} <= names:
        return Layout(APP, TEST, ModeName.CLIENT)
    return None


def folder_of(spec: RunSpec) -> Path | None:
    """Return the folder that is the target of *spec*; None if it is anything else."""
    if len(spec.target) != 1 or spec.target[0] == BUNDLED:
        return None
    folder = Path(spec.cwd or "", spec.target[0])
    return folder if folder.is_dir() else None


def latest(folder: Path) -> Path:
    """Return the latest run of *folder*, if it follows the convention and was recorded; otherwise itself."""
    run = folder / RUNS / "latest"
    return run.resolve() if layout_of(folder) is not None and run.exists() else folder


async def expanded(spec: RunSpec, emit: Emit, *, inside: bool = False) -> RunSpec:
    """Return *spec* with the server, the client and the requirements of the folder that is its target.

    What *spec* says itself counts. If it runs *inside* a container, the requirements are already installed.

    Raises:
        UsageError: the folder does not follow the convention.
        MachineFault: its requirements cannot be installed.
    """
    folder = folder_of(spec)
    if folder is None:
        return spec
    files = layout_of(folder)
    if files is None:
        raise UsageError(
            f"{folder} is a folder, and has neither {TEST} and {CLIENT}, nor {APP} and {TEST}",
            advice=f"Give the server in it. To find it: cd {shlex.quote(str(folder))} && loadgen init",
        )
    in_docker = spec.runtime is Runtime.DOCKER
    requirements = folder / REQUIREMENTS
    needs = requirements.is_file() and bool(requirements.read_text(encoding="utf-8").strip())
    if in_docker:
        topology = spec.topology
        if needs and topology.requirements is None and topology.image is None:
            spec = replace(spec, topology=replace(topology, requirements=str(requirements)))
        python = "python"
    else:
        python = spec.python or (
            "python" if inside else await _python(folder, requirements if needs else None, emit)
        )
        spec = replace(spec, python=None if inside else python)
    variables = {"server": dict[str, str](), "client": dict[str, str]()}
    for role, name, value in _composed(folder, files, emit):
        variables[role][name] = value
    given = {one.partition("=")[0] for one in spec.server_env}
    own_variables = (f"{name}={value}" for name, value in variables["server"].items() if name not in given)
    if spec.traffic == ScenarioTraffic():
        at = f"{layout.APP}/{files.client}" if in_docker else str((folder / files.client).resolve())
        set_first = {ADDRESS: URL, **variables["client"]}
        words = (*(f"{name}={shlex.quote(value)}" for name, value in set_first.items()), shlex.quote(python))
        spec = replace(spec, traffic=CommandTraffic(client=" ".join((*words, shlex.quote(at)))))
        if spec.mode is ModeName.BOUNDARY:
            spec = replace(spec, mode=files.mode)
    return replace(
        spec,
        target=(files.server,),
        cwd=str(folder.resolve()),
        server_env=(*spec.server_env, *own_variables),
        label=replace(spec.label, name=spec.label.name or folder.resolve().name),
    )


async def _python(folder: Path, requirements: Path | None, emit: Emit) -> str:
    """Return the Python of *folder*: of its own environment, the activated one, or one made for it."""
    for name in ENVIRONMENTS:
        if (folder / name / "bin" / "python").exists():
            return chosen(str(folder / name)).executable
    if (active := activated()) is not None:
        return active.executable
    if requirements is not None:
        return (await with_requirements(requirements, emit)).executable
    return own().executable


def _composed(folder: Path, files: Layout, emit: Emit) -> Iterator[tuple[str, str, str]]:
    """Yield the variables that the compose file of *folder* sets: role, name and value."""
    file = next((folder / name for name in COMPOSE if (folder / name).is_file()), None)
    if file is None:
        return
    try:
        import yaml  # noqa: PLC0415 - it comes with an extra
    except ImportError:
        emit(Note(line=f"{file} is not read, because PyYAML is not installed: pip install pyyaml"))
        return
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    services = content.get("services") if isinstance(content, dict) else None
    services = {str(name): one for name, one in (services or {}).items() if isinstance(one, dict)}
    of = {
        "server": _service(services, "server", files.server),
        "client": _service(services, "client", files.client),
    }
    server = of["server"]
    address = re.compile(rf"https?://{re.escape(server)}(:\d+)?(?=/|$)") if server else None
    for role, service in of.items():
        for name, value in _environment(services.get(service or "", {}).get("environment")):
            if not _OURS.fullmatch(name):
                yield role, name, address.sub(URL, value) if address and role == "client" else value


def _service(services: dict[str, Any], role: str, file: str) -> str | None:
    """Return the name of the service of a role: by its name, or by its command."""
    if _SERVICES[role] in services:
        return _SERVICES[role]
    runs = re.compile(rf"(^|[\s/'\",]){re.escape(file)}\b")
    return next((name for name, one in services.items() if runs.search(str(one.get("command", "")))), None)


def _environment(given: object) -> Iterator[tuple[str, str]]:
    """Yield the variables of a service, with the defaults of those that its user could set."""
    if isinstance(given, dict):
        pairs = [(str(name), value) for name, value in given.items()]
    else:
        pairs = [(str(one).partition("=")[0], str(one).partition("=")[2]) for one in given or ()]  # type: ignore[attr-defined]
    for name, value in pairs:
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield name, re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)
