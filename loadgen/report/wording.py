"""The words of a verdict for the terminal, the page, Markdown and JUnit. Pure.

Quoted values go through the masker, field by field. This module decides nothing, and nothing parses its
sentences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen import protocol
from loadgen.core.comparison import REQUEST_FIELD, RULES
from loadgen.core.location import own_call
from loadgen.core.masking import Masker, Rules
from loadgen.core.option import shell
from loadgen.core.spec import ModeName, Runtime
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.comparison import Difference
    from loadgen.core.verdict import CallDifference, Cause, Divergence, Facts, Reason, Route, Runs, Verdict

QUOTED = 48
"""Characters quoted of a value."""
CLAUSE = 300
"""Characters quoted of a reason."""
NAMED = 8
"""Number of requests named in a sentence."""
THE_REPLAY = "the replay"
NOTHING = "(nothing)"
"""Stands for a call that there is not."""
OPEN = Masker(Rules((), frozenset(), frozenset(), ()))
"""Masks nothing: for the terminal of the run's owner."""
FAULTS = {
    "application": "the application",
    "engine": "the engine",
    "transcript": "the transcript",
    "recording": "the recording",
    "harness": "loadgen",
    "machine": "this machine",
    "server": "the server",
    "unknown": "not known yet",
}
SCHEDULES = {
    "turns": "recorded in turns, so that races in memory replay too",
    "explore": "recorded in turns that a strategy gave, to find races; the replay repeats its schedule",
    "parallel": "recorded in parallel, so that races in memory may replay differently",
}
_REPLAYED = {
    "process": "the whole server process, by the engine alone; without client and sockets",
    "client": "the load generator; without server and connections",
}
_COMPARED = {
    "boundary": "status, headers, body bytes",
    "process": "status, all headers, body bytes",
    "client": "status, all headers, body bytes; the requests sent, and the times of loadgen's own users",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One cause in words."""

    number: int
    """Its number among the causes of the verdict, from 1."""
    fault: str
    label: str
    """The fault in words."""
    request: str
    """The first request that shows it, such as ``GET /api/stats``."""
    what: str
    """The difference, as a sentence about the request."""
    where: str
    """The application's call at which that request left the tape; empty if it did not."""
    why: str
    advice: str
    others: str
    """The other requests of the cause, and its consequences; empty if there are none."""
    first: int
    count: int
    """Requests of the cause, with those that follow from it."""
    here: int
    """Number of its divergences with details in this verdict; the rest are from other replays."""
    elsewhere: bool
    """Whether its first request differs in another replay, and not in this one."""
    head: Divergence
    """Its first divergence; the renderer masks it."""
    debug: str
    """Options of ``loadgen debug`` that stop in its first request; empty if its replay cannot be debugged."""


# ---- the verdict -----------------------------------------------------------------------------------------


def title(verdict: Verdict) -> str:
    """Return the verdict as a headline."""
    return verdict.judgement.value.capitalize()


def lead(verdict: Verdict, masker: Masker) -> str:
    """Say what was found, in a sentence or two."""
    match verdict.judgement:
        case Judgement.IDENTICAL:
            return _identical(verdict)
        case Judgement.DIVERGED:
            return _diverged(verdict, masker)
    if verdict.requests and not verdict.answers:
        return "The run cannot be judged: no answer was recorded."
    compared, of = verdict.answers_compared, count(verdict.answers, "answer")
    number = f"{verdict.diverged:,}" if verdict.diverged else "none"
    differ = f", and {number} of them differ{'' if verdict.diverged > 1 else 's'}" if compared else ""
    return f"The run cannot be judged. {compared:,} of {of} were compared{differ}."


def at_fault(verdict: Verdict) -> str:
    """Say whose fault the causes are; empty if there is none."""
    if not verdict.causes:
        return ""
    faults = ", ".join(dict.fromkeys(FAULTS[cause.fault] for cause in verdict.causes))
    return f"at fault: {faults}"


def reason(one: Reason, masker: Masker) -> tuple[str, str, str]:
    """Return the fault, the reason, and what to do next."""
    return fault(one.fault), masker.text(one.message), masker.text(one.advice)


def fault(code: str) -> str:
    """Return a fault in words."""
    return FAULTS.get(code, code)


def compared(verdict: Verdict) -> str:
    """Say how many answers were compared, and which parts."""
    what = _COMPARED[verdict.facts.replay]
    own = verdict.before_application
    by_server = f"; {own:,} of them from the HTTP server itself, before the application" if own else ""
    return f"{verdict.answers_compared:,} of {count(verdict.answers, 'answer')}: {what}{by_server}"


def unanswered(verdict: Verdict) -> str:
    """Say how many requests got no complete answer while recording, and why; empty if all got one."""
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in verdict.unanswered.items())
    if not kinds:
        return ""
    number = count(sum(verdict.unanswered.values()), "request")
    return f"{number} while recording ({kinds}): compared as far as they came"


