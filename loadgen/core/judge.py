"""The judge: reaches a verdict while the pairs of answers stream by.

``identical`` needs evidence for everything: a complete transcript, every outcome compared and equal, served
from the tape, and the server's order equal. ``diverged`` needs one difference. Whatever is neither is
``undetermined``, with the reason.

A request that got no complete answer while recording (its client gave up, or left, or the server broke off)
is compared as far as it came: its answer as far as the client had it, what the server did as far as that is
on the tape. A run in which nothing at all came has nothing to compare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from loadgen import protocol
from loadgen.core.comparison import (
    OUTCOME_HEADER,
    RULES,
    SERVED_HEADER,
    Difference,
    came,
    compare,
    header,
    told,
)
from loadgen.core.exchange import Failure, Response
from loadgen.core.verdict import Divergence, Facts, Judgement, Reason, Undecided, Verdict, judged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.core.comparison import Rule
    from loadgen.core.departure import Departure
    from loadgen.core.exchange import Outcome, Request
    from loadgen.core.verdict import CallDifference
    from loadgen.errors import LoadgenError

KEPT = 1000
"""Number of divergences, undecided requests and calls that are kept in detail; all are counted."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a mode of replay compares, in addition to answers."""

    rules: tuple[Rule, ...] = RULES
    """What it leaves out of the comparison."""
    boundary: bool = True
    """Whether a request boundary reports for each answer that it came from the tape."""
    order: str = "server's order"
    """Name of the order (two steps per request) that must be equal too; empty if there is none."""


BOUNDARY = Terms()
PROCESS = Terms(rules=(), boundary=False, order="")
"""A whole process: the server's own headers are on the tape; the order in which threads send is not."""
CLIENT = Terms(rules=(), boundary=False, order="client's order")
"""A load generator: its steps are its events."""


