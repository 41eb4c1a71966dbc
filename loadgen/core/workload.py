"""A workload: the requests of a recorded run and their dependencies, so that some can be removed.

A request depends on earlier ones in two ways. *Order*: it was sent after some answers had arrived and while
others were still pending. A workload preserves both when requests are removed, so that requests that
overlapped still can. *Values*: an id or a token in a request usually comes from an earlier answer, and
changes when requests are removed. Such values are recognised by form and context, and become references.

References are guesses, and may be wrong: a reduced workload counts only once it has been recorded and failed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loadgen.core.exchange import Failure, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

NEVER = 10**12
"""Index of an answer that never arrived."""
SCALARS = 500
"""Number of values examined in one answer."""
PROVIDERS = 8
"""Number of answers, the earliest, considered as the origin of a value."""
TELLING = 8
"""Length from which a text is unlikely to occur twice by chance."""
LIKELY = 3
"""Score from which an answer counts as the origin of a value; see :func:`likelihood`."""
_OF_THE_CLIENT = frozenset(
    {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "cookie"}
)
"""Headers that httpx sets itself; cookies are those that the server sets in the new session."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A value of an earlier answer."""

    seq: int
    """The request whose answer contains the value."""
    path: tuple[str | int, ...]
    """Path of the value in the answer's JSON."""
    literal: str | int
    """The value in the recorded run."""


Text = tuple[str | Ref, ...]
"""A text with references in it."""
Json = Any
"""JSON, with references among its values."""
Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class WorkloadStep:
    """One request of a workload."""

    seq: int
    """Its number in the recorded run."""
    user: int
    method: str
    path: Text
    query: tuple[Text, ...]
    """The parts of the query, split at ``&``."""
    headers: tuple[tuple[str, Text], ...]
    """Headers that the client would not set by itself."""
    body: bytes
    """The recorded body; empty if there was none, or if it is in :attr:`json`."""
    json: Json
    """The body, if it is JSON in httpx's own format; else None."""
    sent: int
    """Index of the request among the events of the run."""
    answered: int
    """Index of its answer among the events of the run."""

    def refs(self) -> Iterator[Ref]:
        """Yield the references to earlier answers."""
        for text in (self.path, *self.query, *(value for _, value in self.headers)):
            yield from (piece for piece in text if isinstance(piece, Ref))
        yield from (value for _, value in _leaves(self.json) if isinstance(value, Ref))


Part = tuple[str, int, Key]
"""A removable part of a step: its kind (``header``, ``query``, ``json``, ``wait``), the step, its key."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of several virtual users, in the order in which they were issued."""

    steps: tuple[WorkloadStep, ...]
    free: frozenset[tuple[int, int]] = frozenset()
    """Pairs (a, b): request a no longer waits for the answer to request b."""

    @property
    def users(self) -> list[int]:
        """The virtual users with at least one request."""
        return sorted({step.user for step in self.steps})

    @property
    def seqs(self) -> frozenset[int]:
        """The requests' numbers."""
        return frozenset(step.seq for step in self.steps)

    def only(self, seqs: AbstractSet[int]) -> Workload:
        """Keep only these requests, and those whose answers they take values from."""
        by_seq = {step.seq: step for step in self.steps}
        wanted, more = set[int](), list(seqs)
        while more:
            seq = more.pop()
            if seq in by_seq and seq not in wanted:
                wanted.add(seq)
                more += [ref.seq for ref in by_seq[seq].refs()]
        return replace(self, steps=tuple(step for step in self.steps if step.seq in wanted))

    def without(self, seqs: AbstractSet[int]) -> Workload:
        """Remove these requests; references to their answers become the recorded values."""
        return replace(
            self, steps=tuple(_unlinked(step, seqs) for step in self.steps if step.seq not in seqs)
        )

    def around(self, seq: int, margin: int) -> Workload:
        """Keep request *seq*, the requests that overlapped with it, and *margin* more before those."""
        (center,) = (step for step in self.steps if step.seq == seq)
        near = [step for step in self.steps if step.sent < center.answered and step.answered > center.sent]
        first = min(step.sent for step in near)
        before = [step for step in self.steps if step.sent < first][-margin:] if margin else []
        return self.only({step.seq for step in (*near, *before)})

    def meeting(self, seq: int) -> Workload:
        """Keep request *seq*, and the requests in flight when it was sent."""
        (center,) = (step for step in self.steps if step.seq == seq)
        return self.only({step.seq for step in self.steps if step.sent <= center.sent < step.answered})

    def in_sequence(self) -> Workload:
        """Let one user send all requests, one after the other, in order of issue."""
        return Workload(tuple(replace(step, user=0) for step in self.steps))

    def merged(self, user: int, into: int) -> Workload:
        """Let the user *into* also send the requests of *user*, in order of issue."""
        return replace(
            self,
            steps=tuple(replace(step, user=into) if step.user == user else step for step in self.steps),
        )

    def waits(self) -> dict[int, list[int]]:
        """Return the other users' answers that each request waits for: the minimum that keeps the order."""
        found: dict[int, list[int]] = {}
        for step in self.steps:
            past = [one for one in self.steps if one.answered < step.sent]
            # Waiting for the latest one implies waiting for everything answered before it was sent.
            latest = max((one.sent for one in past), default=0)
            wanted = {one.seq for one in past if one.user != step.user and one.answered > latest}
            freed = {other for seq, other in self.free if seq == step.seq}
            if freed:
                wanted = wanted - freed | {ref.seq for ref in step.refs()} & self.seqs
            found[step.seq] = sorted(wanted)
        return found

    def parts(self) -> list[Part]:
        """Return the removable parts of all requests, the waits last."""
        found: list[Part] = []
        for step in self.steps:
            found += [("header", step.seq, (at,)) for at in range(len(step.headers))]
            found += [("query", step.seq, (at,)) for at in range(len(step.query))]
            found += [("json", step.seq, key) for key in _keys(step.json)]
            found += [("json", step.seq, ())] if step.json is not None else []
        values = {step.seq: {ref.seq for ref in step.refs()} for step in self.steps}
        for seq, others in self.waits().items():
            found += [("wait", seq, (other,)) for other in others if other not in values[seq]]
        return found

    def less(self, parts: Iterable[Part]) -> Workload:
        """Remove these parts."""
        gone = set(parts)
        free = {(seq, int(key[0])) for kind, seq, key in gone if kind == "wait"}
        steps = tuple(
            _less(step, {(kind, key) for kind, seq, key in gone if seq == step.seq}) for step in self.steps
        )
        return Workload(steps, self.free | free)