def replayed(verdict: Verdict) -> str:
    """Say what was replayed; empty for the usual case, a server at its request boundary."""
    if verdict.facts.engine_alone:
        return "by the engine alone, without loadgen's workarounds (record --engine-alone)"
    return _REPLAYED.get(verdict.facts.replay, "")


def replays(verdict: Verdict) -> str:
    """Say how several replays went; empty for one."""
    each = verdict.facts.replays
    if len(each) < 2:  # noqa: PLR2004
        return ""
    diverged = sum(one.verdict is Judgement.DIVERGED for one in each)
    how = ", ".join(f"{one.folder} {one.verdict}" for one in each)
    return f"replayed {len(each)} times, {diverged} diverged ({how}); the worst is shown"


def order(verdict: Verdict) -> str:
    """Say whether the order of steps is the same."""
    if verdict.order_steps is None:
        return "not compared"
    steps = "requests sent, answered" if verdict.facts.replay == "client" else "requests entering, finishing"
    return f"{'differs' if verdict.order else 'the same'}, {count(verdict.order_steps, 'step')}: {steps}"


def left_out(verdict: Verdict) -> str:
    """Name the rules given by the user; empty if there are none."""
    return ", ".join(rule.name for rule in verdict.rules if rule not in RULES)


def code_changed(verdict: Verdict) -> str:
    """Say how many source files changed; empty if none did, or it is not known."""
    if not (changed := verdict.facts.changed_sources):
        return ""
    return f"{count(len(changed), 'file')} changed since it was recorded"


def first_step(verdict: Verdict) -> str:
    """Say at which step the order differs; empty if it does not."""
    if verdict.order is None:
        return ""
    return str(verdict.order.differences[0])


# ---- causes ----------------------------------------------------------------------------------------------


def causes(verdict: Verdict, masker: Masker) -> list[Told]:
    """Return the causes of a verdict."""
    return [_told(at, one, verdict, masker) for at, one in enumerate(verdict.causes)]


def _told(at: int, cause: Cause, verdict: Verdict, masker: Masker) -> Told:
    head = cause.first
    elsewhere = all(one.seq != head.seq for one in verdict.divergences)
    what = happened(head, masker, "another replay" if elsewhere else THE_REPLAY)
    return Told(
        number=at + 1,
        fault=cause.fault.value,
        label=FAULTS[cause.fault],
        request=f"{head.method} {masker.target(head.target)}",
        what=f"request {head.seq}: {what}.",
        where=masker.text(own_call(head.stack).partition(": ")[0]),
        why=_sentence(masker.text(cause.why)),
        advice=masker.text(cause.advice),
        others=_others(cause),
        first=head.seq,
        count=cause.count + cause.consequences,
        here=sum(one.cause == at for one in verdict.divergences),
        elsewhere=elsewhere,
        head=head,
        debug=_stop_in(head) if _can_be_debugged(verdict.facts) else "",
    )


def debug_run(verdict: Verdict, run: str) -> str:
    """Return the command that stops in a request of a run; empty if it cannot be debugged."""
    where = "--request 1" if verdict.judgement is Judgement.IDENTICAL else "--left"
    return f"{shell('debug', Path(run))} {where}" if _can_be_debugged(verdict.facts) else ""


def _can_be_debugged(facts: Facts) -> bool:
    local = facts.runtime == Runtime.LOCAL and facts.replay == ModeName.BOUNDARY
    return local and not facts.engine_alone and facts.compared_with is None


def _stop_in(one: Divergence) -> str:
    return f"--request {one.seq}" + (" --left" if one.left is not None else "")


