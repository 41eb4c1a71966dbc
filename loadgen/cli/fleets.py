"""Where the trials of a search run: options for a cluster, which ``stress`` and ``races`` share."""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.core.spec import BUNDLED, RunSpec, file_of
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from loadgen.core.spec import Traffic
    from loadgen.hunt.cluster import Cluster, Tls
    from loadgen.hunt.fleet import Fleet

JOBS = max(1, (os.cpu_count() or 1) // 2)
"""Trials at a time: each keeps a server and a client busy."""

Address = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Run the trials on a Dask cluster: tcp://scheduler:8786, or tls://scheduler:8786.",
        show_default=False,
    ),
]
TlsFile = Annotated[
    Path | None,
    typer.Option(
        help="For a tls:// cluster, all three, as PEM files: the certificate of the authority (ca), our own "
        "certificate (cert), and its key.",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]


def cluster_at(
    address: str | None, files: Mapping[str, str], tls: tuple[Path | None, ...], *, keep: bool = False
) -> Cluster | None:
    """Return the cluster at *address*, where *files* must have the same digests; None: no cluster.

    Raises:
        UsageError: the TLS files do not fit.
        MachineFault: Dask is not installed.
    """
    given = _tls(*tls)
    if address is None:
        return None
    if not re.fullmatch(r"(\w+://)?\S+:\d+", address):
        raise UsageError(
            f"{address!r} is not the address of a Dask scheduler",
            advice="Give tcp://HOST:PORT or tls://HOST:PORT.",
        )
    from loadgen.hunt.cluster import Cluster

    return Cluster(address, files, tls=given, keep=keep)


@asynccontextmanager
async def connected(cluster: Cluster | None, jobs: int) -> AsyncIterator[Fleet]:
    """Use *cluster*, or this machine with *jobs* trials at a time."""
    from loadgen.hunt.fleet import LocalFleet

    async with LocalFleet(jobs) if cluster is None else cluster as fleet:
        yield fleet


def files_of(spec: RunSpec, traffic: Iterable[Traffic], *, elsewhere: bool = False) -> dict[str, str]:
    """Return the digest of each file of the target and of *traffic*, by path.

    Raises:
        UsageError: the target does not exist.
    """
    from loadgen.engine.target import resolve
    from loadgen.store.code_digests import sources
    from loadgen.store.files import digest

    named = [Path(path) for one in traffic if (path := file_of(one)) is not None]
    found = {str(path.resolve()): digest(path) for path in named if path.is_file()}
    if spec.target_name == BUNDLED:
        return found
    return found | sources(resolve(spec.target, spec.cwd, python=spec.python, elsewhere=elsewhere))


def _tls(*files: Path | None) -> Tls | None:
    """Return the files if all three are given.

    Raises:
        UsageError: only some are.
    """
    ca, cert, key = files
    if ca is None or cert is None or key is None:
        if any(files):
            raise UsageError("TLS needs all three of --tls-ca, --tls-cert and --tls-key")
        return None
    from loadgen.hunt.cluster import Tls

    return Tls(ca.resolve(), cert.resolve(), key.resolve())
