"""The verdict, as one value that is written to ``verdict.json`` and read back unchanged.

Format ``loadgen-verdict/4``. The JSON object has the fields of :class:`Verdict`, with those of its
:class:`Facts` beside them, ``judgement`` as ``verdict``, and the server's order as one object. Each cause has
a ``headline`` for readers, which follows from the rest. :meth:`Verdict.from_json` accepts exactly the output
of :meth:`Verdict.to_json`; anything else is damage.

:mod:`loadgen.core.judge` reaches a verdict, :mod:`loadgen.core.diagnosis` finds its causes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

# Needed at run time: the codec reads the annotations below.
from loadgen.core.comparison import RULES, Difference, Rule
from loadgen.core.departure import Departure  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")
FORMAT = "loadgen-verdict/4"
LISTED = 50
"""Number of requests listed for a cause; all are counted."""


class Judgement(enum.StrEnum):
    """The three verdicts."""

    IDENTICAL = "identical"
    DIVERGED = "diverged"
    UNDETERMINED = "undetermined"

    @property
    def exit_code(self) -> int:
        """The exit code for a shell."""
        return {"identical": 0, "diverged": 1, "undetermined": 3}[self]


def judged(reasons: Iterable[Reason], *, differs: bool, complete: bool) -> Judgement:
    """Return the judgement; *reasons* are doubts, and *complete* says whether all of it was compared.

    A difference from a transcript that was damaged shows nothing about the server.
    """
    doubts = {one.fault for one in reasons}
    if differs and Fault.TRANSCRIPT not in doubts:
        return Judgement.DIVERGED
    return Judgement.UNDETERMINED if differs or doubts or not complete else Judgement.IDENTICAL


WORST_FIRST = (Judgement.DIVERGED, Judgement.UNDETERMINED, Judgement.IDENTICAL)
"""Order of precedence among several verdicts on one recording."""


def worst(found: Iterable[T], judgement: Callable[[T], Judgement]) -> T:
    """Return the verdict that counts among several: the worst, the earliest of equals."""
    return min(found, key=lambda one: WORST_FIRST.index(judgement(one)))


class Fault(enum.StrEnum):
    """Who is responsible for a cause."""

    APPLICATION = "application"
    ENGINE = "engine"
    TRANSCRIPT = "transcript"
    HARNESS = "harness"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the run could not be judged, or not completely."""

    fault: str
    message: str
    advice: str = ""
    code: str = ""
    """One of the codes of :mod:`loadgen.protocol`, if a decision depends on it."""


@dataclass(frozen=True, slots=True)
class CallDifference:
    """One call that differs between the recorded and the replayed code."""

    seq: int
    kind: str
    """``effect``, ``read`` or ``ambient``."""
    recorded: str
    """The recorded call, with its arguments; empty if there was none."""
    replayed: str
    """The replayed call; empty if it was left out."""
    at: str = ""
    """``file:line in function: text``."""
    how: str = ""
    """One of :class:`loadgen.core.alignment.How`."""
    route: str = ""
    """Whose request made it, such as ``GET /api/users/N``; empty before it served."""


@dataclass(frozen=True, slots=True)
class Altered:
    """Something around the code that has changed since the recording."""

    what: str
    """``package``, ``file``, ``variable`` or ``loadgen``."""
    name: str
    recorded: str
    """The recorded value, if it is not secret: the version of a package or of loadgen."""
    now: str
    """The current value; empty for a missing package."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The number of statements that a request of a route runs."""

    least: int
    most: int
    fixed: int | None = None
    """The number of statements that do not vary, if all others are repetitions of one statement."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route whose requests run a different number of statements than recorded."""

    name: str
    """Such as ``GET /api/users/N``, with N for each number."""
    requests: int
    recorded: Runs
    replayed: Runs


@dataclass(frozen=True, slots=True)
class Divergence:
    """One request that was answered differently."""

    seq: int
    user: int
    method: str
    target: str
    differences: tuple[Difference, ...]
    left: Departure | None = None
    """How this request left the tape, if it did."""
    position: int | None = None
    """Its position in the recorded server order, from 0; ``None`` if unknown."""
    cause: int | None = None
    """The number of its cause in the verdict, from 0; ``None`` before the diagnosis."""
    follows: int | None = None
    """The earlier request whose departure from the tape explains this divergence, if any."""

    @property
    def evidence(self) -> str:
        """Why and where this request left the tape; empty if it did not."""
        if self.left is None:
            return ""
        return f"{self.left.why}, at {self.left.stack[0]}" if self.left.stack else self.left.why

    @property
    def stack(self) -> tuple[str, ...]:
        """The application's calls where this request left the tape, innermost first."""
        return self.left.stack if self.left else ()

    @property
    def code(self) -> str:
        """The code of :mod:`loadgen.protocol` for why it left the tape; empty if it did not."""
        return self.left.code if self.left else ""


@dataclass(frozen=True, slots=True)
class Undecided:
    """One request that cannot be judged, while others can."""

    seq: int
    user: int
    method: str
    target: str
    code: str
    """One of the codes of :mod:`loadgen.protocol`."""
    why: str
    advice: str = ""
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Divergences that have one cause."""

    fault: Fault
    why: str
    """The evidence for the fault, in a sentence."""
    advice: str
    first: Divergence
    """The first divergence in the server's order; it may be from a different replay than the verdict's."""
    count: int
    """Number of requests with this cause, without consequences."""
    requests: tuple[int, ...]
    """Sequence numbers of the first :data:`LISTED` of them, in the server's order."""
    consequences: int = 0
    """Number of later requests that left the tape because objects or steps of these are missing."""
    consequent: tuple[int, ...] = ()
    """Sequence numbers of the first :data:`LISTED` consequences."""

    @property
    def headline(self) -> str:
        """The first difference, in a sentence."""
        first = self.first
        return f"request {first.seq} ({first.method} {first.target}): {first.differences[0]}"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of a log."""

    line: int
    """Number, from 1, of the line that matters."""
    lines: tuple[str, ...]
    """That line and its surroundings."""
    first: int
    """Number of the first line."""


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call of the logged request, and its result from the recording."""

    at: tuple[str, ...]
    """Where it was made, innermost call first."""
    got: str


