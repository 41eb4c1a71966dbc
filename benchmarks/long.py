"""What a long run costs at its end beside its beginning: memory, and the server's processor time a request.

A server whose answers do not grow is recorded and verified with many requests, and watched meanwhile: the
processor time of the recorded, then of the replayed server, and the resident memory of both sides. What
grows with a run shows in the last column of the table, the last part beside the second one (the first has
the start in it).

    python benchmarks/long.py [--requests 100000] [--concurrency 8] [--parts 10]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from footprint import SERVER

SCENARIO = """
from loadgen import scenario

@scenario
async def visit(user):
    answer = await user.http.get("/")
    assert answer.status_code == 200
"""
LOOK_EVERY = 0.2
"""Seconds."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """The state of a command after some requests."""

    requests: int
    cpu: float
    """Seconds of processor time of the server."""
    own: float
    """Resident MiB of the command."""
    server: float
    """The same, of the server."""


def of(pid: int) -> tuple[float, float]:
    """Return the processor seconds and the resident MiB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def server_of(pid: int) -> int | None:
    """Return the traced server among the children of a process."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"loadgen.traced" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return None


class Watch:
    """Looks at a command while it runs, each time a part of its requests has been answered."""

    def __init__(self, transcript: Path, requests: int, parts: int) -> None:
        self.transcript = transcript
        self.marks = [requests * part // parts for part in range(1, parts + 1)]
        self.seen: list[Seen] = []
        self._answered = self._read = 0
        self._over = threading.Event()

    def run(self, *arguments: str) -> None:
        """Run ``loadgen`` with *arguments*, and watch it."""
        with subprocess.Popen([sys.executable, "-m", "loadgen", *arguments, "-q"]) as process:
            watching = threading.Thread(target=self._watch, args=(process.pid,))
            watching.start()
            process.wait()
            self._over.set()
            watching.join()
        if process.returncode:
            sys.exit(f"loadgen {' '.join(arguments)} ended with {process.returncode}")

    def _watch(self, pid: int) -> None:
        while not self._over.wait(LOOK_EVERY):
            try:
                server = server_of(pid)
                if server is None or not self.marks or self._count() < self.marks[0]:
                    continue
                (_, own), (cpu, mebibytes) = of(pid), of(server)
            except OSError:  # they come and go
                continue
            self.seen.append(Seen(self._answered, cpu, own, mebibytes))
            while self.marks and self.marks[0] <= self._answered:
                del self.marks[0]

    def _count(self) -> int:
        """Return how many requests were answered, as far as the transcript was written."""
        with self.transcript.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        self._answered += whole.count(b'"event":"response"')
        return self._answered


def told(name: str, seen: list[Seen]) -> None:
    """Print the parts, and the last beside the second."""
    print(f"\n{name:<10}{'server CPU a request':>24}{'server':>12}{'loadgen':>12}")
    costs = []
    for before, after in pairwise(seen):
        costs.append((after.cpu - before.cpu) / (after.requests - before.requests) * 1e3)
        print(
            f"{after.requests:>10,}{costs[-1]:>21.3f} ms{after.server:>8.0f} MiB{after.own:>8.0f} MiB",
            flush=True,
        )
    if len(costs) > 1:
        ratios = costs[-1] / costs[0], seen[-1].server / seen[1].server, seen[-1].own / seen[1].own
        print(f"{'ratio':<10}{ratios[0]:>24.2f}{ratios[1]:>12.2f}{ratios[2]:>12.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--parts", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loadgen-long-") as name:
        folder = Path(name)
        (folder / "server.py").write_text(SERVER)
        (folder / "get.py").write_text(SCENARIO)
        run = folder / "run"
        for command, transcript, arguments in (
            (
                "record",
                run / "transcript.jsonl",
                (
                    str(folder / "server.py"), "--scenario", str(folder / "get.py"), "--run", str(run),
                    "-c", str(given.concurrency), "-n", str(given.requests // given.concurrency),
                ),
            ),
            ("verify", run / "verify" / "1" / "transcript.jsonl", (str(run),)),
        ):  # fmt: skip
            watch = Watch(transcript, given.requests, given.parts)
            watch.run(command, *arguments)
            told(command, watch.seen)
        size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
        print(f"\n{size / 2**20:,.0f} MiB on the disk, {size / given.requests:,.0f} bytes a request")


if __name__ == "__main__":
    main()
