"""Finds values in the requests of a file or a run that come from earlier answers, as ``shrink`` does.

They are ids, tokens and cookies. Links are guesses, and are listed. A wrong guess changes nothing if the
server returns the recorded value. If it returns a different one, the unchanged request would ask for
something that does not exist.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from loadgen.client.traffic.answers import Answer
from loadgen.client.traffic.call import COOKIE, Bound, Call, Jar
from loadgen.client.traffic.carrying import providers, read
from loadgen.client.traffic.slots import TELLING, cookies, slots
from loadgen.core.exchange import Request, Response
from loadgen.core.masking import MASK
from loadgen.core.workload import LIKELY, Origin, likelihood

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadgen.client.traffic.answers import Key
    from loadgen.client.traffic.slots import Slot
    from loadgen.core.transcript import Event

PROVIDERS = 8
"""Number of answers, the first ones, considered as the origin of a value."""
NOBODY = -1
"""The number of no user."""
BROWSER = "browser"
"""Name of the jar for files without cookies."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """An occurrence of a value in an answer."""

    origin: Origin
    kind: str
    path: Key
    behind: str | None
    """The path segment before it."""

    def score(self, slot: Slot, request: Request) -> int:
        """Return how likely it is that the value in *slot* comes from here."""
        score = likelihood(self.origin, slot.value, request, slot.key, slot.behind)
        return score + (LIKELY + 1 if self.behind is not None and self.behind == slot.behind else 0)


def linked(events: Iterable[Event]) -> dict[int, Call]:
    """Return the requests of a run with links to earlier answers, and those with the answers, by number.

    The answer may be to another user: in a run, a user is a connection, and a client may have several.
    """
    everybody = _Client(each=True)
    calls: dict[int, Call] = {}
    for event in events:
        match event:
            case Request():
                call = Call(event.method, event.target, event.headers, event.body, event.user)
                calls[event.seq] = replace(call, bound=everybody.links(call))
            case Response():
                everybody.learn(event.seq, calls[event.seq], Answer(event.headers, read(event).content))
            case _:
                pass
    needed = providers(calls.values())
    return {seq: call for seq, call in calls.items() if call.bound or seq in needed}


def link(calls: Sequence[Call], answers: Sequence[Answer | None]) -> tuple[list[Call], list[str]]:
    """Return *calls* with links to earlier answers, and notes for the user."""
    users: defaultdict[int, _Client] = defaultdict(_Client)
    found: list[Call] = []
    for number, (call, answer) in enumerate(zip(calls, answers, strict=True)):
        client = users[call.user]
        bound = client.links(call)
        found.append(replace(call, bound=bound))
        if answer is not None:
            client.learn(number, call, answer)
    return found, listed(dict(enumerate(found)))


def listed(calls: Mapping[int, Call], otherwise: str = "--verbatim sends the file as it is") -> list[str]:
    """Return a note for the user about the values of *calls*, by number, that come from earlier answers."""
    told: Counter[str] = Counter()
    for call in calls.values():
        told.update(dict.fromkeys((_named(one, calls) for one in call.bound), 1))
    if not told:
        return []
    what = ", ".join(f"{name} ({count})" for name, count in told.most_common())
    return [f"Carried over from earlier answers: {what}. {otherwise}."]


def with_jar(calls: Iterable[Call]) -> list[Call]:
    """Return *calls* with cookies of the answers, as a browser would send them, instead of missing ones."""
    jar = Jar((BROWSER,), BROWSER, active=True)
    return [replace(call, headers=_unmasked(call), jar=jar) for call in calls]


def lacks_cookies(calls: Sequence[Call]) -> bool:
    """Whether all cookies were removed from the file."""
    values = [value for call in calls for name, value in call.headers if name.lower() == "cookie"]
    return all(value == MASK for value in values)


def _unmasked(call: Call) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in call.headers if (pair[0].lower(), pair[1]) != ("cookie", MASK))


class _Client:
    """The requests and answers of one user of the file, or of all users of a run."""

    def __init__(self, *, each: bool = False) -> None:
        """*each*: each answer counts by itself, because its user may be a connection of several clients.

        A cookie then comes from the answer that set its value, not from the latest that sets it, and the user
        decides only between answers that are as likely.
        """
        self._each = each
        self._origins: dict[str, list[_Seen]] = {}
        self._cookies: defaultdict[str, dict[str | None, int]] = defaultdict(dict)
        """By name and value, the number of the last request whose answer set it."""
        self._said: set[str] = set()

    def links(self, call: Call) -> tuple[Bound, ...]:
        """Return the links of *call* to the answers so far."""
        request = _request(0, call)
        bound = []
        same: dict[str, Bound] = {}
        """The ids of this request, by their values: what is in its path may be in its body, too."""
        for slot in slots(call):
            one = self._link(slot, request) or self._of_a_cookie(slot)
            if one is None and slot.key.lower().endswith("id") and (known := same.get(str(slot.value))):
                one = replace(known, part=slot.part, start=slot.start, end=slot.end, writing=slot.writing)
            if one is not None:
                bound.append(one)
                same.setdefault(str(slot.value), one)
            else:
                self._said.add(str(slot.value))
        bound += [
            self._cookie(slot, slot.writing, slot.key, str(slot.value))
            for slot in cookies(call)
            if str(slot.value) in self._cookies[slot.key]
        ]
        return tuple(bound)

    def learn(self, number: int, call: Call, answer: Answer) -> None:
        """Note the values of *answer*."""
        request = _request(number, call)
        for name, text in answer.cookies():
            self._cookies[name][text] = number
        for kind, path, value in answer.values():
            text = str(value)
            if isinstance(value, str) and (value in call.target or value.encode() in call.body):
                continue  # a value sent by the client itself
            known = self._origins.setdefault(text, [])
            if len(known) < PROVIDERS or all(one.origin.request.user != call.user for one in known):
                key = ("id",) if kind == "location" else path[:1] if kind == "field" else path
                known.append(_Seen(Origin(request, 0, key), kind, path, answer.behind(kind, path)))

    def _of_a_cookie(self, slot: Slot) -> Bound | None:
        """Return the link of a value that an answer has set as a cookie, which many clients send again."""
        text = str(slot.value)
        if not _telling(text):
            return None
        for name, values in self._cookies.items():
            if text in values:
                return self._cookie(slot, slot.writing, name, text)
            quoted = (value for value in values if value and unquote(value) == text)
            if slot.writing == "plain" and (value := next(quoted, None)) is not None:
                return self._cookie(slot, "unquoted", name, value)
        return None

    def _cookie(self, slot: Slot, writing: str, name: str, value: str) -> Bound:
        number = self._cookies[name][value] if self._each else -1
        return Bound(slot.part, slot.start, slot.end, writing, number, COOKIE, (name,))

    def _link(self, slot: Slot, request: Request) -> Bound | None:
        text = str(slot.value)
        if text in self._said and _telling(text):
            return None
        asked = replace(request, user=NOBODY) if self._each else request
        scored = [
            (one.score(slot, asked), one.origin.request.user == request.user, one)
            for one in self._origins.get(text, [])
        ]
        score, _, best = max(scored, key=lambda one: one[:2], default=(0, False, None))
        if best is None or score < LIKELY:
            return None
        number = best.origin.request.seq
        return Bound(slot.part, slot.start, slot.end, slot.writing, number, best.kind, best.path)


def _telling(text: str) -> bool:
    return len(text) >= TELLING and not text.isdecimal()


def _request(number: int, call: Call) -> Request:
    return Request(number, call.user, call.method, call.target, call.headers, call.body)


def _named(bound: Bound, calls: Mapping[int, Call]) -> str:
    """Describe where a value comes from."""
    if bound.kind == COOKIE:
        return f"cookie {bound.path[0]}"
    call = calls[bound.call]
    return f"{bound.name} of {call.method} {call.target.partition('?')[0]}"
