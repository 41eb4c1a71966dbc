"""Inserts values of new answers into requests that contained values of the recorded answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from loadgen.client.traffic.answers import Answer
from loadgen.client.traffic.call import COOKIE
from loadgen.client.traffic.slots import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadgen.client.traffic.call import Bound, Call
    from loadgen.core.exchange import Response


def providers(calls: Iterable[Call]) -> frozenset[int]:
    """Return the numbers of the calls whose answers provide values for others."""
    return frozenset(bound.call for call in calls for bound in call.bound)


def read(answer: Response) -> httpx.Response:
    """Return *answer* with its body decoded, as its client read it; with none if it cannot be decoded."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    try:
        return httpx.Response(answer.status, headers=headers, content=answer.body)
    except httpx.DecodingError:
        plain = [pair for pair in headers if pair[0].lower() != b"content-encoding"]
        return httpx.Response(answer.status, headers=plain)


def why_missing(bound: Bound, calls: Mapping[int, Call] | Sequence[Call]) -> str:
    """Return why there is no current value for *bound*, a value of an answer to one of *calls*."""
    if bound.call < 0:
        return f"no answer has set the cookie {bound.name}"
    source = calls[bound.call]
    what = f"cookie {bound.name}" if bound.kind == COOKIE else bound.name
    return f"the answer to {source.method} {source.target} has no {what} this time"


class Carrier:
    """The answers seen by one virtual user in one iteration, or by all users of a run."""

    def __init__(self, needed: frozenset[int]) -> None:
        self._needed = needed
        self._answers: dict[int, Answer] = {}
        self._cookies: dict[str, str] = {}

    def seen(self, number: int, answer: httpx.Response) -> None:
        """Keep the answer to call *number*, if a later call uses it."""
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw
        )
        if any(name.lower() == "set-cookie" for name, _ in headers):
            for name, value in Answer(headers, b"").cookies():
                self._cookies.pop(name, None)
                if value is not None:
                    self._cookies[name] = value
        if number in self._needed:
            self._answers[number] = Answer(headers, answer.content)

    def filled(self, call: Call) -> tuple[Call, list[Bound]]:
        """Return *call* with current values, and the missing ones, which stay as in the file."""
        if not call.bound:
            return call, []
        missing: list[Bound] = []
        texts = {"target": call.target, "body": call.body.decode("latin-1")}
        texts |= {str(number): value for number, (_, value) in enumerate(call.headers)}
        for bound in sorted(call.bound, key=lambda one: one.start, reverse=True):
            value = self._value(bound)
            if value is None:
                missing.append(bound)
                continue
            text = texts[bound.part]
            texts[bound.part] = text[: bound.start] + written(value, bound.writing) + text[bound.end :]
        headers = tuple((name, texts[str(number)]) for number, (name, _) in enumerate(call.headers))
        filled = replace(call, target=texts["target"], body=texts["body"].encode("latin-1"), headers=headers)
        return filled, missing

    def _value(self, bound: Bound) -> str | int | None:
        if bound.call < 0:
            return self._cookies.get(str(bound.path[0]))
        answer = self._answers.get(bound.call)
        return None if answer is None else answer.value(bound.kind, bound.path)
