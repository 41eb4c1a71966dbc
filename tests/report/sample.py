"""Run folders generated from a seed: any size, with any number of divergences, without a server."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from loadgen.core import transcript
from loadgen.core.alignment import Alignment
from loadgen.core.diagnosis import diagnosed
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.judge import Judge
from loadgen.core.settling import settled
from loadgen.core.spec import Load, RunSpec
from loadgen.core.verdict import Facts
from loadgen.errors import EngineFault
from loadgen.store import sealed
from loadgen.store.files import digest
from loadgen.store.manifest import Manifest, Started, State, Totals
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.alignment import Aligned
    from loadgen.core.departure import Departure

STARTED = "2026-03-02T09:30:00+00:00"


@dataclass(slots=True, kw_only=True)
class Sample:
    """What kind of run to make."""

    requests: int = 60
    users: int = 4
    diverge: tuple[int, ...] = ()
    """Requests whose replay says something else."""
    fail: tuple[int, ...] = ()
    """Requests without an answer, in both sessions."""
    order_differs: bool = False
    doubt: str = ""
    """Why the replay cannot tell."""
    verified: bool = True
    cut: bool = False
    """The transcript ends in the middle of a line, and the run failed."""
    headers: tuple[tuple[str, str], ...] = ()
    answer_headers: tuple[tuple[str, str], ...] = ()
    left: dict[int, Departure] = field(default_factory=dict)
    """Requests whose replay left the tape, and how."""
    asked: tuple[Aligned, ...] = ()
    """What changed code asks otherwise."""
    concluded: bool = True
    """Whether its causes were found: of several replays, one has them."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Further facts of the verdict."""
    bodies: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """Recorded and replayed bodies of some requests."""
    request_bodies: dict[int, bytes] = field(default_factory=dict)
    code: str = ""
    """The application's ``app.py``; it stands beside the run folder."""
    schedule: str = ""
    """The run's schedule."""
    race: dict[str, Any] = field(default_factory=dict)
    """What a hunt wrote of it."""
    broken: str = ""
    """What the first request's scenario failed with; it was due half a second before it was sent, too."""
    seed: int = 1


RACE = Sample(
    requests=4,
    code="total = 0\n\n\ndef add():\n    global total\n    n = total\n    total = n + 1\n    return total\n",
    schedule=(
        '{"format": "loadgen-schedule/1", "strategy": "script", "seed": 1, "points": "lines"}\n'
        '{"ran": 1000002, "step": 1, "at": "app.py:6 add"}\n'
        '{"ran": 1000002, "step": 2, "at": "app.py:7 add"}\n'
        '{"choice": "line", "thread": 1000002, "step": 2, "to": 1000001, "point": 2, "at": "app.py:7 add"}\n'
        '{"ran": 1000001, "step": 1, "at": "app.py:6 add"}\n'
        '{"ran": 1000001, "step": 2, "at": "app.py:7 add"}\n'
        '{"ran": 1000001, "step": 3, "at": "app.py:7 add"}\n'
        '{"end": 1000001, "label": "POST /add", "steps": 3}\n'
        '{"choice": "end", "thread": 1000001, "step": 3, "to": 1000002}\n'
        '{"ran": 1000002, "step": 3, "at": "app.py:8 add"}\n'
        '{"end": 1000002, "label": "POST /add", "steps": 3}\n'
    ),
    race={
        "race": {"story": ["request 2 was stopped"]},
        "pair": {
            "stopped": 1000002, "at": "app.py:7 add", "inside": False, "after": "app.py:6 add",
            "other": 1000001, "ran": "app.py:6 add",
        },
    },
)  # fmt: skip
"""A lost update, as a hunt explains it."""


