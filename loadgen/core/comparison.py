"""Comparison of a recorded with a replayed answer: status, headers as an ordered list, body bytes.

Rules name everything that is left out, and the verdict lists all rules in force.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from loadgen import protocol
from loadgen.core import json_path
from loadgen.core.exchange import Failure, Response
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loadgen.core.exchange import Headers, Outcome

SERVED_HEADER = protocol.SERVED_HEADER.lower()
OUTCOME_HEADER = protocol.OUTCOME_HEADER.lower()
OWN_HEADER = protocol.OWN_HEADER.lower()
"""The header that says which headers the application set, because the server may send the same ones."""
BOUNDARY_HEADERS = frozenset({SERVED_HEADER, OUTCOME_HEADER, OWN_HEADER, protocol.OVER_HEADER.lower()})
REQUEST_FIELD = "request:"
"""Prefix of fields of the request, used when a client is compared; the part of the request follows."""
SHOWN = 400
"""Characters quoted of a value in a difference."""
LISTED = 8
"""Number of differing paths of a body that are listed; the others are counted."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: what is not compared, and why."""

    name: str
    why: str
    headers: frozenset[str] = frozenset()
    """Names of header fields, in lower case."""
    paths: tuple[json_path.Path, ...] = ()
    """Paths in JSON bodies; every other byte of the body is compared."""

    @property
    def leaves_out(self) -> list[str]:
        """The fields that are left out, for readers."""
        return sorted(self.headers) or [self.name]