@dataclass(frozen=True, slots=True)
class LoggedCalls:
    """The calls of the logged request."""

    calls: tuple[LoggedCall, ...]
    """The last calls."""
    count: int
    left_over: tuple[str, ...]
    """The next items in the recording, if the request left the tape."""


@dataclass(frozen=True, slots=True)
class CallLog:
    """The calls of request *seq* in this replay."""

    seq: int
    logged: LoggedCalls | None
    """``None`` if the server was gone before it could be asked."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long the session took."""

    recording: float | None
    replay: float


@dataclass(frozen=True, slots=True)
class Database:
    """The recorded server's database, which a replay does not have."""

    path: str
    exists: bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several replays that a verdict was concluded from."""

    folder: str
    verdict: Judgement
    diverged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Further evidence."""

    run: str = ""
    runtime: str = ""
    replay: str = "boundary"
    """The mode of the replay, see :class:`loadgen.core.spec.ModeName`."""
    engine_alone: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    database: Database | None = None
    seconds: Seconds | None = None
    changed_sources: tuple[str, ...] | None = None
    """Changed files of the code; ``None`` if that was not checked."""
    altered: tuple[Altered, ...] = ()
    """Other changes: libraries, data files, variables."""
    engine_log: Excerpt | None = None
    """The engine's first message in the replay's log."""
    call_log: CallLog | None = None
    asked: tuple[str, ...] | None = None
    """The number of differing calls of changed code, by kind, in words; ``None`` if calls were not
    aligned."""
    routes: tuple[Route, ...] = ()
    """Routes that run a different number of statements than recorded."""
    replays: tuple[OneOf, ...] = ()
    compared_with: tuple[str, str] | None = None
    """The names of the two transcripts, if they were compared without a replay."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict with its evidence."""

    judgement: Judgement
    reasons: tuple[Reason, ...] = ()
    requests: int = 0
    """Number of recorded requests; if that is unknown, of those in the transcript as far as it was read."""
    compared: int = 0
    """Requests of which the outcome was compared."""
    diverged: int = 0
    divergences: tuple[Divergence, ...] = ()
    """Details of the first divergences, in the server's order if known."""
    undecided: tuple[Undecided, ...] = ()
    """Requests that cannot be judged."""
    calls: tuple[CallDifference, ...] = ()
    """Differing calls of all requests, including those with the same answer."""
    order: Divergence | None = None
    """The first difference of the server's order, if any."""
    order_steps: int | None = None
    """Number of compared steps of the server's order; ``None`` if it was not compared."""
    client_order_same: bool | None = None
    """Whether clients saw completions in the same order; reported only."""
    rules: tuple[Rule, ...] = RULES
    """The rules: what was not compared."""
    before_application: int = 0
    """Number of compared answers that the HTTP server gave itself, before the application."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """Number of compared requests that got no complete answer while recording, by the kind of failure."""
    causes: tuple[Cause, ...] = ()
    """The causes of the divergences, in the server's order."""
    facts: Facts = Facts()

    @property
    def answers(self) -> int:
        """Answers that were recorded whole."""
        return self.requests - sum(self.unanswered.values())

    @property
    def answers_compared(self) -> int:
        """Whole answers that were compared."""
        return max(0, self.compared - sum(self.unanswered.values()))

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``verdict.json``."""
        content: dict[str, Any] = _plain(msgspec.to_builtins(self, order="deterministic"))
        facts, steps, order = (content.pop(name) for name in ("facts", "order_steps", "order"))
        content["server_order"] = {
            "same": None if steps is None else order is None,
            "steps": steps,
            "first_difference": order,
        }
        for cause, written in zip(self.causes, content["causes"], strict=True):
            written["headline"] = cause.headline
        return {"format": FORMAT, "verdict": content.pop("judgement"), **content, **facts}

    @classmethod
    def from_json(cls, content: object) -> Verdict:
        """Decode a verdict from the output of :meth:`to_json`.

        Raises:
            ValueError: *content* is from another version, or damaged.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"it is not of the format {FORMAT}: another version of loadgen wrote it")
        try:
            unfolded = _unfolded(content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is damaged: {error!r}") from error
        try:
            verdict = msgspec.convert(unfolded, cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"it is damaged: {error}") from error
        if verdict.to_json() != content:
            raise ValueError("it is damaged: it does not say what loadgen writes")
        return verdict


def _plain(value: Any) -> Any:
    """Return *value* as JSON decodes it, with lists instead of tuples."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _unfolded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Undo the outer shape of :meth:`Verdict.to_json`."""
    order = content["server_order"]
    names = [one.name for one in fields(Facts)]
    rest = {name: value for name, value in content.items() if name not in {*names, "verdict", "server_order"}}
    return {
        **rest,
        "judgement": content["verdict"],
        "order": order["first_difference"],
        "order_steps": order["steps"],
        "facts": {name: content[name] for name in names},
    }
