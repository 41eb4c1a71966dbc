"""What runs where: the topology and the hardening of the containers, as plain values.

Both ways to run containers follow it: the Docker SDK reads it, and a test holds ``compose/`` to it.

Recording: server and load generator are two containers on an internal network, which has no way out.
Replaying: the server has no network at all, and the verifier joins its network namespace to reach its
loopback. The volume holds the run; a replaying server can only read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loadgen.core.jobs import ENTRY

HTTP_PORT = 5000
LIFELINE_PORT = 5001
"""A server leaves when the connection to this port ends: whoever drives it is gone."""

HOME = "/loadgen"
"""Where the volume is: working directory of the load generator, so its runs are in ``runs/``."""
TAPE = f"{HOME}/recording.bin"
"""Where a server records, until the load generator moves it into the folder of the run."""
APP = "/app"
"""Where the code of the server under test is."""
DATABASE = "/tmp/loadgen-app.db"  # noqa: S108 - in the container's own tmpfs, gone with it

USER = "10001:10001"
TMPFS = {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"}  # noqa: S108 - the container's own
MEMORY = "512m"
PIDS = 256
"""Threads and processes of a container; :func:`pids` allows more where the concurrency needs more."""
PIDS_PER_USER = 3
"""Of a virtual user: a thread of the server, a traced one of the request, and one that is about to end."""

NAMES = {"dns": ["127.0.0.1"], "dns_opt": ["timeout:1", "attempts:1"]}
"""Whom to ask for names on the internal network: nobody, and not for long. Left alone, an older engine passes
the names that it does not know on to the outside."""

SERVER_ALIAS = "flask-record"
"""Name of the recorded server on its network."""

RECORDED_AT = f"{SERVER_ALIAS}:{HTTP_PORT}"
REPLAYED_AT = f"127.0.0.1:{HTTP_PORT}"
"""Where a load generator finds its server."""
WORKER = ("python", "-m", ENTRY)
"""What every container runs, with its job; compose/ names a part and options instead of a job."""


def pids(concurrency: int) -> int:
    """Return how many threads a server may have that *concurrency* virtual users use at the same time."""
    return max(PIDS, 64 + PIDS_PER_USER * concurrency)


def hardening(*, concurrency: int = 1, memory: str = MEMORY) -> dict[str, Any]:
    """Return what every container is denied, as the Docker SDK's options."""
    return {
        "user": USER,
        "read_only": True,
        "tmpfs": TMPFS,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": pids(concurrency),
        "mem_limit": memory,
        "memswap_limit": memory,  # no swap: the limit is the limit
    }


@dataclass(frozen=True, slots=True)
class Service:
    """A container's part in the whole."""

    name: str
    command: tuple[str, ...]
    network: str
    """``record`` (internal), ``none``, or ``service:<name>``: that container's own."""
    volume: str
    """``rw`` or ``ro``."""
    workdir: str


FLASK_RECORD = Service("flask-record", WORKER, "record", "rw", APP)
RECORD = Service("record", WORKER, "record", "rw", HOME)
FLASK_REPLAY = Service("flask-replay", WORKER, "none", "ro", APP)
REPLAY = Service("replay", WORKER, "service:flask-replay", "rw", HOME)
SERVICES = (FLASK_RECORD, RECORD, FLASK_REPLAY, REPLAY)
