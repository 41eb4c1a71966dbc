"""A replay as a stream of events, one JSON object per line, to judge without server and engine.

``request``
    ``seq``, ``user``, ``method``, ``target``.
``answers``
    ``seq``, and the two answers to it, ``recorded`` and ``replayed``: each a ``status`` with a ``body``, or a
    ``failure``, with ``message``; of a boundary's own answer also its ``outcome``. ``left``: how the request
    left the tape, see :class:`loadgen.core.departure.Departure`.
``order``
    The server's order, ``recorded`` and ``replayed``.
``doubt``
    ``fault`` and ``message`` of what kept the replay from going on.
``end``
    ``requests``, and whether the transcript was ``complete``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadgen import protocol
from loadgen.core.departure import Departure
from loadgen.core.diagnosis import diagnosed
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.judge import Judge
from loadgen.errors import EngineFault, LoadgenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadgen.core.exchange import Outcome
    from loadgen.core.verdict import Verdict

_FAULTS: dict[str, type[LoadgenError]] = {one.fault: one for one in (EngineFault,)}


def judged(lines: Iterable[str], changed: Sequence[str] | None = ()) -> Verdict:
    """Return the verdict, with its causes, on the replay described by *lines*.

    *changed* names the changed files of the application.
    """
    judge = Judge()
    asked: dict[int, Request] = {}
    requests, complete = 0, False
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        match event["event"]:
            case "request":
                seq = event["seq"]
                asked[seq] = Request(seq, event["user"], event["method"], event["target"], ())
            case "answers":
                left = event.get("left")
                judge.pair(
                    asked[event["seq"]],
                    _outcome(event["seq"], event["recorded"], protocol.RECORD),
                    _outcome(event["seq"], event["replayed"], protocol.REPLAY),
                    None if left is None else Departure.from_json(left),
                )
            case "order":
                judge.order_piece(tuple(event["recorded"]), event["replayed"])
                judge.order_end(event["replayed"])
            case "doubt":
                judge.doubt(_FAULTS[event["fault"]](event["message"]))
            case "end":
                requests, complete = event["requests"], event["complete"]
            case other:
                raise ValueError(f"{other!r} is no event of a stream")
    verdict = judge.verdict(requests=requests, complete=complete, client_order_same=None)
    return diagnosed(verdict, [verdict], None if changed is None else list(changed))


def _outcome(seq: int, content: dict[str, Any], mode: str) -> Outcome:
    if "failure" in content:
        return Failure(seq, content["failure"], content.get("message", ""))
    own = (
        (protocol.OUTCOME_HEADER, content["outcome"])
        if "outcome" in content
        else (protocol.SERVED_HEADER, mode)
    )
    return Response(seq, content["status"], (own,), content["body"].encode())
