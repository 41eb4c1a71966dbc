"""One recorded session: virtual users, concurrently, against a server that is ready.

In a closed model, each user begins an iteration when its last one has ended. With an arrival rate, iterations
begin when they are due, run by the user that has been free for longest. If no user is free, an iteration
waits for one, and the latencies that are measured from the due times include that wait. None is dropped.
"""

from __future__ import annotations

import math
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, islice
from random import Random
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import anyio
import httpx

from loadgen.client.limit import GRACE, Limits, Stopped
from loadgen.client.quick import QuickClient
from loadgen.client.recording import RecordingTransport
from loadgen.client.scenario import User
from loadgen.client.transport import WireTransport
from loadgen.client.user_code import lines, location, message
from loadgen.core.events import SessionEnd
from loadgen.core.pacing import AT_ONCE
from loadgen.core.transcript import FailedIteration

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from anyio.abc import TaskStatus
    from anyio.streams.memory import MemoryObjectReceiveStream

    from loadgen.client.numbering import Numbering
    from loadgen.client.recording import Recorder
    from loadgen.client.scenario import Scenario, Step
    from loadgen.core.pacing import Shape
    from loadgen.core.spec import Load
    from loadgen.core.stop import Stopping

T = TypeVar("T")

POLL = 0.05
"""Seconds until pausing users notice a stop: a signal can only set a flag."""
GAVE_UP = 1.0
"""Seconds until a scenario that waits for something other than a request is cancelled too."""


@dataclass(slots=True)
class Tally:
    """The outcomes of the iterations so far; see :class:`loadgen.core.events.SessionEnd`."""

    iterations: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """Number of iterations ended by each kind of error at each line, with the first message."""
    waited: int = 0
    """With an arrival rate: number of iterations that were due when no user was free."""
    longest_wait: float = 0
    """The longest wait of these iterations, in seconds."""


class Part(NamedTuple):
    """One of several processes that share the users of a session, and with a rate its iterations."""

    number: int
    """From 0."""
    parts: int
    """Number of processes."""

    def of(self, everything: Iterable[T]) -> Iterable[T]:
        """Return what of *everything* falls to this part."""
        return islice(everything, self.number, None, self.parts)


ALL = Part(0, 1)


async def fire(
    url: str,
    scenario: Scenario,
    journal: Recorder,
    *,
    concurrency: int,
    iterations: int,
    seed: int,
    timeout: float,  # noqa: ASYNC109 - of each request, enforced by the transport
    stop: Stopping,
    say: Callable[[str], None],
    shape: Shape = AT_ONCE,
    users: Sequence[int] | None = None,
    part: Part = ALL,
    numbering: Numbering | None = None,
) -> SessionEnd:
    """Let *concurrency* users run *scenario* against *url*: *iterations* times each, or by *shape*.

    Of these, only *users* run if they are given, and only those of *part* in this process; others run the
    rest. *numbering* says who sends the next request, if this is not left to chance.
    """
    mine = tuple(part.of(range(concurrency) if users is None else users))
    session = _Session(url, scenario, journal, concurrency, seed, timeout, stop, say, mine, part, numbering)
    async with anyio.create_task_group() as watching:
        with anyio.CancelScope() as everything:
            watching.start_soon(session.watch_stop, everything)
            if shape.rate is None:
                await session.closed(shape, iterations)
            else:
                await session.open(shape)
        watching.cancel_scope.cancel()
    return SessionEnd(**asdict(session.tally), interrupted=stop.requested)


async def fire_load(
    url: str,
    scenario: Scenario,
    journal: Recorder,
    load: Load,
    *,
    stop: Stopping,
    say: Callable[[str], None],
    part: Part = ALL,
    numbering: Numbering | None = None,
) -> SessionEnd:
    """Send the requests of a *load* whose numbers are decided; see :func:`fire`."""
    assert load.concurrency is not None
    return await fire(
        url,
        scenario,
        journal,
        concurrency=load.concurrency,
        iterations=load.iterations or 0,
        seed=load.seed,
        timeout=load.timeout,
        stop=stop,
        say=say,
        shape=load.shape,
        users=load.users,
        part=part,
        numbering=numbering,
    )