def make(path: Path, sample: Sample) -> tuple[RunFolder, Manifest]:
    """Write the run folder, and one verification of it, reached by the real judge."""
    path.mkdir(parents=True)
    run = RunFolder(path)
    manifest = Manifest(
        id=path.name, created=STARTED, command=("loadgen", "record", "serve.py", "-c", str(sample.users)),
        spec=RunSpec(
            target=("serve.py",), load=Load(concurrency=sample.users, iterations=10, seed=sample.seed)
        ),
    )  # fmt: skip
    result = manifest.result
    result.started = Started(argv=("serve.py",), database="/nowhere/app.db")
    result.versions = {"loadgen": "0.1.0", "engine": "an engine", "python": "3.11.7"}
    session = _Session(sample)
    run.log.write_text('127.0.0.1 - - "GET /health HTTP/1.1" 200 -\n')
    run.recording.write_bytes(b"tape")
    if sample.schedule:
        run.schedule.write_text(sample.schedule, encoding="utf-8")
        (run.path / "race.json").write_text(json.dumps(sample.race), encoding="utf-8")
        code = path.parent / "app.py"
        code.write_text(sample.code, encoding="utf-8")
        manifest.sources = {str(code): digest(code)}
        result.started.folder = str(path.parent)
    session.write(run.transcript, run.bodies, replay=False)
    if sample.cut:
        content = run.transcript.read_bytes()
        run.transcript.write_bytes(content[: int(len(content) * 0.7)])
        result.state, result.error = State.FAILED, "the recorded server died: signal 11 (SIGSEGV)"
    else:
        result.state, result.files = State.COMPLETE, run.digests()
        result.totals = Totals(
            requests=sample.requests, failures=len(sample.fail), seconds=round(session.last, 3),
            statuses={200: sample.requests - len(sample.fail)}, p50_ms=9.5, p99_ms=60.1,
            iterations=10 * sample.users, failed_iterations=0,
        )  # fmt: skip
    run.save(manifest)
    if sample.verified:
        folder = run.new_verification()
        session.write(folder / "transcript.jsonl", folder / "bodies", replay=True)
        sealed.write(folder / "verdict.json", session.verdict())
    return run, manifest


