"""Recording and verifying for real, in-process, with servers of the test's own."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.client.builtin import find
from loadgen.client.scenario import Scenario
from loadgen.client.session import Stop
from loadgen.conclude import conclude
from loadgen.engine.target import resolve
from loadgen.record import Recorded, Settings, Watcher, record
from loadgen.runtimes.local import LocalRuntime
from loadgen.runtimes.whole import WholeRuntime
from loadgen.store.run_folder import RunFolder
from loadgen.verify import Verified, verify, verify_by

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from loadgen.client.scenario import User
    from loadgen.runtimes import Runtime
    from loadgen.verify import Replay


@dataclass
class Bench:
    """A directory to record and verify in."""

    path: Path
    runtime: Runtime = field(default_factory=LocalRuntime)

    def script(self, source: str, name: str = "serve.py") -> str:
        """Write a server script and return its path."""
        path = self.path / name
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return str(path)

    def record(
        self,
        target: str | Sequence[str] | None = None,
        scenario: Scenario | str = "mixed",
        *,
        concurrency: int = 8,
        iterations: int = 4,
        seed: int = 1,
        run: str = "run",
        stacks: bool = False,
        schedule: str = "turns",
        explore: Mapping[str, object] | None = None,
        trace: str = "server",
    ) -> Recorded:
        """Record into ``<path>/<run>``."""
        plan = find(scenario) if isinstance(scenario, str) else scenario
        settings = Settings(
            target=resolve(target),
            scenario=plan,
            concurrency=concurrency,
            iterations=iterations,
            seed=seed,
            timeout=30,
            health_path="/health",
            trace=trace,
            stacks=stacks,
            schedule="explore" if explore else schedule,
            explore=explore or {},
            folder=self.path / run,
        )
        runtime = WholeRuntime() if trace == "process" else self.runtime
        return anyio.run(partial(record, settings, runtime, Stop(), Watcher()))

    def verify(self, run: str = "run", *, timeout: float = 20, runtime: Runtime | None = None) -> Verified:
        """Verify ``<path>/<run>``."""
        folder, manifest = RunFolder.open(self.path / run)
        return anyio.run(
            partial(verify, folder, manifest, runtime or self.runtime, timeout=timeout, watcher=Watcher())
        )

    def verify_by(self, replay: Replay, run: str = "run", *, timeout: float = 60) -> Verified:
        """Verify ``<path>/<run>`` by another kind of replay than that at the boundary."""
        folder, manifest = RunFolder.open(self.path / run)
        verified = anyio.run(partial(verify_by, replay, folder, manifest, timeout=timeout, watcher=Watcher()))
        return conclude(manifest, [verified])


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
