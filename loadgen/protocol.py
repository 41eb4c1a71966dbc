"""The protocol between both sides of the request boundary: names on the wire, and reason codes.

It is imported inside the server under test, so it imports nothing. All decisions (verdicts, faults, grouping
of causes) depend only on these codes. The messages beside them are for people, so rewording one never changes
a verdict.
"""

VERSION = 4
"""Version of the protocol; changes with any of the names and codes below."""

TAPE = 11
"""Version of what recordings hold, and of how a replay understands it.

A newer loadgen replays the recordings of an older one with the same version. Raise it with each change after
which a replay would not follow an older recording: another item on the tape, another order, another
description of a call. ``tests/engine/test_tape_contract.py`` notices such a change.
"""

# ---- headers ---------------------------------------------------------------------------------------------

SEQ_HEADER = "X-Loadgen-Seq"
"""Request header: the sequence number. A request without it is refused."""
SERVED_HEADER = "X-Loadgen-Served"
"""Answer header: the mode in which the application gave it, :data:`RECORD` or :data:`REPLAY`."""
OUTCOME_HEADER = "X-Loadgen-Outcome"
"""Answer header of the boundary's own answers: :data:`DIVERGED` or :data:`REFUSED`."""
OWN_HEADER = "X-Loadgen-Own"
"""Answer header: headers that a live server adds and that the application has set itself, as a JSON list of
pairs of lower-case name and value."""
OVER_HEADER = "X-Loadgen-Over"
"""Answer header in a replay: the live server has the whole answer, and waits for nothing before it reads the
next request from this connection."""

RECORD = "record"
REPLAY = "replay"
DIVERGED = "diverged"
REFUSED = "refused"

# ---- control: GET CONTROL + one of these -----------------------------------------------------------------

CONTROL = "/__loadgen__/"
STATE = "state"
ORDER = "order"
LOG_CALLS = "log-calls/"
"""Followed by a sequence number."""
CALL_LOG = "call-log"
REACHED = "reached"
"""What the application's own code reached and asked, by request, if that is collected."""
ALIGNMENT = "alignment"
"""The calls of each request, replayed and recorded, in a replay that aligns calls."""
ALL_SENT = "all-sent"
"""To a replay: no further request will be sent. Remaining items of serving threads on the tape are
skipped."""
ROUTES = "routes"
"""The paths that the application serves to a GET without parameters, as a JSON list."""

# ---- why a request left the tape -------------------------------------------------------------------------

RECORDING_ENDS = "recording-ends"
"""The tape has ended, because it is truncated. This says nothing about the answers."""
RECORDING_UNREADABLE = "recording-unreadable"
"""A value on the tape cannot be read back, nor what follows it. This says nothing about the answers."""
NOT_THE_RECORDED_REQUEST = "not-the-recorded-request"
"""The live request differs from the recorded one with the same number."""
ANOTHER_CALL = "another-call"
"""The application makes a call that differs from the recorded one, or makes it from a different location."""
CALL_NOT_RECORDED = "call-not-recorded"
"""The application makes a call after its last recorded one."""
ENDED_EARLY = "ended-early"
"""The request ended before its recording did."""
ENGINE_CANNOT_READ = "engine-cannot-read"
"""The engine failed while it read the tape."""
ENGINE_CANNOT_BIND = "engine-cannot-bind"
"""The engine failed while it bound an object that the tape refers to later."""
LOST_OBJECT = "lost-object"
"""It needs an object of an earlier request, which has left the tape."""
LOST_TURN = "lost-turn"
"""It waits for a step of an earlier request, which has left the tape."""
ALREADY_LEFT = "already-left"
"""It has left the tape before; this happened while it unwound."""
ANOTHER_EFFECT = "another-effect"
"""Changed code has different effects than the recorded code: other ones, more, fewer, or in another order."""
QUESTION_NOT_RECORDED = "question-not-recorded"
"""Changed code asks a question without a recorded answer, so its request cannot be judged."""
UNKNOWN = "unknown"
"""It left the tape without a code, by an error that is not the boundary's."""

LEFT_BEHIND = frozenset((LOST_OBJECT, LOST_TURN))
"""Codes that can only be consequences of an earlier request that left the tape."""
ENGINE_FAILED = frozenset((ENGINE_CANNOT_READ, ENGINE_CANNOT_BIND))
"""The engine's own fault, unless changed code or an earlier request that left the tape explains it."""

# ---- why a verdict cannot be reached ---------------------------------------------------------------------

RECORDING_INCOMPLETE = "recording-incomplete"
"""The tape ends, or cannot be read on, before the transcript ends."""
NOTHING_RECORDED = "nothing-recorded"
"""No request got an answer while recording, so there is nothing to compare."""
NOT_ALL_COMPARED = "not-all-compared"
EXPIRED = "expired"
"""The recording is older than it may become."""
LOADGEN_CHANGED = "loadgen-changed"
"""Unchanged code differs from its recording, which an older or newer loadgen made."""

# ---- marks in a server's log, at the beginning of a line -------------------------------------------------

LOG_LEFT = "loadgen[left-the-tape] "
LOG_REFUSAL = "loadgen[cannot-be-recorded] "
"""The last line of a server that cannot be recorded as it was started."""
LOG_SHARED = "loadgen[shared-connection] "
"""Followed by the database of an SQLite connection that the application opens for several threads."""

# ---- current locations of recorded folders -----------------------------------------------------------


def relocated(path: str, pairs: list[tuple[str, str]]) -> str:
    """Return the current location of *path*; *pairs* are recorded folders with their current locations.

    The innermost folder counts. A path in a current folder is unchanged, even if a recorded folder contains
    it.
    """
    then, now = "", path
    for old, new in pairs:
        if len(old) > len(then) and (path == old or path.startswith(f"{old}/")):
            then, now = old, new + path[len(old) :]
    of_now = any(len(new) > len(then) and (path == new or path.startswith(f"{new}/")) for _, new in pairs)
    return path if of_now else now