class _Session:
    """One imagined session, and its replay."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.random = random.Random(sample.seed)
        self.plan = self._plan()
        self.last = max((line[0] for line in self.plan), default=0.0)
        self.steps = [seq if kind == "request" else -seq for _, kind, seq in self.plan]

    def _plan(self) -> list[tuple[float, str, int]]:
        """When each request is sent and answered: users send as soon as they have their answer."""
        free = [0.4 + self.random.random() * 0.01 for _ in range(self.sample.users)]
        self.user: dict[int, int] = {}
        lines = []
        for seq in range(1, self.sample.requests + 1):
            user = min(range(len(free)), key=free.__getitem__)
            sent = free[user]
            took = min(1.2, self.random.lognormvariate(-4.6, 0.7))
            self.user[seq] = user
            lines += [
                (sent, "request", seq),
                (sent + took, "failure" if seq in self.sample.fail else "answer", seq),
            ]
            free[user] = sent + took + 0.0004
        return sorted(lines)

    def request(self, seq: int) -> Request:
        """Return the request of that number."""
        draw = random.Random(f"{self.sample.seed}/{seq}")
        method, target, body = draw.choice((
            ("POST", "/api/users", b'{"name":"user-%d","email":"user-%d@example.com"}' % (seq, seq)),
            ("POST", "/api/posts", b'{"user_id":%d,"title":"A","content":"%s"}' % (seq, b"x" * (seq % 90))),
            ("GET", "/api/users", b""), ("GET", f"/api/users/{seq % 97}", b""),
            ("GET", f"/api/users/{seq % 97}/posts", b""), ("GET", "/api/stats", b""),
        ))  # fmt: skip
        body = self.sample.request_bodies.get(seq, body)
        headers = (("Host", "127.0.0.1:36783"), ("User-Agent", "python-httpx/0.28.1"), *self.sample.headers)
        if body:
            headers += (("Content-Length", str(len(body))), ("Content-Type", "application/json"))
        return Request(seq, self.user[seq], method, target, headers, body)

    def answer(self, seq: int, *, replay: bool) -> Response:
        """Return the answer to a request, in one of the two sessions."""
        method = self.request(seq).method
        off = int(replay and seq in self.sample.diverge)
        body = json.dumps(
            {
                "id": seq,
                "created_at": 1772443800.25 + seq,
                "posts": seq * 2 + off,
                "tags": ["a", "b"],
                "name": f"user-{seq}",
            },
            separators=(",", ":"),
        ).encode()
        status = 201 if method == "POST" else 404 if seq % 23 == 0 else 200
        if seq in self.sample.bodies:
            body = self.sample.bodies[seq][replay]
        if off and seq % 5 == 0:
            status, body = 500, b'{"error":"Internal Server Error"}'
        own = (("X-Loadgen-Outcome", "diverged"),) if replay and seq in self.sample.left else ()
        if own:
            status, body = 500, b"An exception left the application; the server's log has it.\n"
        headers = (
            ("Server", "Werkzeug/3.1.9"), ("Date", f"Mon, 02 Mar 2026 09:30:{seq // 400 % 60:02} GMT"),
            ("Content-Type", "application/json"), ("Content-Length", str(len(body))),
            ("X-Loadgen-Served", "replay" if replay else "record"), ("Connection", "close"),
            *self.sample.answer_headers, *own,
        )  # fmt: skip
        return Response(seq, status, headers, body)

    def write(self, path: Path, bodies: Path, *, replay: bool) -> None:
        """Write one session's transcript."""

        def keep(digest: str, body: bytes) -> None:
            bodies.mkdir(exist_ok=True)
            (bodies / digest).write_bytes(body)

        with path.open("w", encoding="utf-8") as file:
            broken = "" if replay else self.sample.broken
            late = 0.5 if broken else 0.0

            def line(at: float, event: transcript.Event) -> None:
                name, fields = transcript.encode(event, keep)
                due = (
                    {"due": round(at, 6)} if broken and isinstance(event, Request) and event.seq == 1 else {}
                )
                at = round(at + late, 6) if not isinstance(event, transcript.Run) else 0
                file.write(json.dumps({"event": name, "at": at, **due, **fields}, ensure_ascii=False) + "\n")

            line(0, transcript.Run("sample", "mixed", self.sample.seed, self.sample.users, 10, STARTED))
            pace = 0.8 if replay else 1.0
            for at, kind, seq in self.plan:
                if kind == "request":
                    line(at * pace, self.request(seq))
                elif kind == "answer":
                    line(at * pace, self.answer(seq, replay=replay))
                else:
                    line(at * pace, Failure(seq, "ReadTimeout", "timed out"))
            if broken:
                line(
                    self.last,
                    transcript.FailedIteration(0, 1, "read", 1, "AssertionError", broken, "a.py, line 7"),
                )
            for start in range(0, len(self.steps), 1000):
                line(self.last, transcript.Order(tuple(self.order(replay=replay)[start : start + 1000])))
            line(self.last, transcript.End(self.sample.requests))

    def order(self, *, replay: bool) -> list[int]:
        """Return the server's order."""
        steps = list(self.steps)
        if replay and self.sample.order_differs:
            at = next(at for at, (a, b) in enumerate(pairwise(steps)) if abs(a) != abs(b))
            steps[at], steps[at + 1] = steps[at + 1], steps[at]
        return steps

    def verdict(self) -> dict[str, Any]:
        """Let the real judge see every pair of answers."""
        judge = Judge()
        for _, kind, seq in self.plan:
            if kind == "answer":
                recorded, replayed = (self.answer(seq, replay=replay) for replay in (False, True))
                judge.pair(self.request(seq), recorded, replayed, self.sample.left.get(seq))
            elif kind == "failure":
                gone = Failure(seq, "ReadTimeout", "timed out")
                judge.pair(self.request(seq), gone, gone)
        if self.sample.doubt:
            judge.doubt(EngineFault(self.sample.doubt))
        order = self.order(replay=True)
        judge.order_piece(tuple(self.steps), order)
        judge.order_end(order)
        facts = {
            "seconds": {"recording": round(self.last, 3), "replay": round(self.last * 0.8, 3)},
            "database": {"path": "/nowhere/app.db", "exists": False},
            **self.sample.facts,
        }
        found = judge.verdict(
            requests=self.sample.requests,
            complete=True,
            client_order_same=True,
            facts=msgspec.convert(facts, Facts),
        )
        if self.sample.asked:
            requests = {seq: self.request(seq) for seq in range(1, self.sample.requests + 1)}
            found = settled(found, Alignment(list(self.sample.asked)), requests)
        return (diagnosed(found, [found], []) if self.sample.concluded else found).to_json()