def ignoring(given: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules given by the user: ``header:NAME`` and ``json:PATH``.

    Raises:
        UsageError: a rule is not valid.
    """
    rules = []
    for name in given:
        kind, _, what = name.strip().partition(":")
        try:
            match kind:
                case "header" if what:
                    rules.append(
                        Rule(name, "left out on the command line", headers=frozenset({what.lower()}))
                    )
                case "json":
                    path = json_path.parse(what)
                    # The ignored value may have a different length, so the body's length is left out too.
                    rules.append(
                        Rule(name, "left out on the command line", frozenset({"content-length"}), (path,))
                    )
                case _:
                    raise UsageError(f"{name!r} is not a field that can be ignored", advice=_ADVICE)
        except ValueError as error:
            raise UsageError(f"{name!r} cannot be ignored: {error}", advice=_ADVICE) from error
    return tuple(rules)


_ADVICE = "Give header:NAME, or json:PATH such as json:$.timestamp, json:$.users[*].created_at or json:$..at."


RULES = (
    Rule(
        "live-server-headers",
        "the HTTP server adds them, live in both phases; where the application set them, they are compared",
        frozenset({"date", "server", "connection", "keep-alive", "transfer-encoding"}),
    ),
    Rule(
        "boundary-headers",
        "loadgen's request boundary adds them",
        BOUNDARY_HEADERS,
    ),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs."""

    field: str
    """``request:<part>``, ``status``, ``reason``, ``header:<name>``, ``headers`` (their order),
    ``body:<JSON path>``, ``body at byte <n>``, ``outcome`` (answered or not), ``served`` (by what)."""
    recorded: str
    replayed: str

    def __str__(self) -> str:
        return f"{self.field}: {self.recorded} while recording, {self.replayed} in the replay"


def header(answer: Response, name: str) -> str | None:
    """Return the value of the last header *name*, in lower case: loadgen's headers come last."""
    return next((value for key, value in reversed(answer.headers) if key.lower() == name), None)


def compared_headers(answer: Response, rules: tuple[Rule, ...] = RULES) -> Headers:
    """Return the headers that *rules* do not exclude."""
    own = _own(answer)
    out = _left_out(rules)
    kept = []
    # The server's own header comes before the application's, and may be equal: each counts once.
    for name, value in reversed(answer.headers):
        if name.lower() not in out:
            kept.append((name, value))
        elif [name.lower(), value] in own:
            own.remove([name.lower(), value])
            kept.append((name, value))
    return tuple(reversed(kept))


def _own(answer: Response) -> list[Any]:
    """Return the headers that the application set although a live server adds them, in lower case."""
    said = header(answer, OWN_HEADER)
    if said is None:
        return []
    try:
        own = json.loads(said)
    except ValueError:
        return []
    return own if isinstance(own, list) else []  # it may be an application's own header of that name


@lru_cache
def _left_out(rules: tuple[Rule, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(rule.headers for rule in rules))


def compared_body(answer: Response, rules: tuple[Rule, ...] = RULES, *, cut: bool = False) -> bytes:
    """Return the body, with null instead of each value that *rules* leave out; *cut*: it may end anywhere."""
    paths = [path for rule in rules for path in rule.paths]
    if not paths:
        return answer.body
    try:
        text = answer.body.decode(errors="surrogateescape" if cut else "strict")
        find = json_path.find_in_beginning if cut else json_path.find
        for start, end in reversed(find(text, paths)):
            text = f"{text[:start]}null{text[end:]}"
    except (ValueError, RecursionError):  # not JSON: there is nothing to leave out
        return answer.body
    return text.encode(errors="surrogateescape" if cut else "strict")


def compare(recorded: Outcome, replayed: Outcome, rules: tuple[Rule, ...] = RULES) -> tuple[Difference, ...]:
    """Return how *replayed* differs from *recorded*; nothing where they are the same.

    Of a request that its client gave up while recording, that is as far as its answer had come: how much of
    it that is depends on the network. Where the server itself broke off, it must do so at the same byte.
    """
    cut = isinstance(recorded, Failure) and not recorded.is_orderly
    if not cut and type(recorded) is not type(replayed):
        return (Difference("outcome", told(recorded), told(replayed)),)
    before, after = came(recorded), came(replayed)
    if before is None and (cut or after is None):
        return ()
    if before is None or after is None:
        if isinstance(replayed, Failure) and not replayed.is_orderly:
            return ()
        return (Difference("outcome", told(recorded), told(replayed)),)
    whole = isinstance(recorded, Response) and isinstance(replayed, Response)
    return tuple(_answers(before, after, rules, whole=whole, cut=cut, cut_short=_is_cut(replayed)))


def came(outcome: Outcome) -> Response | None:
    """Return an answer, or what came of it."""
    return outcome.came if isinstance(outcome, Failure) else outcome


def told(outcome: Outcome) -> str:
    """Say how a request ended."""
    if isinstance(outcome, Response):
        return f"answered {outcome.status}"
    what = f"{outcome.kind} {outcome.message}".rstrip()
    if outcome.came is None:
        return f"no answer: {what}"
    return f"answered {outcome.came.status}, broken off after {len(outcome.came.body):,} bytes: {what}"


def _is_cut(outcome: Outcome) -> bool:
    return isinstance(outcome, Failure) and not outcome.is_orderly


def _answers(
    recorded: Response,
    replayed: Response,
    rules: tuple[Rule, ...],
    *,
    whole: bool,
    cut: bool,
    cut_short: bool,
) -> Iterator[Difference]:
    """Compare two answers; one that was *cut* is compared with the beginning of the other."""
    if recorded.status != replayed.status:
        yield Difference("status", str(recorded.status), str(replayed.status))
    if None not in (recorded.reason, replayed.reason) and recorded.reason != replayed.reason:
        yield Difference("reason", str(recorded.reason), str(replayed.reason))
    before, after = (compared_body(each, rules, cut=not whole) for each in (recorded, replayed))
    if cut:
        after = after[: len(before)]
    if cut_short:
        before = before[: len(after)]
    if before != after:
        yield from _body(before, after)
    if recorded.headers != replayed.headers:
        yield from _headers(compared_headers(recorded, rules), compared_headers(replayed, rules))


def _headers(recorded: Headers, replayed: Headers) -> Iterator[Difference]:
    if recorded == replayed:
        return
    names = dict.fromkeys(name.lower() for name, _ in (*recorded, *replayed))
    found = False
    for name in names:
        before = [value for key, value in recorded if key.lower() == name]
        after = [value for key, value in replayed if key.lower() == name]
        if before != after:
            found = True
            yield Difference(f"header:{name}", _values(before), _values(after))
    if not found:
        yield Difference("headers", _names(recorded), _names(replayed))


def _values(values: list[str]) -> str:
    return _printable(", ".join(map(repr, values))) if values else "(absent)"


def _names(headers: Headers) -> str:
    return ", ".join(name for name, _ in headers)


def _body(recorded: bytes, replayed: bytes) -> Iterator[Difference]:
    try:
        found = list(_json(json.loads(recorded), json.loads(replayed), "$"))
    except (ValueError, RecursionError):  # not JSON, or nested deeper than is worth a path
        found = []
    for path, left, right in found[:LISTED]:
        yield Difference(f"body:{path}", left, right)
    if more := len(found[LISTED:]):
        yield Difference("body", f"({more} more values)", "(they differ too)")
    if found:
        return
    pairs = zip(recorded, replayed, strict=False)
    start = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(recorded), len(replayed)))
    yield Difference(f"body at byte {start}", _excerpt(recorded, start), _excerpt(replayed, start))


def _json(before: Any, after: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the paths at which two JSON values differ, with both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            here = f"{path}.{key}" if key.isidentifier() else f"{path}[{json.dumps(key)}]"
            if key not in after:
                yield here, _value(before[key]), "(absent)"
            elif key not in before:
                yield here, "(absent)", _value(after[key])
            else:
                yield from _json(before[key], after[key], here)
    elif isinstance(before, list) and isinstance(after, list):
        for index, (left, right) in enumerate(zip(before, after, strict=False)):
            yield from _json(left, right, f"{path}[{index}]")
        if len(before) != len(after):
            yield f"{path}.length", str(len(before)), str(len(after))
    elif type(before) is not type(after) or repr(before) != repr(
        after
    ):  # NaN equals itself, 0.0 does not equal -0.0
        yield path, _value(before), _value(after)


def _value(value: Any) -> str:
    return _printable(json.dumps(value, ensure_ascii=False))


def _excerpt(body: bytes, at: int) -> str:
    if not body:
        return "(empty)"
    start = max(0, at - 40)
    text = body[start : start + SHOWN].decode("utf-8", "backslashreplace")
    return _printable(("…" if start else "") + text)


def _printable(text: str) -> str:
    """Shorten *text*, and make it encodable: JSON may hold half of a surrogate pair."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
