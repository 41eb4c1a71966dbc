"""The image of the containers, built from ``compose/Dockerfile`` and named after a digest of its content.

The context is assembled from the project itself (a checkout or an installed package), the requirements file,
and the folder of the server under test. Equal content has the same name, and is not built again.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

import loadgen
from loadgen.core.events import Stage
from loadgen.engine.retrace import package_files
from loadgen.errors import MachineFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.containers.daemon import Daemon
    from loadgen.core.events import Emit

DEFAULT_BASE = "python:3.11-slim"
DOCKERFILE = "compose/Dockerfile"
PACKAGE = Path(loadgen.__file__).parent
REPOSITORY = "loadgen/run"
LARGEST = 100 << 20
"""Largest size of the folder of a server under test: a larger one is probably the wrong folder."""
LEFT_OUT = frozenset({"runs", "venv", "node_modules", "__pycache__", "build", "dist"})
"""Folders that are not code of a server, in addition to hidden ones."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The content of an image."""

    base: str
    requirements: Path | None
    application: Path | None
    """Folder of the server under test; None for the bundled one."""

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files of the context, in a fixed order.

        Raises:
            UsageError: the server's folder is too large, or cannot be read.
        """
        yield from _project()
        yield "requirements.txt", self.requirements.read_bytes() if self.requirements else b""
        yield "app/.loadgen", b""  # so that the folder exists
        if self.application is not None:
            yield from _application(self.application)


async def ensure(daemon: Daemon, recipe: Recipe, emit: Emit) -> str:
    """Return the id of the image of *recipe*, and build it if it does not exist.

    Raises:
        MachineFault: the base image is not available, or the build fails.
    """
    base = await present(daemon, recipe.base, emit)
    with tempfile.TemporaryFile() as context:
        name = f"{REPOSITORY}:{_pack(recipe, base, context)}"
        found = await daemon.image(name)
        if found is not None:
            return found
        emit(Stage(what=f"building an image on {recipe.base}"))
        context.seek(0)

        def hear(line: str) -> None:
            if step := re.match(r"Step (\d+/\d+) : (\w+)", line):
                emit(Stage(what=f"building an image on {recipe.base}, step {step[1]} ({step[2]})"))

        await daemon.build(
            context,
            dockerfile=DOCKERFILE,
            tag=name,
            arguments={"TEST_IMAGE": recipe.base, "REQUIREMENTS": "requirements.txt", "APP": "app"},
            hear=hear,
        )
    built = await daemon.image(name)
    if built is None:
        raise MachineFault(f"Docker reported that it built the image {name}, but does not have it")
    return built


async def present(daemon: Daemon, name: str, emit: Emit) -> str:
    """Return the id of the image *name*, and pull it if it does not exist here.

    Raises:
        MachineFault: the image exists neither here nor at its registry.
    """
    found = await daemon.image(name)
    if found is None:
        emit(Stage(what=f"pulling {name}"))
        try:
            found = await daemon.pull(name)
        except MachineFault as error:
            raise MachineFault(
                f"the image {name} does not exist here, and cannot be pulled: {error.message}",
                advice=f"Check its name and the network, or pull it yourself: docker pull {name}",
            ) from error
    return found


def _pack(recipe: Recipe, base: str, context: IO[bytes]) -> str:
    """Write the context as a tar archive, and return the digest of the image's content."""
    digest = sha256(f"{base}\0".encode())
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in recipe.files():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return digest.hexdigest()[:16]


def _project() -> Iterator[tuple[str, bytes]]:
    """Yield the project's own files, from a checkout or from an installed package."""
    root = PACKAGE.parent
    checkout = root / "pyproject.toml"
    if checkout.is_file() and (root / DOCKERFILE).is_file():
        yield "pyproject.toml", checkout.read_bytes()
        yield DOCKERFILE, (root / DOCKERFILE).read_bytes()
    else:
        needs = [need for need in metadata.requires("loadgen") or () if "extra ==" not in need]
        yield "pyproject.toml", f"[project]\nname = 'loadgen'\ndependencies = {needs!r}\n".encode()
        yield DOCKERFILE, (PACKAGE / "containers" / "Dockerfile").read_bytes()
    for package in ("loadgen", "server_app"):
        for file in package_files(root / package):
            path = Path(file)
            yield path.relative_to(root).as_posix(), path.read_bytes()


def _application(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in code(folder, "server"):
        yield f"app/{path.relative_to(folder).as_posix()}", path.read_bytes()


def code(folder: Path, whose: str) -> Iterator[Path]:
    """Yield the files of *folder* that are code or data of *whose*, in a fixed order.

    Raises:
        UsageError: it is too large, or cannot be read.
    """
    size = 0
    try:
        for at, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
            for name in sorted(names):
                path = Path(at, name)
                if name.endswith(".pyc") or not path.is_file():
                    continue
                size += path.stat().st_size
                if size > LARGEST:
                    raise UsageError(
                        f"the {whose}'s folder {folder} is too large: more than {LARGEST >> 20} MB",
                        advice=f"Move the {whose} into a separate folder.",
                    )
                yield path
    except OSError as error:
        raise UsageError(f"the folder of the {whose} cannot be copied into a container: {error}") from error