class Judge:
    """Collects the evidence of one replay; memory grows only with the number of differences."""

    def __init__(self, ignored: tuple[Rule, ...] = (), terms: Terms = BOUNDARY) -> None:
        self._terms = terms
        self._rules = (*terms.rules, *ignored)
        self._reasons: list[Reason] = []
        self._divergences: dict[int, Divergence] = {}
        self._diverged = 0
        self._undecided: list[Undecided] = []
        self._undecided_count = 0
        self._calls: list[CallDifference] = []
        self._unanswered: dict[str, int] = {}
        self._first_unanswered = ""
        self._nothing_came = 0
        self._given_up = set[int]()
        """Requests without a complete answer in the recording, which need not have finished there."""
        self._unfinished: dict[int, Request] = {}
        """Those of them that came to the end of the tape in the replay."""
        self._steps_given_up = 0
        """Steps of the server's order that they took."""
        self._recording_ended = False
        self._compared = 0
        self._order: Divergence | None = None
        self._steps: int | None = None
        self._entered: dict[int, int] = {}
        self._by_the_server = set[int]()
        """Requests that the HTTP server answered itself, and that did not enter the application so far."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules: what is not compared."""
        return self._rules

    @property
    def diverged(self) -> int:
        """Number of divergences so far."""
        return self._diverged

    def doubt(self, error: LoadgenError) -> None:
        """Note why the run cannot be judged, or not completely."""
        self._reasons.append(Reason(error.fault, error.message, error.advice, error.code))

    def pair(
        self,
        request: Request,
        recorded: Outcome,
        replayed: Outcome,
        left: Departure | None = None,
    ) -> None:
        """Compare the two answers to one request; *left* says how it left the tape, if it did."""
        if isinstance(recorded, Failure):
            self.given_up(request, recorded)
        if left is not None and left.code == protocol.RECORDING_UNREADABLE:
            self._incomplete(request, left.why)
            return
        if left is not None and left.code == protocol.RECORDING_ENDS:
            self._came_to_the_end(request, recorded, replayed)
            return
        differences: tuple[Difference, ...]
        boundary_answered = isinstance(replayed, Response) and header(replayed, OUTCOME_HEADER)
        if boundary_answered == protocol.DIVERGED or (isinstance(replayed, Failure) and left is not None):
            where = f", at {left.stack[0]}" if left and left.stack else ""
            why = f": {left.why}{where}" if left else ""
            differences = (Difference("outcome", told(recorded), f"left the tape{why}"),)
        else:
            differences = compare(recorded, replayed, self._rules)
            if self._terms.boundary and (before := came(recorded)) and (after := came(replayed)):
                differences += self._served(request.seq, before, after)
        self.note(request, differences, left)

    def given_up(self, request: Request, recorded: Failure) -> None:
        """Note that *request* got no complete answer while recording."""
        self._given_up.add(request.seq)
        self._unanswered[recorded.kind] = self._unanswered.get(recorded.kind, 0) + 1
        self._first_unanswered = self._first_unanswered or f"{request}: {recorded.kind}"
        self._nothing_came += recorded.came is None

    def _came_to_the_end(self, request: Request, recorded: Outcome, replayed: Outcome) -> None:
        """Note that *request* did in the replay all that the tape has of it, and that this is not its end."""
        before, after = came(recorded), came(replayed)
        if isinstance(replayed, Response) and header(replayed, OUTCOME_HEADER):
            after = None  # the boundary's own
        if isinstance(recorded, Response) or (before is not None and after is None):
            self._incomplete(request)
            return
        self._unfinished[request.seq] = request
        self.note(request, () if after is None else compare(recorded, replayed, self._rules))

    def _incomplete(self, request: Request, error: str = "") -> None:
        if not self._recording_ended:
            what = f"the recording ends before {request} did: the engine did not write all of it"
            advice = "Check free disk space and limits on file sizes, and record again."
            if error:
                what = f"the recording cannot be read to the end of {request}: {error}"
                advice = (
                    "A value that the application got cannot be read back: report it to loadgen's authors."
                )
            self._reasons.append(Reason("recording", what, advice, protocol.RECORDING_INCOMPLETE))
        self._recording_ended = True

    def _served(self, seq: int, recorded: Response, replayed: Response) -> tuple[Difference, ...]:
        """Return a difference unless both answers are the application's, or both the HTTP server's own.

        The server itself answers requests that it refuses, which never enter the application, and errors that
        leave the application. The server's order shows which of the two it was, so this is compared too.
        """
        before, after = header(recorded, SERVED_HEADER), header(replayed, SERVED_HEADER)
        if before is None and after is None:
            if seq not in self._given_up:
                self._by_the_server.add(seq)
            return ()
        if after == protocol.REPLAY:
            return ()
        served = after or "a server outside the replay"
        return (Difference("served", "by the recorded server", f"by {served}, not the tape"),)

    def note(
        self,
        request: Request,
        differences: tuple[Difference, ...],
        left: Departure | None = None,
    ) -> None:
        """Count a compared request, with its differences."""
        self._compared += 1
        if not differences:
            return
        self._diverged += 1
        if len(self._divergences) < KEPT:
            self._divergences[request.seq] = Divergence(
                request.seq, request.user, request.method, request.target, differences, left
            )

    def undecided(
        self, request: Request, code: str, why: str, advice: str = "", stack: tuple[str, ...] = ()
    ) -> None:
        """Note that *request* cannot be judged, for the reason *code*; other requests can."""
        self._undecided_count += 1
        if len(self._undecided) < KEPT:
            self._undecided.append(
                Undecided(request.seq, request.user, request.method, request.target, code, why, advice, stack)
            )

    def calls(self, differences: Iterable[CallDifference]) -> None:
        """List calls that differ; divergences among them are also passed to :meth:`note`."""
        self._calls += islice(differences, KEPT - len(self._calls))

    def order_piece(self, recorded: tuple[int, ...], replayed: list[int]) -> None:
        """Compare the next piece of the recorded server order with the complete replayed order."""
        done = self._steps or 0
        for at, step in enumerate(recorded, done):
            self._by_the_server.discard(step)
            self._steps_given_up += abs(step) in self._given_up
            if -step in self._unfinished:
                self._incomplete(self._unfinished[-step])
            if step in self._divergences:
                self._entered.setdefault(step, at)
            if self._order is None and (at >= len(replayed) or replayed[at] != step):
                self._order_differs(at, step, replayed[at] if at < len(replayed) else None)
        self._steps = done + len(recorded)

    def order_end(self, replayed: list[int]) -> None:
        """Note steps that the replay took beyond the recorded ones.

        The recorded server was asked for its order when its clients had ended. What they had given up may
        have gone on until it was stopped; that is on the tape, and in no order.
        """
        done = self._steps or 0
        more = [step for step in replayed[done:] if abs(step) not in self._given_up]
        if self._order is None and self._steps is not None and more:
            self._order_differs(done, None, more[0])

    def _in_order(self, requests: int) -> bool:
        return not self._terms.order or (self._steps or 0) == self._expected_steps(requests)

    def _expected_steps(self, requests: int) -> int:
        answered = requests - len(self._by_the_server) - len(self._given_up)
        return 2 * answered + self._steps_given_up

    def _order_differs(self, at: int, recorded: int | None, replayed: int | None) -> None:
        difference = Difference(f"server order, step {at + 1}", _step(recorded), _step(replayed))
        self._order = Divergence(abs(recorded or replayed or 0), 0, "", "", (difference,))

    def event(self, seq: int, recorded: str, replayed: str) -> bool:
        """Compare the next event of a client, given in words, and return whether it is the same.

        *seq* is the event's request; 0 if it is not a step of a request.
        """
        if self._order is None and recorded != replayed:
            difference = Difference(f"client order, step {(self._steps or 0) + 1}", recorded, replayed)
            self._order = Divergence(seq, 0, "", "", (difference,))
        self._steps = (self._steps or 0) + (seq > 0)
        return recorded == replayed

    def verdict(
        self, *, requests: int, complete: bool, client_order_same: bool | None, facts: Facts | None = None
    ) -> Verdict:
        """Return the verdict; *complete* says that the transcript and its replay are complete."""
        if requests and self._nothing_came == requests:
            what = (
                f"no request got an answer while recording, so there is nothing to compare "
                f"({self._first_unanswered})"
            )
            advice = (
                "Record again with a longer --timeout or less load."
                if self._first_unanswered.endswith("Timeout")
                else "See the server's log in the run's folder, and record again."
            )
            self._reasons.append(Reason("recording", what, advice, protocol.NOTHING_RECORDED))
        if self._undecided:
            first = self._undecided[0]
            more = f", and {self._undecided_count - 1} more cannot" if self._undecided_count > 1 else ""
            what = f"request {first.seq} ({first.method} {first.target}) cannot be judged{more}: {first.why}"
            self._reasons.append(Reason("recording", what, first.advice or "Record again.", first.code))
        judgement = judged(
            self._reasons,
            differs=bool(self._diverged or (self._order and not self._recording_ended)),
            complete=complete and requests == self._compared > 0 and self._in_order(requests),
        )
        if judgement is Judgement.UNDETERMINED and not self._reasons:
            steps = f"{self._steps or 0} of {self._expected_steps(requests)} steps of the {self._terms.order}"
            what = f"{self._compared} of {requests} answers were compared, and {steps}"
            self._reasons.append(Reason("harness", what, code=protocol.NOT_ALL_COMPARED))
        late = self._steps or 0  # unknown positions sort last
        return Verdict(
            judgement,
            tuple(self._reasons),
            requests=requests,
            compared=self._compared,
            diverged=self._diverged,
            before_application=len(self._by_the_server),
            unanswered=dict(self._unanswered),
            divergences=tuple(
                sorted(
                    (replace(one, position=self._entered.get(one.seq)) for one in self._divergences.values()),
                    key=lambda one: (late if one.position is None else one.position, one.seq),
                )
            ),
            undecided=tuple(self._undecided),
            calls=tuple(self._calls),
            order=self._order,
            order_steps=self._steps,
            client_order_same=client_order_same,
            rules=self._rules,
            facts=facts or Facts(),
        )


def _step(step: int | None) -> str:
    if step is None:
        return "(nothing)"
    return f"request {step} enters" if step > 0 else f"request {-step} finishes"
