"""The topology and the hardening of the containers, as plain values.

Both ways to run containers use it: the Docker SDK reads it, and a test compares ``compose/`` with it.

Recording: server and load generator are two containers on an internal network, which has no way out.
Replaying: the server has no network at all, and the verifier joins its network namespace to reach its
loopback. The volume holds the run; a replaying server can only read it. What needs no requests (a whole
process, a client) is replayed by its verifier, in one container without network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loadgen.core.jobs import ENTRY

HTTP_PORT = 5000
LIVENESS_PORT = 5001
"""A server exits when the connection to this port closes: its driver has exited."""

HOME = "/loadgen"
"""Mount point of the volume; also the load generator's working directory, so runs are in ``runs/``."""
TAPE = f"{HOME}/recording.bin"
"""Where a server records, until the load generator moves it into the folder of the run."""
TAP = f"{HOME}/tap"
"""Where a server whose whole process is traced reports that it listens."""
APP = "/app"
"""Folder of the code of the server under test."""
DATABASE = "/tmp/loadgen-app.db"  # noqa: S108 - in the container's own tmpfs, gone with it

USER = "10001:10001"
TMPFS = {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"}  # noqa: S108 - the container's own
MEMORY = "512m"
PIDS = 256
"""Limit of threads and processes of a container; :func:`pids` raises it if the concurrency needs more."""
PIDS_PER_USER = 3
"""Threads per virtual user: one of the server, a traced one of the request, and one about to exit."""

NAMES = {"dns": ["127.0.0.1"], "dns_opt": ["timeout:1", "attempts:1"]}
"""DNS settings of the internal network: no outside resolver, and a short timeout. By default, an older Docker
engine forwards unknown names to the outside."""

SERVER_ALIAS = "flask-record"
"""Name of the recorded server on its network."""

LISTENING_AT = f"0.0.0.0:{HTTP_PORT}"
"""Where servers listen in their containers."""
RECORDED_AT = f"{SERVER_ALIAS}:{HTTP_PORT}"
REPLAYED_AT = f"127.0.0.1:{HTTP_PORT}"
"""Address of the replayed server for its load generator."""
WORKER = ("python", "-m", ENTRY)
"""The command of every container, followed by its job; compose/ passes a part and options instead."""


def pids(concurrency: int) -> int:
    """Return the process limit of a server used by *concurrency* virtual users."""
    return max(PIDS, 64 + PIDS_PER_USER * concurrency)


def hardening(*, concurrency: int = 1, memory: str = MEMORY) -> dict[str, Any]:
    """Return the restrictions of every container, as options of the Docker SDK."""
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
    """The role of a container in the topology."""

    name: str
    command: tuple[str, ...]
    network: str
    """``record`` (internal), ``none``, or ``service:<name>``: the network of that container."""
    volume: str
    """``rw`` or ``ro``."""
    workdir: str


FLASK_RECORD = Service("flask-record", WORKER, "record", "rw", APP)
RECORD = Service("record", WORKER, "record", "rw", HOME)
FLASK_REPLAY = Service("flask-replay", WORKER, "none", "ro", APP)
REPLAY = Service("replay", WORKER, "service:flask-replay", "rw", HOME)
REPLAY_ALONE = Service("replay-alone", WORKER, "none", "rw", HOME)
"""Replays a whole process, or a client: nothing listens, and nobody connects."""
SERVICES = (FLASK_RECORD, RECORD, FLASK_REPLAY, REPLAY, REPLAY_ALONE)
