"""A fleet of other machines: trials on a Dask cluster, one at a time on each worker.

Workers are started with Dask's own commands, each with the resource :data:`RESOURCE`. If a trial loses its
worker, the scheduler repeats it on another one; a trial that loses several is reported and given up. On a
worker, a trial runs as it does locally, in processes that end with the worker. It is cancelled when its
result is no longer wanted, because the search has stopped or its process is gone.
"""

from __future__ import annotations

import io
import logging
import tarfile
import tempfile
from concurrent.futures import CancelledError
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import anyio

from loadgen.core.verdict import Judgement
from loadgen.engine import retrace
from loadgen.errors import LoadgenError, MachineFault, UsageError
from loadgen.hunt import trial
from loadgen.hunt.trial import TrialCause, TrialPlan, TrialResult
from loadgen.hunt.workers import Workers

try:
    from distributed import Client, KilledWorker, Security, get_worker
except ImportError as missing:
    raise MachineFault(
        f"--cluster needs Dask, which is not installed: {missing}",
        advice="Install it: pip install 'distributed>=2026.1,<2027'",
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Future, Worker

RESOURCE = "loadgen"
CONNECTING = 15.0
"""Time limit for an answer of a scheduler or a worker, in seconds."""
ASKING = 1.0
"""Seconds between two checks whether a trial on a worker is still wanted."""
_START = f'dask worker SCHEDULER --resources "{RESOURCE}=1" --nthreads 1'


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the authority's certificate, this machine's certificate, and its key."""

    ca: Path
    cert: Path
    key: Path


class Cluster:
    """A Dask cluster; see :class:`loadgen.hunt.fleet.Fleet`. Use it with ``async with``."""

    def __init__(
        self, address: str, sources: Mapping[str, str], *, tls: Tls | None = None, keep: bool = False
    ) -> None:
        """Use the scheduler at *address*; the files *sources*, by path, are the same on its workers.

        With *keep*, the files of identical trials are transferred too.
        """
        self._address = address
        self._versions = versions(sources)
        self._sources = dict(sources)
        self._security = _security(address, tls)
        self._keep = keep
        self._client: Any = None
        self._room = anyio.Semaphore(0)
        self._alone = anyio.Lock()
        self.slots = 0
        self.name = address

    async def __aenter__(self) -> Self:
        """Connect, and check that every worker has the same installation.

        Raises:
            MachineFault: no scheduler answers, no worker has the resource, or one has a different loadgen,
                engine, Python, Dask, or different files of the application.
        """
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # important errors are raised
        try:
            self._client = await Client(
                self._address,
                asynchronous=True,
                security=self._security,
                timeout=CONNECTING,
                set_as_default=False,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise MachineFault(
                f"no Dask scheduler answers at {self._address}: {error}",
                advice="Start one: dask scheduler. With TLS, it needs Dask's --tls-ca-file, --tls-cert and "
                "--tls-key, and loadgen its --tls-ca, --tls-cert and --tls-key.",
            ) from error
        try:
            self.slots = await self._check_workers()
            self._room = anyio.Semaphore(self.slots)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CONNECTING):
            await self._client.close()

    async def _check_workers(self) -> int:
        """Return the number of workers that accept trials."""
        try:
            await self._client.get_versions(check=True)
        except ValueError as error:
            raise MachineFault(f"the cluster at {self._address} runs different versions:\n{error}") from error
        known = (await self._client.scheduler.identity(n_workers=-1))["workers"]
        offering = [one for one, about in known.items() if about["resources"].get(RESOURCE)]
        if not offering:
            raise MachineFault(
                f"none of the {len(known)} workers at {self._address} has the resource {RESOURCE}",
                advice=f"Start one on each machine: {_START}",
            )
        told = await self._client.run(versions, self._sources, workers=offering, on_error="return")
        for worker, found in told.items():
            if isinstance(found, Exception):
                raise MachineFault(f"the worker {worker} cannot run trials: {found}")
            _compare(worker, found, self._versions)
        return len(offering)

    async def run(self, plan: TrialPlan, folder: Path, *, limit: float) -> TrialResult:
        """Run *plan* on a worker, and copy its files here unless it was identical.

        Raises:
            UsageError: the commands refuse their arguments.
            MachineFault: the cluster is gone, or a worker with a different installation joined.
        """
        async with self._room:
            made = await self._submit(plan, limit)
        if made is None:
            # Dask blames a lost worker on all of its trials; if a trial runs alone, it is the cause.
            async with self._alone, AsyncExitStack() as everybody:
                for _ in range(self.slots):
                    await everybody.enter_async_context(self._room)
                made = await self._submit(plan, limit)
        if made is None:
            return _poison(plan)
        result, files = made
        if not files:
            return replace(result, folder="")
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            archive.extractall(folder, filter="data")
        return replace(result, folder=str(folder))

    async def _submit(self, plan: TrialPlan, limit: float) -> tuple[TrialResult, bytes] | None:
        """Return a trial's result and files; None if it lost several workers."""
        future: Future = self._client.submit(
            _try,
            plan,
            self._versions,
            self._sources,
            limit,
            keep=self._keep,
            key=f"loadgen-trial-{uuid4().hex}",
            pure=False,
            resources={RESOURCE: 1},
        )
        try:
            made: tuple[TrialResult, bytes] = await future
        except KilledWorker:
            return None
        except CancelledError as error:
            raise MachineFault(f"the scheduler at {self._address} is gone") from error
        finally:
            # Otherwise finished trials are repeated when their worker dies, and unfinished ones continue.
            if not future.done():
                with anyio.CancelScope(shield=True), anyio.move_on_after(CONNECTING):
                    await self._client.cancel([future], force=True)
            future.release()
        return made


def versions(sources: Mapping[str, str]) -> dict[str, str]:
    """Return the versions that must be the same everywhere, and those of *sources* with another digest."""
    from loadgen.store.code_digests import changed  # noqa: PLC0415 - on a worker, only what a trial needs is imported

    here = retrace.versions()
    same = {name: here[name] for name in ("loadgen", "engine", "boundary", "python")}
    return {**same, "files": ", ".join(sorted(changed(sources) or ()))}


def _compare(worker: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    if missing := found["files"]:
        raise MachineFault(
            f"the worker {worker} has different files than this machine: {missing}",
            advice="The target and the scenarios must be the same, at the same path, on each machine.",
        )
    for name, value in wanted.items():
        if found[name] != value:
            raise MachineFault(
                f"the worker {worker} has a different {name}: {found[name]}, not {value}",
                advice="Install the same loadgen, engine and Python on each machine.",
            )


def _security(address: str, tls: Tls | None) -> Security | None:
    if (urlsplit(address).scheme == "tls") is not (tls is not None):
        raise UsageError(
            f"--cluster {address} does not use TLS, but TLS files are given"
            if tls
            else f"{address} needs --tls-ca, --tls-cert and --tls-key",
            advice="Give a tls:// address and all three files, or none of them.",
        )
    if tls is None:
        return None
    return Security(
        tls_ca_file=str(tls.ca),
        tls_client_cert=str(tls.cert),
        tls_client_key=str(tls.key),
        require_encryption=True,
    )


def _poison(plan: TrialPlan) -> TrialResult:
    what = "it lost several workers, one after the other, also without other trials beside it"
    why = "Either it kills them, or their machines run out of memory: try it on one machine."
    return TrialResult(
        judgement=Judgement.UNDETERMINED,
        message=what,
        causes=(TrialCause("machine", "lost its workers", what, why, 0),),
        command=plan.command,
    )


# ---- on a worker -----------------------------------------------------------------------------------------


def _try(
    plan: TrialPlan, wanted: Mapping[str, str], sources: Mapping[str, str], limit: float, *, keep: bool
) -> tuple[TrialResult, bytes]:
    """Run one trial on this worker; return its result, and its files unless it was identical."""
    worker: Worker = get_worker()
    _compare(worker.address, versions(sources), wanted)  # the worker may have joined later
    with tempfile.TemporaryDirectory(prefix="loadgen-trial-", dir=worker.local_directory) as work:
        folder = Path(work) / "trial"
        result = anyio.run(_while_wanted, plan, folder, limit, worker, _key(worker))
        if result.judgement is Judgement.IDENTICAL and not keep:
            return result, b""
        files = io.BytesIO()
        with tarfile.open(fileobj=files, mode="w:gz") as archive:
            archive.add(folder, arcname="")
        return result, files.getvalue()


def _key(worker: Worker) -> str:
    key = worker.get_current_task()
    assert isinstance(key, str)
    return key


async def _while_wanted(plan: TrialPlan, folder: Path, limit: float, worker: Worker, key: str) -> TrialResult:
    """Run the trial; cancel it when its result is no longer wanted."""
    result: list[TrialResult] = []
    error: list[Exception] = []

    async def ask(scope: anyio.CancelScope) -> None:
        while not scope.cancel_called:
            await anyio.sleep(ASKING)  # Dask has no event for it
            task = worker.state.tasks.get(key)
            if task is None or task.state != "executing":
                scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(ask, group.cancel_scope)
        try:
            async with Workers() as workers:
                result.append(await trial.run(plan, folder, workers, limit=limit))
        except LoadgenError as raised:  # kept outside the task group, which would wrap it
            error.append(raised)
        group.cancel_scope.cancel()
    if error:
        raise error[0]
    if not result:
        raise MachineFault("the search that started this trial has ended")
    return result[0]