def debug(told: Told, run: str) -> str:
    """Return the command that stops in the first request of a cause; empty if it cannot be debugged."""
    return f"{shell('debug', Path(run))} {told.debug}" if told.debug else ""


def _others(cause: Cause) -> str:
    parts = []
    if more := cause.count - 1:
        parts.append(f"{count(more, 'more request')} of the same cause: {_named(cause.requests[1:], more)}")
    if cause.consequences:
        later = f"{count(cause.consequences, 'later request')} left the tape as a consequence"
        parts.append(f"{later}: {_named(cause.consequent, cause.consequences)}")
    return "; ".join(parts)


def _named(seqs: Sequence[int], of: int) -> str:
    return ", ".join(map(str, seqs[:NAMED])) + (", …" if of > min(len(seqs), NAMED) else "")


# ---- differences -----------------------------------------------------------------------------------------


def happened(one: Divergence, masker: Masker, replay: str = THE_REPLAY) -> str:
    """Say in a clause how a request was answered differently; it can follow a colon."""
    difference = telling(one.differences)
    if one.code == protocol.ANOTHER_EFFECT:
        return _effect(one.differences[0], masker, replay)
    if one.left is not None:
        recorded = masker.difference(difference.field, difference.recorded)
        why = short(masker.text(one.left.why), CLAUSE)
        return f"recorded: {recorded}; in {replay} it left the tape: {why}"
    return sentence(difference, masker, replay)


def _effect(difference: Difference, masker: Masker, replay: str) -> str:
    """Say which effect is missing, or more, or another one."""
    before, after = (
        "" if text == NOTHING else short(call(text, masker), CLAUSE)
        for text in (difference.recorded, difference.replayed)
    )
    if not after:
        return f"{replay} leaves out {before}"
    instead = f" instead of {before}" if before else ", which was not recorded"
    return f"{replay} calls {after}{instead}"


def sentence(difference: Difference, masker: Masker, replay: str = THE_REPLAY) -> str:
    """Say in a clause how an answer differs; it can follow a colon."""
    field, before, after = sides(difference, masker)
    if field == "outcome":
        return f"recorded: {before}; in {replay}: {short(after, CLAUSE)}"
    if field == "served":
        return f"it was served {before}; in {replay}, {after}"
    there = "" if replay == THE_REPLAY else f" in {replay}"
    return f"{_field(field)} was {_value(before)} and is {_value(after)}{there}"


def line(difference: Difference, masker: Masker) -> str:
    """Return both sides of a difference as one line."""
    field, before, after = sides(difference, masker)
    return f"{field}: recorded {before}, replayed {after}"


def sides(difference: Difference, masker: Masker) -> tuple[str, str, str]:
    """Return the field of a difference, with the masked recorded and replayed values."""
    field = difference.field
    if field == "calls":
        return field, call(difference.recorded, masker), call(difference.replayed, masker)
    return field, masker.difference(field, difference.recorded), masker.difference(field, difference.replayed)


def rank(difference: Difference) -> int:
    """Rank a difference: status, then body, then a header; a length is only a consequence."""
    field = difference.field
    if field == "header:content-length":
        return 3
    return 2 if field.startswith("header") else 1 if field.startswith("body") else 0


def telling(differences: Sequence[Difference]) -> Difference:
    """Return the most telling difference."""
    return min(differences, key=rank)


def short(text: str, limit: int = QUOTED) -> str:
    """Return *text*, shortened to *limit* characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def capital(text: str) -> str:
    """Capitalise the first letter of *text*."""
    return text[:1].upper() + text[1:]


def count(number: int, what: str) -> str:
    """Return *number* and *what*, in the plural if needed."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _identical(verdict: Verdict) -> str:
    steps = ""
    if verdict.order_steps:
        steps = f" The {_who(verdict)} took the same {verdict.order_steps:,} steps, in the same order."
    text = "No answer is complete; what came is the same."
    without = f", except for {left_out(verdict)}" if left_out(verdict) else ""
    if number := verdict.answers_compared:
        same = "The one answer is" if number == 1 else f"All {number:,} answers are"
        text = f"{same} the same, byte for byte{without}."
        if number := sum(verdict.unanswered.values()):
            text += f" So is what came of {count(number, 'unanswered request')}."
    return f"{text}{steps}"