def read(events: Iterable[object]) -> Workload:
    """Return the whole transcript as a workload."""
    sent: dict[int, tuple[int, Request]] = {}
    steps: dict[int, WorkloadStep] = {}
    origins: _Origins = {}
    for index, event in enumerate(events):
        match event:
            case Request():
                sent[event.seq] = index, event
                steps[event.seq] = _step(event, index, origins)
            case Response():
                request = sent[event.seq][1]
                steps[event.seq] = replace(steps[event.seq], answered=index)
                for path, value in _scalars(event):
                    if isinstance(value, str) and _says(request, value):
                        continue  # the client sent it first, and got it back
                    known = origins.setdefault(value, [])
                    if len(known) < PROVIDERS:
                        known.append(Origin(request, event.status, path))
            case Failure():
                steps[event.seq] = replace(steps[event.seq], answered=NEVER)
    return Workload(tuple(steps.values()))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was seen in an answer."""

    request: Request
    status: int
    path: Key

    @property
    def key(self) -> str:
        """The name that the value has there."""
        return next((str(part) for part in reversed(self.path) if isinstance(part, str)), "")

    @property
    def url_path(self) -> str:
        """The path of the request."""
        return self.request.target.partition("?")[0].rstrip("/")


_Origins = dict[str | int, list[Origin]]


def _step(request: Request, index: int, origins: _Origins) -> WorkloadStep:
    path, _, query = request.target.partition("?")
    pieces: list[str | Ref] = []
    behind = ""
    for at, piece in enumerate(path.split("/")):
        found = _link(piece, origins, request, behind=behind.rstrip("/"))
        pieces += ["/"] if at else []
        pieces.append(found or piece)
        behind += f"{piece}/"
    body, content = request.body, _json(request)
    headers = tuple(
        (name, _value(value, origins, request))
        for name, value in request.headers
        if name.lower() not in _OF_THE_CLIENT and not (name.lower() == "content-type" and content is not None)
    )
    return WorkloadStep(
        request.seq,
        request.user,
        request.method,
        _joined(pieces),
        tuple(_pair(piece, origins, request) for piece in query.split("&") if piece),
        headers,
        b"" if content is not None else body,
        _linked(content, origins, request),
        index,
        NEVER,
    )


def _json(request: Request) -> Json:
    """Return the body of *request* if it is JSON that httpx would format identically; else None."""
    kinds = [value for name, value in request.headers if name.lower() == "content-type"]
    if kinds != ["application/json"]:
        return None
    try:
        content = json.loads(request.body)
        same = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return None
    return content if same == request.body else None


def _linked(content: Json, origins: _Origins, request: Request, key: str = "") -> Json:
    match content:
        case dict():
            return {name: _linked(value, origins, request, name) for name, value in content.items()}
        case list():
            return [_linked(value, origins, request, key) for value in content]
        case bool() | None | float():
            return content
        case _:
            return _link(content, origins, request, key=key) or content


def _pair(piece: str, origins: _Origins, request: Request) -> Text:
    name, equals, value = piece.partition("=")
    found = _link(value, origins, request, key=name)
    return (f"{name}=", found) if equals and found else (piece,)


def _value(value: str, origins: _Origins, request: Request) -> Text:
    scheme, space, rest = value.rpartition(" ")
    found = _link(rest, origins, request) if len(rest) >= TELLING else None
    return (value,) if found is None else _joined([f"{scheme}{space}", found])


def _link(
    value: str | int,
    origins: _Origins,
    request: Request,
    *,
    key: str = "",
    behind: str = "",
) -> Ref | None:
    """Return a reference to the most likely origin of *value*; *key* or *behind* give its context."""
    seen = origins.get(value, [])
    if isinstance(value, str) and value.isdecimal():
        seen = [*seen, *origins.get(int(value), [])]
    scored = [(likelihood(origin, value, request, key, behind), origin) for origin in seen]
    score, best = max(scored, key=lambda one: one[0], default=(0, None))
    if best is None or score < LIKELY:
        return None
    return Ref(best.request.seq, best.path, value)


def likelihood(origin: Origin, value: str | int, request: Request, key: str, behind: str) -> int:
    """Score how likely *value* comes from *origin*: numbers recur by chance, tokens do not."""
    is_id = origin.key.lower() in {"id", "uuid", "key", "slug"} or origin.key.lower().endswith("id")
    telling = isinstance(value, str) and len(value) >= TELLING and not value.isdecimal()
    if not (is_id or telling or (key and key == origin.key and isinstance(value, str))):
        return 0
    stem = key.lower().removesuffix("id").rstrip("_-")
    score = LIKELY if telling else 0
    score += LIKELY + 1 if behind and origin.url_path == behind else 0
    score += LIKELY if stem and stem in origin.url_path.lower() else 0
    score += LIKELY if key and key == origin.key and key.lower() != "id" else 0
    if is_id and not score:  # an answer that made it goes before a list of such things
        here = {_noun(key), _noun(behind.rpartition("/")[2])} - {""}
        score += LIKELY if here & {_noun(part) for part in origin.path if isinstance(part, str)} else 0
    if not score:
        return 0
    return score + 2 * (origin.request.user == request.user) + 2 * (origin.request.method == "POST")


def _noun(name: str) -> str:
    """Return what a name is about, in the singular: ``cart`` for ``cartId``, ``cart_id``, ``carts``."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    word = re.sub(r"(?:uu|gu)?id$", "", word)
    word = re.sub(r"ies$", "y", word)
    return word if word.endswith("ss") else word.removesuffix("s")


