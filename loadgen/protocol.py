"""What both sides of the request boundary must agree on: names on the wire, and codes for what happened.

It is imported inside the server under test, so it imports nothing at all. Whoever decides anything (what a
verdict is, whose fault a cause is, what belongs together) decides on these codes. The sentences that travel
beside them are for people: rewording one never changes a verdict.
"""

VERSION = 3
"""Version of what the two sides say to each other; changes with any of the names and codes below."""

# ---- headers ---------------------------------------------------------------------------------------------

SEQ_HEADER = "X-Loadgen-Seq"
"""Of a request: its sequence number. Without it, a request is refused."""
SERVED_HEADER = "X-Loadgen-Served"
"""Of an answer: in which mode, :data:`RECORD` or :data:`REPLAY`, the application gave it."""
OUTCOME_HEADER = "X-Loadgen-Outcome"
"""Of an answer that the boundary made itself: :data:`DIVERGED` or :data:`REFUSED`."""
OWN_HEADER = "X-Loadgen-Own"
"""Of an answer: those headers that a live server adds, but the application has set itself, as a JSON list of
pairs of lower-case name and value."""

RECORD = "record"
REPLAY = "replay"
DIVERGED = "diverged"
REFUSED = "refused"

# ---- control: GET CONTROL + one of these -----------------------------------------------------------------

CONTROL = "/__loadgen__/"
STATE = "state"
ORDER = "order"
WATCH = "watch/"
"""Followed by a sequence number."""
WATCHED = "watched"
ALIGNMENT = "alignment"
"""What each request asks, beside what it asked while recording; of a replay that aligns calls."""
ALL_SENT = "all-sent"
"""To a replay: no request will follow. What the tape has further of threads that serve is passed over."""
ROUTES = "routes"
"""The paths that the application serves to a GET without any parameter, as a JSON list."""

# ---- why a request left the tape -------------------------------------------------------------------------

RECORDING_ENDS = "recording-ends"
"""The tape has no more: it was cut short. This says nothing about the answers."""
NOT_THE_RECORDED_REQUEST = "not-the-recorded-request"
"""The live request is not the one that the tape has under its number."""
ANOTHER_CALL = "another-call"
"""The application makes another call than the recorded one, or makes it from somewhere else."""
CALL_NOT_RECORDED = "call-not-recorded"
"""The application makes a call after its last recorded one."""
ENDED_EARLY = "ended-early"
"""The request ended before its recording did."""
ENGINE_CANNOT_READ = "engine-cannot-read"
"""The engine failed while it read the tape."""
ENGINE_CANNOT_BIND = "engine-cannot-bind"
"""The engine failed while it noted an object that the tape refers to later."""
LOST_OBJECT = "lost-object"
"""It needs an object that an earlier request would have made, and that request has left the tape."""
LOST_TURN = "lost-turn"
"""It waits for something that an earlier request would have done, and that request has left the tape."""
ALREADY_LEFT = "already-left"
"""It has left the tape before; this is what it did while it unwound."""
ANOTHER_EFFECT = "another-effect"
"""Changed code changes something else outside than the recorded code did, more, less, or in another order."""
QUESTION_NOT_RECORDED = "question-not-recorded"
"""Changed code asks something that has no recorded answer: nothing can be said of its request."""
UNKNOWN = "unknown"
"""Left the tape without a code: by an error that is not the boundary's."""

LEFT_BEHIND = frozenset((LOST_OBJECT, LOST_TURN))
"""These can only follow from an earlier request that left the tape."""
ENGINE_FAILED = frozenset((ENGINE_CANNOT_READ, ENGINE_CANNOT_BIND))
"""The engine's own fault, unless changed code or an earlier request that left the tape explains it."""

# ---- why a verdict cannot be reached ---------------------------------------------------------------------

RECORDING_INCOMPLETE = "recording-incomplete"
"""The tape ends before the transcript does."""
NOTHING_RECORDED = "nothing-recorded"
"""No request got any of an answer while recording: there is nothing to compare with."""
NOT_ALL_COMPARED = "not-all-compared"

# ---- marks in a server's log, at the beginning of a line -------------------------------------------------

LOG_LEFT = "loadgen[left-the-tape] "
LOG_REFUSAL = "loadgen[cannot-be-recorded] "
"""The last words of a server that is started in a way in which it cannot be recorded."""

# ---- paths: where a recorded folder is now ---------------------------------------------------------------


def relocated(path: str, pairs: list[tuple[str, str]]) -> str:
    """Return where *path* is now, of *pairs* of folders: where it was recorded, and where it is.

    The innermost folder counts. A path in a folder of now is left as it is, even if a recorded folder is
    above it.
    """
    then, now = "", path
    for old, new in pairs:
        if len(old) > len(then) and (path == old or path.startswith(f"{old}/")):
            then, now = old, new + path[len(old) :]
    of_now = any(len(new) > len(then) and (path == new or path.startswith(f"{new}/")) for _, new in pairs)
    return path if of_now else now
