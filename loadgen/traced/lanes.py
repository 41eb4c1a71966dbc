"""Lanes: what each thread did on the tape, and how far it has come in a replay of changed code."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from loadgen.traced import settings
from loadgen.traced.ambient import Readings
from loadgen.traced.tape import FINISH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.traced.rows import Rows
    from loadgen.traced.states import States

NEVER = 1 << 62
"""A position behind every tape."""


class Step:
    """One step of a logical thread on the tape."""

    __slots__ = (
        "at", "body", "call", "connection", "end", "factories", "key", "kind", "number", "taken", "value",
    )  # fmt: skip

    def __init__(self, kind: str, at: int) -> None:
        self.kind, self.at, self.end = kind, at, at
        self.value: Any = None
        self.body: list[Any] = []
        self.call: Any = None
        self.key: Any = None
        self.taken = False
        self.factories = ""
        """What makes the rows that it fetched; see :class:`loadgen.traced.states.Factories`."""
        self.connection: int | None = None
        """The number of the recorded connection that it is made on, if that is known."""
        self.number = 0
        """Its number among the calls of its thread, those of callbacks included."""


class Lane:
    """A logical thread: its recorded steps, and its progress in the replay."""

    def __init__(self, thread: int, states: States) -> None:
        self.thread = thread
        self.raw: deque[tuple[int, Any]] = deque()
        self.steps: list[Step] = []
        self.by_key: dict[Any, list[int]] = {}
        self.effects: list[int] = []
        """Indices of steps that are effects, or ends of transactions that wrote something."""
        self.writes = self.wrote = False
        """Whether the transaction wrote something: the recorded one, as far as was read, and the live one."""
        self.calls = 0
        """How many calls it made, as far as the tape was read."""
        self.created: dict[int, int] = {}
        """Index of the recorded step that answered the call that made a live object, by its number."""
        self.asking: Any = None
        """The running call."""
        self.connection: int | None = None
        """The number of the live connection that it is made on, if that is known."""
        self.answering: int | None = None
        """Index of the recorded step that answers the running call."""
        self.at = 0
        self.next = NEVER
        self.begun = thread >= settings.FIRST_THREAD
        self.runs = False
        """Whether it is between two steps, where the recorded thread ran without others."""
        self.request = thread if thread >= settings.FIRST_THREAD else None
        """The request that it belongs to, if any: a thread belongs to the request that started it."""
        self.rows: dict[int, Rows] = {}
        """The rows of the last statement of each live cursor, by its number."""
        self.naps = 0
        """How often it has slept since its last recorded step, where it did not while recording."""
        self.whole = self.ahead = False
        """Whether the tape was read to the end of its request, perhaps for another one; whether its thread
        has come, and the tape was read as far as that needs it."""
        self.over = self.ended = False
        """Whether it is over; whether its request has come to its end."""
        self.at_start = 0
        """How much it had done when the first request began, of a thread of the application's own."""
        self.left = ""
        """Why it left the tape: because of its ``request``, or a ``call``; empty if it did not."""
        self.supposed = set[int | None]()
        """Live objects used for a step that this request did not record: other requests may answer for
        them."""
        self.borrowed: dict[int | None, Rows] = {}
        """Rows that another request was given, by the handle of the cursor that has them here."""
        self.readings = Readings()
        """What it read of clocks."""
        self.feeds: list[deque[Any]] = []
        self.owner: int | None = None
        self.states = states
        self.journal: list[list[Any]] = []
        """The calls, as the verifier gets them: how a call was answered, by which step, the call if it is not
        the step's, the line that makes it, its connection, and what else explains the answer."""

    def note(self, how: str, index: int | None, brief: Any, where: str = "", *more: Any) -> None:
        """Add the running call to the journal."""
        self.journal.append([how, index, brief, where, self.connection, *more])

    def containers(self) -> Iterator[object]:
        """Yield the containers that it consists of, but for its steps."""
        yield from (self, vars(self), self.raw, self.steps, self.effects, self.supposed, self.feeds)
        yield from (self.readings, self.by_key, *self.by_key.values(), self.created, self.rows, self.borrowed)
        yield from self.states.containers()
        yield self.journal
        for made in self.journal:
            yield from (made, *(part for part in made if isinstance(part, list)))

    @property
    def is_cut(self) -> bool:
        """Whether it is a request's that had not ended where the recording did."""
        last = self.steps[-1].value if self.steps else None
        ended = isinstance(last, tuple) and bool(last) and last[0] == FINISH
        return self.thread >= settings.FIRST_THREAD and self.ahead and not ended
