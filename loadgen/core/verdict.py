"""The verdict, and the judge that reaches it while the pairs of answers stream by.

``identical`` needs evidence for everything: a whole transcript, every answer compared and equal, served from
the tape, and the server's order equal. ``diverged`` needs one difference. Whatever is neither is
``undetermined``, with the reason.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loadgen.core.comparison import (
    OUTCOME_HEADER,
    RULES,
    SERVED_HEADER,
    Difference,
    Rule,
    compare,
    header,
)
from loadgen.core.exchange import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadgen.core.diagnosis import Cause
    from loadgen.core.exchange import Outcome, Request
    from loadgen.errors import LoadgenError

FORMAT = "loadgen-verdict/1"
RECORDING_ENDS = "the recording ends here"
"""How the boundary's evidence begins where the tape has no more: that tells nothing of the answers."""
KEPT = 1000
"""Divergences of which the details are kept; all are counted."""


class Judgement(enum.StrEnum):
    """The three verdicts, and no fourth."""

    IDENTICAL = "identical"
    DIVERGED = "diverged"
    UNDETERMINED = "undetermined"

    @property
    def exit_code(self) -> int:
        """The exit code that tells it to a shell."""
        return {"identical": 0, "diverged": 1, "undetermined": 3}[self]


WORST_FIRST = (Judgement.DIVERGED, Judgement.UNDETERMINED, Judgement.IDENTICAL)
"""Of several verdicts on one recording, which one counts."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why it could not be told."""

    fault: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Divergence:
    """One request that was answered differently."""

    seq: int
    user: int
    method: str
    target: str
    differences: tuple[Difference, ...]
    evidence: str = ""
    """What the boundary saw when this request left the tape, and where."""
    stack: tuple[str, ...] = ()
    """The application's calls at that point, innermost first."""
    position: int | None = None
    """Its place in the recorded server order, from 0; none if that is not known."""


