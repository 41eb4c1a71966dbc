"""Docker, through its SDK: the only module that imports the SDK, and only when needed.

The SDK blocks, so every call runs in a thread. Its errors are mapped to loadgen's, with advice.
"""

from __future__ import annotations

import tarfile
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import to_thread
from anyio.from_thread import BlockingPortal

from loadgen.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")
CALL_LIMIT = 60
"""Time limit for a call to the daemon."""
NEEDS = "Docker is needed for --runtime docker; without it, record locally: --runtime local"


@dataclass(frozen=True, slots=True)
class ContainerExit:
    """How a container exited."""

    code: int
    out_of_memory: bool


class Daemon:
    """A Docker engine that answered."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    async def connect(cls) -> Daemon:
        """Reach the engine that the environment names (``DOCKER_HOST``), by default the local socket.

        Raises:
            MachineFault: there is none, or we may not use it.
        """
        import docker  # noqa: PLC0415 - slow, and needed by few commands

        def reach() -> Any:
            try:
                client = docker.from_env(timeout=CALL_LIMIT)
                client.ping()
            except docker.errors.DockerException as error:
                raise _unreachable(error) from error
            return client

        return cls(await to_thread.run_sync(reach))

    async def call(self, ask: Callable[[Any], T]) -> T:
        """Run *ask* with the SDK's client, in a thread.

        Raises:
            MachineFault: Docker refuses, or does not answer.
        """

        def work() -> T:
            with _translated():
                return ask(self._client)

        return await to_thread.run_sync(work)

    async def follow(self, ask: Callable[[Any], Iterable[T]], hear: Callable[[T], None]) -> None:
        """Call *hear* with each piece of a stream as it arrives."""

        def work(portal: BlockingPortal) -> None:
            for piece in ask(self._client):
                portal.call(hear, piece)

        await _abandonable(work)

    # ---- images -----------------------------------------------------------------------------------------

    async def image(self, name: str) -> str | None:
        """Return the id of a local image; None if it does not exist."""

        def find(client: Any) -> str | None:
            from docker.errors import ImageNotFound  # noqa: PLC0415

            try:
                return str(client.images.get(name).id)
            except ImageNotFound:
                return None

        return await self.call(find)

    async def pull(self, name: str) -> str:
        """Fetch an image from its registry and return its id."""
        repository, tag = (name, None) if "@" in name else _split(name)

        def fetch(client: Any) -> str:
            return str(client.images.pull(repository, tag=tag).id)

        return await self.call(fetch)

    async def build(
        self,
        context: IO[bytes],
        *,
        dockerfile: str,
        tag: str,
        arguments: Mapping[str, str],
        hear: Callable[[str], None],
    ) -> None:
        """Build an image; *hear* receives each line of the build's output.

        Raises:
            MachineFault: the build failed; the message quotes the end of its output.
        """
        said: list[str] = []

        def take(piece: dict[str, Any]) -> None:
            text = piece.get("error") or piece.get("stream") or ""
            for line in str(text).splitlines():
                if line.strip():
                    said.append(line)
                    hear(line)
            if "error" in piece:
                raise MachineFault(
                    "the image cannot be built:\n  " + "\n  ".join(said[-12:]),
                    advice="See the lines above, or give an existing image with --image.",
                )

        def build(client: Any) -> Iterable[dict[str, Any]]:
            stream: Iterable[dict[str, Any]] = client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile=dockerfile,
                tag=tag,
                buildargs=dict(arguments),
                rm=True,
                forcerm=True,
                decode=True,
                timeout=None,
            )
            return stream

        await self.follow(build, take)

    # ---- containers -------------------------------------------------------------------------------------

    async def lines(self, container: Any, hear: Callable[[str], None]) -> None:
        """Call *hear* with each line that *container* prints on stdout, until it exits."""
        rest = b""

        def take(piece: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                hear(line.decode(errors="replace"))

        await self.follow(lambda _: container.logs(stream=True, follow=True, stdout=True, stderr=False), take)

    async def wait(self, container: Any) -> ContainerExit:
        """Wait until *container* exits, and return how."""

        def work(_: BlockingPortal) -> ContainerExit:
            container.client.api.wait(container.id, timeout=None)
            container.reload()
            state = container.attrs["State"]
            return ContainerExit(state["ExitCode"], bool(state["OOMKilled"]))

        return await _abandonable(work)

    async def save_log(self, container: Any, path: Path, *, stdout: bool = True) -> None:
        """Write what *container* printed to the file at *path*."""

        def work(_: Any) -> None:
            with path.open("wb") as file:
                for piece in container.logs(stream=True, follow=False, stdout=stdout, stderr=True):
                    file.write(piece)

        await self.call(work)

    async def put(
        self, container: Any, folder: str, members: Iterable[tuple[str, Path | None]], owner: int
    ) -> None:
        """Copy files into *container*: pairs of a name below *folder* and a path (None: create a folder)."""

        def work(_: Any) -> None:
            with tempfile.TemporaryFile() as file:
                with tarfile.open(fileobj=file, mode="w") as tar:
                    for name, path in members:
                        info = tar.gettarinfo(path, name) if path else tarfile.TarInfo(name)
                        info.uid = info.gid = owner
                        info.uname = info.gname = ""
                        if path is None:
                            info.type, info.mode = tarfile.DIRTYPE, 0o755
                            tar.addfile(info)
                        else:
                            with path.open("rb") as content:
                                tar.addfile(info, content)
                file.seek(0)
                container.put_archive(folder, file)

        await self.call(work)

    async def get(self, container: Any, path: str, into: Path) -> bool:
        """Copy a file, or a folder's content, out of *container* into *into*; return whether it existed."""

        def work(_: Any) -> bool:
            from docker.errors import NotFound  # noqa: PLC0415

            try:
                stream, _stat = container.get_archive(path)
            except NotFound:
                return False
            with tempfile.TemporaryFile() as file:
                for piece in stream:
                    file.write(piece)
                file.seek(0)
                with tarfile.open(fileobj=file) as tar:
                    for member in tar:
                        name = (
                            member.name.partition("/")[2]
                            if member.isdir() or "/" in member.name
                            else member.name
                        )
                        if name:
                            tar.extract(member.replace(name=name), into, filter="data")
            return True

        return await self.call(work)