class _Session:
    """The users of one session, and the outcomes of their iterations."""

    def __init__(
        self,
        url: str,
        scenario: Scenario,
        journal: Recorder,
        concurrency: int,
        seed: int,
        timeout: float,
        stop: Stopping,
        say: Callable[[str], None],
        users: Sequence[int],
        part: Part,
        numbering: Numbering | None,
    ) -> None:
        self._users = users
        self._part = part
        self._numbering = numbering
        self._url = httpx.URL(url)
        self._scenario = scenario
        self._journal = journal
        self._concurrency = concurrency
        self._seed = seed
        self._timeout = timeout
        self._stop = stop
        self._say = say
        self._stopped = anyio.Event()
        self._limits = Limits()
        self._known: dict[tuple[str, str, tuple[int, ...]], str] = {}
        self.tally = Tally()

    async def watch_stop(self, everything: anyio.CancelScope) -> None:
        """When a stop is requested, wake pausing users, and cancel what does not finish in time."""
        while not self._stop.requested:  # noqa: ASYNC110
            await anyio.sleep(POLL)
        self._stopped.set()
        await anyio.sleep(GRACE)
        self._limits.end()
        await anyio.sleep(GAVE_UP)
        everything.cancel()

    async def closed(self, shape: Shape, iterations: int) -> None:
        """Let each user iterate independently, for the shape's duration or *iterations* times."""
        ends = None if shape.duration is None else self._journal.elapsed + shape.duration

        async def turns() -> AsyncGenerator[None, None]:
            for _ in range(iterations) if ends is None else count():
                if self._stop.requested or (ends is not None and self._journal.elapsed >= ends):
                    return
                yield

        async with anyio.create_task_group() as users:
            for number in self._users:
                wait = shape.start(number, self._concurrency)
                users.start_soon(partial(self._live, number, turns(), wait=wait, until=ends))

    async def open(self, shape: Shape) -> None:
        """Begin iterations when they are due, after all users are set up."""
        give, take = anyio.create_memory_object_stream[float]()
        async with anyio.create_task_group() as users, give:
            async with anyio.create_task_group() as preparing:
                for number in self._users:
                    preparing.start_soon(users.start, self._live, number, take.clone())
            take.close()
            began, held_until = self._journal.elapsed, 0.0
            for offset in self._part.of(shape.schedule()):
                due = began + offset
                if not await self._rest(due - self._journal.elapsed):
                    break
                is_free = give.statistics().tasks_waiting_receive > 0 and due >= held_until
                try:
                    await give.send(due)
                except anyio.BrokenResourceError:  # no user is left
                    break
                if not is_free:
                    held_until = self._journal.elapsed
                    self.tally.waited += 1
                    self.tally.longest_wait = max(self.tally.longest_wait, held_until - due)

    async def _live(
        self,
        number: int,
        turns: AsyncGenerator[None, None] | MemoryObjectReceiveStream[float],
        *,
        wait: float = 0,
        until: float | None = None,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run a user: one iteration for each of *turns*, which are due times, or None."""
        transport = RecordingTransport(
            WireTransport(),
            self._journal,
            number,
            lambda: self._stop.requested,
            self._limits,
            self._numbering,
        )
        async with (
            aclosing(turns),
            QuickClient(
                transport=transport,
                base_url=self._url,
                timeout=self._timeout,
                trust_env=False,
                event_hooks={"request": [self._stay]},
            ) as http,
        ):
            rng = Random(f"{self._seed}/{self._scenario.name}/{number}")
            user = User(number, self._concurrency, http, rng, self._say)
            is_ready = False
            with suppress(Stopped):
                is_ready = await self._rest(wait) and await self._around(
                    user, transport, self._scenario.setups()
                )
            task_status.started()
            if not is_ready:
                return
            at, pause = 0, 0.0
            with suppress(Stopped):
                async for due in turns:
                    if pause and not await self._think(pause, until):
                        break
                    transport.due, at = due, at + 1
                    one = self._scenario.pick(rng)
                    before = transport.last
                    await self._step(user, transport, one.name, one.run, at)
                    if transport.last == before:  # the iteration may have waited for nothing
                        await anyio.lowlevel.checkpoint()
                    pause = rng.uniform(*one.think) if due is None and any(one.think) else 0
                await self._around(user, transport, self._scenario.teardowns())

    async def _around(self, user: User, transport: RecordingTransport, steps: list[Step]) -> bool:
        """Run the steps before or after the iterations; return whether all succeeded."""
        for step in steps:
            if not await self._step(user, transport, getattr(step, "__name__", ""), step, 0):
                return False
        return True

    async def _step(
        self, user: User, transport: RecordingTransport, name: str, step: Step, iteration: int
    ) -> bool:
        """Run one step of a scenario, and return whether it succeeded; an error ends the step, not the run.

        Raises:
            Stopped: the run is over.
        """
        try:
            await step(user)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is the scenario's
            self._fail(user, transport.last, name, step, iteration, error)
            return False
        except BaseExceptionGroup as group:
            if stopped := group.subgroup(Stopped):  # the scenario had started tasks
                raise Stopped from stopped
            raise
        finally:
            transport.due = None
        self.tally.iterations += iteration > 0
        return True

    def _fail(
        self, user: User, seq: int, name: str, step: Step, iteration: int, error: BaseException
    ) -> None:
        file = getattr(getattr(step, "__code__", None), "co_filename", "")
        kind = type(error).__name__
        failed = FailedIteration(
            user.id, iteration, name, seq, kind, message(error, file), location(error, file)
        )
        self._journal.write(failed)
        self.tally.iterations += 1
        self.tally.failed += 1
        told = self._known.setdefault((name, kind, lines(error, file)), str(failed))
        self.tally.errors[told] = self.tally.errors.get(told, 0) + 1

    async def _think(self, seconds: float, until: float | None) -> bool:
        """Pause between two iterations; return whether there is time for the second."""
        left = math.inf if until is None else until - self._journal.elapsed
        return await self._rest(min(seconds, left)) and seconds < left

    async def _rest(self, seconds: float) -> bool:
        """Wait for *seconds*; return whether the session continues."""
        if seconds > 0:
            with anyio.move_on_after(seconds):
                await self._stopped.wait()
        else:
            await anyio.lowlevel.checkpoint()
        return not self._stop.requested

    async def _stay(self, request: httpx.Request) -> None:
        """Refuse a request to another server, which would be replayed as one to the server under test."""
        there, here = request.url, self._url
        if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
            raise ValueError(
                f"{request.method} {there}: user.http reaches only the server under test; "
                "use a separate client for other servers"
            )