def _diverged(verdict: Verdict, masker: Masker) -> str:
    diverged, found = verdict.diverged, verdict.divergences
    if not diverged:
        same = f"All {verdict.answers_compared:,} answers are the same"
        if not verdict.answers_compared:
            same = "No answer differs"
        return f"{same}, but the {_who(verdict)} took its steps in a different order."
    of = count(verdict.compared, "outcome" if verdict.unanswered else "answer")
    if any(one.code == protocol.ANOTHER_EFFECT for one in found):
        of = count(max(verdict.compared, verdict.requests), "request")
    text = f"{diverged:,} of {of}" if diverged <= verdict.compared else count(diverged, "request")
    text += " differs" if diverged == 1 else " differ"
    number = len({one.cause for one in found} - {None})
    if 1 < diverged == len(found) and number:  # divergences that are not listed may have further causes
        text += ", all from one cause" if number == 1 else f", from {number:,} causes"
    which = "It is" if diverged == 1 else f"The first, in the {_who(verdict)}'s order, is"
    text += "."
    if told := causes(verdict, masker):
        text += f" {which} {told[0].what}"
    elif found:
        text += f" {which} request {found[0].seq}: {happened(found[0], masker)}."
    if verdict.order is not None:
        text += f" The {_who(verdict)}'s order differs too."
    return text


def _who(verdict: Verdict) -> str:
    return "load generator" if verdict.facts.replay == "client" else "server"


def _field(field: str) -> str:
    if field.startswith(REQUEST_FIELD):
        return field.replace(":", " ", 1)
    return field.replace("body:", "body ").replace("header:", "header ")


def _value(value: str) -> str:
    return {"(absent)": "absent", "(empty)": "empty"}.get(value) or short(value)


def _sentence(text: str) -> str:
    return capital(text) + ("" if text.endswith((".", "…")) else ".")


# ---- calls -----------------------------------------------------------------------------------------------


def calls(found: Verdict) -> str:
    """Summarise which calls of changed code differ; empty if calls were not aligned."""
    if found.facts.asked is None:
        return ""
    return ", ".join(found.facts.asked) or "the same"


def route(name: str, changed: Route | None, masker: Masker) -> str:
    """Name a route, and say how many statements it runs, if that is another number now."""
    told = masker.text(name) or "before it served"
    if changed is None:
        return told
    return f"{told} now runs {_runs(changed.replayed)} instead of {_runs(changed.recorded, short=True)}"


def _runs(runs: Runs, *, short: bool = False) -> str:
    if runs.least == runs.most:
        return str(runs.most) if short else count(runs.most, "statement")
    what = "" if short else " statements"
    if runs.fixed is None:
        return f"{runs.least} to {runs.most}{what}"
    return f"{runs.fixed} + N{what} (N from {runs.least - runs.fixed} to {runs.most - runs.fixed})"


def asked(one: CallDifference) -> str:
    """Say how a call differs."""
    return f"{_KINDS.get(one.kind, one.kind)} {_HOW.get(one.how, one.how)}"


_KINDS = {"ambient": "clock or chance", "ends": "end of a transaction"}
_HOW = {
    "added": "more", "removed": "left out", "changed": "changed", "moved": "moved", "repeated": "repeated",
    "unanswered": "never recorded",
}  # fmt: skip
_HANDLE = re.compile(r"\(#\d*(?:, )?")


def call(text: str, masker: Masker) -> str:
    """Return a call without the number of the object that it is made on."""
    return " ".join(masker.text(_HANDLE.sub("(", text, count=1)).split())


def times(number: int) -> str:
    """Format a number of occurrences, if more than one."""
    return f", {number:,} times" if number > 1 else ""


def altered(verdict: Verdict, masker: Masker) -> list[str]:
    """Describe other changes: libraries, data files, environment variables."""
    told = []
    for one in verdict.facts.altered:
        name = masker.text(one.name)
        if one.what in {"package", "loadgen"}:
            told.append(f"{name} {one.recorded} is now {one.now or 'gone'}")
        else:
            what = "changed" if one.what == "file" else "has another value"
            told.append(f"{name} {what}; the replay had what was recorded")
    return told