def _scalars(answer: Response) -> Iterator[tuple[Key, str | int]]:
    kinds = [value for name, value in answer.headers if name.lower() == "content-type"]
    if not kinds or "json" not in kinds[0]:
        return
    try:
        content = json.loads(answer.body)
    except ValueError:
        return
    for number, (path, value) in enumerate(_leaves(content)):
        if number == SCALARS:
            return
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" and _plain(path):
            yield path, value


def _says(request: Request, value: str) -> bool:
    return value in request.target or value.encode() in request.body


def _plain(path: Key) -> bool:
    """Say whether the keys of *path* can be written anywhere without being escaped."""
    return all(isinstance(key, int) or (key.isprintable() and not {"'", '"', "\\"} & {*key}) for key in path)


def _leaves(content: Json, path: Key = ()) -> Iterator[tuple[Key, Json]]:
    match content:
        case dict():
            for name, value in content.items():
                yield from _leaves(value, (*path, name))
        case list():
            for at, value in enumerate(content):
                yield from _leaves(value, (*path, at))
        case _:
            yield path, content


def _keys(content: Json, path: Key = ()) -> Iterator[Key]:
    """Yield the paths of all object keys."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield (*path, name)
            yield from _keys(value, (*path, name))


def _joined(pieces: list[str | Ref]) -> Text:
    found: list[str | Ref] = []
    for piece in pieces:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece != "":
            found.append(piece)
    return tuple(found)


def _unlinked(step: WorkloadStep, gone: AbstractSet[int]) -> WorkloadStep:
    """Return *step* with references to *gone* requests replaced by the recorded values."""

    def plain(value: Json) -> Json:
        match value:
            case Ref() if value.seq in gone:
                return value.literal
            case dict():
                return {name: plain(one) for name, one in value.items()}
            case list():
                return [plain(one) for one in value]
            case _:
                return value

    def text(value: Text) -> Text:
        return _joined([str(plain(piece)) if plain(piece) is not piece else piece for piece in value])

    return replace(
        step,
        path=text(step.path),
        query=tuple(map(text, step.query)),
        headers=tuple((name, text(value)) for name, value in step.headers),
        json=plain(step.json),
    )


def _less(step: WorkloadStep, gone: AbstractSet[tuple[str, Key]]) -> WorkloadStep:
    if not gone:
        return step
    content = None if ("json", ()) in gone else _pruned(step.json, gone, ())
    return replace(
        step,
        headers=tuple(one for at, one in enumerate(step.headers) if ("header", (at,)) not in gone),
        query=tuple(one for at, one in enumerate(step.query) if ("query", (at,)) not in gone),
        json=content,
    )


def _pruned(content: Json, gone: AbstractSet[tuple[str, Key]], path: Key) -> Json:
    if not isinstance(content, dict):
        return content
    return {
        name: _pruned(value, gone, (*path, name))
        for name, value in content.items()
        if ("json", (*path, name)) not in gone
    }