@dataclass(slots=True)
class Verdict:
    """What was found, in the words of ``verdict.json``."""

    judgement: Judgement
    reasons: list[Reason] = field(default_factory=list)
    requests: int = 0
    """Requests in the recorded transcript, as far as it was read."""
    compared: int = 0
    """Answers that were compared."""
    diverged: int = 0
    divergences: list[Divergence] = field(default_factory=list)
    """Details of the first ones, in the server's order where it is known."""
    order: Divergence | None = None
    """The first difference of the server's order, if that differs."""
    order_steps: int | None = None
    """Steps of the server's order that were compared; none if it was not."""
    client_order_same: bool | None = None
    """Whether clients saw completions in the same order: reported, not judged."""
    rules: tuple[Rule, ...] = RULES
    """What was not compared."""
    causes: list[Cause] = field(default_factory=list)
    """What the divergences come from, the first in the server's order first."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else is evidence: versions, the absent database, durations."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``verdict.json``; each divergence names its cause by place, from 0."""
        cause_of = {seq: at for at, cause in enumerate(self.causes) for seq in cause.requests}
        return {
            "format": FORMAT,
            "verdict": self.judgement.value,
            "reasons": [asdict(reason) for reason in self.reasons],
            "requests": self.requests,
            "compared": self.compared,
            "diverged": self.diverged,
            "causes": [cause.to_json() for cause in self.causes],
            "divergences": [{**asdict(one), "cause": cause_of.get(one.seq)} for one in self.divergences],
            "server_order": {
                "same": None if self.order_steps is None else self.order is None,
                "steps": self.order_steps,
                "first_difference": asdict(self.order) if self.order else None,
            },
            "client_order_same": self.client_order_same,
            "rules": [rule.to_json() for rule in self.rules],
            **self.facts,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], rules: tuple[Rule, ...] = RULES) -> Verdict:
        """Return the verdict that :meth:`to_json` gave *content* of, without its causes."""
        rest = dict(content)
        order = rest.pop("server_order")
        for left_out in ("format", "rules", "causes"):
            rest.pop(left_out, None)
        return cls(
            Judgement(rest.pop("verdict")),
            [Reason(**reason) for reason in rest.pop("reasons")],
            requests=rest.pop("requests"),
            compared=rest.pop("compared"),
            diverged=rest.pop("diverged"),
            divergences=[_divergence(one) for one in rest.pop("divergences")],
            order=_divergence(order["first_difference"]) if order["first_difference"] else None,
            order_steps=order["steps"],
            client_order_same=rest.pop("client_order_same"),
            rules=rules,
            facts=rest,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a kind of replay is held to, beside equal answers."""

    rules: tuple[Rule, ...] = RULES
    """What it leaves out."""
    boundary: bool = True
    """Whether a request boundary says of each answer that it came from the tape."""
    order: str = "server's order"
    """What the order of two steps a request is called that must be equal, too; empty where there is none."""


BOUNDARY = Terms()
PROCESS = Terms(rules=(), boundary=False, order="")
"""A whole process: the clock of the server's own headers is on the tape; when its threads send is not."""
CLIENT = Terms(rules=(), boundary=False, order="client's order")
"""A load generator: its steps are the events that it lived."""


class Judge:
    """Collects the evidence of one replay; memory grows with what differs, not with what is the same."""

    def __init__(self, ignored: tuple[Rule, ...] = (), terms: Terms = BOUNDARY) -> None:
        self._terms = terms
        self._rules = (*terms.rules, *ignored)
        self._reasons: list[Reason] = []
        self._divergences: dict[int, Divergence] = {}
        self._diverged = 0
        self._unanswered = 0
        self._first_unanswered = ""
        self._recording_ended = False
        self._compared = 0
        self._order: Divergence | None = None
        self._steps: int | None = None
        self._entered: dict[int, int] = {}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What is not compared."""
        return self._rules

    @property
    def diverged(self) -> int:
        """Divergences so far."""
        return self._diverged

    def doubt(self, error: LoadgenError) -> None:
        """Note why the question cannot be answered, or not fully."""
        self._reasons.append(Reason(error.fault, error.message, error.advice))

    def pair(
        self,
        request: Request,
        recorded: Outcome,
        replayed: Outcome,
        evidence: str = "",
        stack: tuple[str, ...] = (),
    ) -> None:
        """Compare the two answers to one request."""
        if isinstance(recorded, Failure):
            if not self._unanswered:
                self._first_unanswered = f"{request} got no answer while recording ({recorded.kind})"
            self._unanswered += 1
            return
        if evidence.startswith(RECORDING_ENDS):
            if not self._recording_ended:
                what = f"the recording ends before {request} did: the engine did not write all of it"
                advice = "Was the disk full, or a limit on file sizes in force? Record again."
                self._reasons.append(Reason("recording", what, advice))
            self._recording_ended = True
            return
        if isinstance(replayed, Response) and header(replayed, OUTCOME_HEADER) == "diverged":
            left = Difference("outcome", f"answered {recorded.status}", f"left the tape: {evidence}")
            differences: tuple[Difference, ...] = (left,)
        elif isinstance(replayed, Failure) and evidence:
            differences = (
                Difference("outcome", f"answered {recorded.status}", f"left the tape: {evidence}"),
            )
        else:
            differences = compare(recorded, replayed, self._rules)
            if self._terms.boundary and isinstance(replayed, Response):
                served = header(replayed, SERVED_HEADER) or "a server outside the replay"
                if served != "replay":
                    wrong = Difference("served", "by the recorded server", f"by {served}, not the tape")
                    differences += (wrong,)
        self.note(request, differences, evidence, stack)

    def note(
        self,
        request: Request,
        differences: tuple[Difference, ...],
        evidence: str = "",
        stack: tuple[str, ...] = (),
    ) -> None:
        """Count a request whose outcome was compared, with what was found."""
        self._compared += 1
        if not differences:
            return
        self._diverged += 1
        if len(self._divergences) < KEPT:
            self._divergences[request.seq] = Divergence(
                request.seq, request.user, request.method, request.target, differences, evidence, stack
            )

    def order_piece(self, recorded: tuple[int, ...], replayed: list[int]) -> None:
        """Compare the next piece of the recorded server order with the whole replayed one."""
        done = self._steps or 0
        for at, step in enumerate(recorded, done):
            if step in self._divergences:
                self._entered.setdefault(step, at)
            if self._order is None and (at >= len(replayed) or replayed[at] != step):
                self._order_differs(at, step, replayed[at] if at < len(replayed) else None)
        self._steps = done + len(recorded)

    def order_end(self, replayed: list[int]) -> None:
        """Note steps that the replay took beyond the recorded ones."""
        if self._order is None and self._steps is not None and len(replayed) > self._steps:
            self._order_differs(self._steps, None, replayed[self._steps])

    def _in_order(self, requests: int) -> bool:
        return not self._terms.order or self._steps == 2 * requests

    def _order_differs(self, at: int, recorded: int | None, replayed: int | None) -> None:
        difference = Difference(f"server order, step {at + 1}", _step(recorded), _step(replayed))
        self._order = Divergence(abs(recorded or replayed or 0), 0, "", "", (difference,))

    def event(self, seq: int, recorded: str, replayed: str) -> bool:
        """Compare the next event that a client lived, told in words, and say whether it is the same.

        It is that of request *seq*; 0 for one that is no step of a request.
        """
        if self._order is None and recorded != replayed:
            difference = Difference(f"client order, step {(self._steps or 0) + 1}", recorded, replayed)
            self._order = Divergence(seq, 0, "", "", (difference,))
        self._steps = (self._steps or 0) + (seq > 0)
        return recorded == replayed

    def verdict(self, *, requests: int, whole: bool, client_order_same: bool | None) -> Verdict:
        """Reach the verdict; *whole* says that the transcript and its replay came to their ends."""
        if self._unanswered:
            more = f", and {self._unanswered - 1} more did not" if self._unanswered > 1 else ""
            what = f"{self._first_unanswered}{more}: nothing to compare with"
            self._reasons.append(
                Reason("recording", what, "Record again with a longer --timeout or less load.")
            )
        if self._diverged or (self._order and not self._recording_ended):
            judgement = Judgement.DIVERGED
        elif self._reasons or not (whole and requests == self._compared > 0 and self._in_order(requests)):
            judgement = Judgement.UNDETERMINED
            if not self._reasons:
                steps = f"{self._steps or 0} of {2 * requests} steps of the {self._terms.order}"
                what = f"{self._compared} of {requests} answers were compared, and {steps}"
                self._reasons.append(Reason("harness", what))
        else:
            judgement = Judgement.IDENTICAL
        late = self._steps or 0  # after every one whose place is known
        return Verdict(
            judgement,
            self._reasons,
            requests=requests,
            compared=self._compared,
            diverged=self._diverged,
            divergences=sorted(
                (replace(one, position=self._entered.get(one.seq)) for one in self._divergences.values()),
                key=lambda one: (late if one.position is None else one.position, one.seq),
            ),
            order=self._order,
            order_steps=self._steps,
            client_order_same=client_order_same,
            rules=self._rules,
        )


def _divergence(content: Mapping[str, Any]) -> Divergence:
    fields = {name: value for name, value in content.items() if name != "cause"}
    fields["differences"] = tuple(Difference(**one) for one in content["differences"])
    fields["stack"] = tuple(content["stack"])
    return Divergence(**fields)


def _step(step: int | None) -> str:
    if step is None:
        return "(nothing)"
    return f"request {step} enters" if step > 0 else f"request {-step} finishes"