async def _abandonable(work: Callable[[BlockingPortal], T]) -> T:
    """Run *work* in a thread that is abandoned on cancellation, as it may block for long.

    It is a daemon thread: one of anyio's worker threads would keep the interpreter from exiting.
    """
    result: list[T] = []
    failed: list[BaseException] = []
    done = anyio.Event()
    async with BlockingPortal() as portal:

        def run() -> None:
            try:
                with _translated():
                    result.append(work(portal))
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                failed.append(error)
            with suppress(RuntimeError):  # the caller no longer waits
                portal.call(done.set)

        threading.Thread(target=run, name="docker", daemon=True).start()
        await done.wait()
    if failed:
        raise failed[0]
    return result[0]


@contextmanager
def _translated() -> Iterator[None]:
    """Map errors of the SDK and its dependencies to loadgen's."""
    import requests  # noqa: PLC0415
    from docker import errors  # noqa: PLC0415

    try:
        yield
    except errors.APIError as error:
        raise MachineFault(f"Docker reported an error: {error.explanation or error}") from error
    except (errors.DockerException, requests.RequestException, OSError) as error:
        raise MachineFault(f"Docker does not answer: {error}", advice=NEEDS) from error


def _unreachable(error: BaseException) -> MachineFault:
    """Explain why Docker cannot be reached, from the text of the errors that the SDK wraps."""
    text = str(error)
    if "PermissionError" in text or "Permission denied" in text:
        return MachineFault(
            "no permission to use Docker's socket",
            advice="Run as a member of the docker group (sudo usermod -aG docker $USER, then log in again).",
        )
    return MachineFault(
        f"no Docker engine answers: {text}",
        advice=f"Start Docker, or set DOCKER_HOST to its address. {NEEDS}",
    )


def _split(name: str) -> tuple[str, str]:
    """Split an image's name into repository and tag."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


async def quietly(daemon: Daemon, ask: Callable[[Any], object]) -> bool:
    """Call, ignoring failure, as for something that may be gone already; return whether it succeeded."""
    try:
        await daemon.call(ask)
    except MachineFault:
        return False
    return True
