"""Recording and verifying with the real engine, in this process, with the test's own servers."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path  # noqa: TC003 - pytest reads the fixtures' annotations
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.client.builtin import find
from loadgen.client.scenario import Scenario
from loadgen.core.events import ignore
from loadgen.core.spec import Explore, Load, ModeName, RunSpec, Schedule, VerifySpec
from loadgen.core.stop import Stop
from loadgen.dispatch import MODES
from loadgen.modes.local import LocalHost
from loadgen.record import Recorded, record
from loadgen.store.run_folder import RunFolder
from loadgen.verify import Verified, conclude, replay_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from loadgen.client.scenario import User
    from loadgen.core.verdict import Judgement, Verdict
    from loadgen.modes.base import Host


@dataclass
class Bench:
    """A directory to record and verify in."""

    path: Path
    host: Host = field(default_factory=LocalHost)
    without: Sequence[str] = ()
    """Gaps of the engine that are left open."""

    def script(self, source: str, name: str = "serve.py") -> str:
        """Write a server script and return its path."""
        path = self.path / name
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return str(path)

    def record(
        self,
        target: str | Sequence[str] = (),
        scenario: Scenario | str = "mixed",
        *,
        concurrency: int = 8,
        iterations: int = 4,
        seed: int = 1,
        run: str = "run",
        stacks: bool = False,
        schedule: str | None = None,
        explore: Explore | None = None,
        mode: ModeName = ModeName.BOUNDARY,
    ) -> Recorded:
        """Record into ``<path>/<run>``."""
        spec = RunSpec(
            target=(target,) if isinstance(target, str) else tuple(target),
            load=Load(concurrency=concurrency, iterations=iterations, seed=seed),
            mode=mode,
            stacks=stacks,
            schedule=Schedule.EXPLORE if explore else Schedule(schedule) if schedule else None,
            explore=explore or Explore(),
            without=tuple(self.without),
        )
        plan = find(scenario) if isinstance(scenario, str) else scenario
        call = partial(record, spec, MODES[mode](self.host), self.path / run, Stop(), ignore, scenario=plan)
        return anyio.run(call)

    def verify(
        self,
        run: str = "run",
        *,
        timeout: float = 20,
        host: Host | None = None,
        mode: ModeName = ModeName.BOUNDARY,
        strict: bool = True,
        calls: tuple[str, ...] = (),
    ) -> Verified:
        """Replay ``<path>/<run>`` once; unless *strict*, changed code has its calls aligned."""
        folder, manifest = RunFolder.open(self.path / run)
        spec = VerifySpec(timeout=timeout, strict=strict, calls=calls)
        return anyio.run(replay_once, folder, manifest, MODES[mode](host or self.host), spec, ignore)

    def conclude(self, mode: ModeName, run: str = "run", *, timeout: float = 60) -> Verified:
        """Replay ``<path>/<run>`` once in *mode*, and say whose fault it is."""
        _, manifest = RunFolder.open(self.path / run)
        return conclude(manifest, [self.verify(run, timeout=timeout, mode=mode)])


def changed(
    bench: Bench, server: str, changes: Mapping[str, tuple[str, str, Judgement]]
) -> Iterator[tuple[str, Judgement, Verdict]]:
    """Verify *server*, which was recorded, with each of *changes*; yield name, expectation and verdict."""
    for name, (before, after, expected) in changes.items():
        assert before in server, name
        bench.script(server.replace(before, after))
        yield name, expected, bench.verify(strict=False).verdict


def visiting(*paths: str) -> Scenario:
    """Return a scenario that gets each of *paths*."""

    async def run(user: User) -> None:
        for path in paths:
            await user.http.get(path)

    return Scenario("visiting", "gets some paths", run)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a fresh bench."""
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def recorded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the bundled server once, for tests that only damage copies of the run."""
    path = tmp_path_factory.mktemp("recorded")
    Bench(path).record(iterations=8)
    return path / "run"


@pytest.fixture
def copied(bench: Bench, recorded_once: Path) -> Callable[[], RunFolder]:
    """Return a function that copies the run recorded once into the test's bench."""

    def copy() -> RunFolder:
        shutil.copytree(recorded_once, bench.path / "run")
        return RunFolder(bench.path / "run")

    return copy
