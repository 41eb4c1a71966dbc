"""All expected errors as one tree; the branch says whose fault it is.

::

    LoadgenError
    ├── UsageError          the command line: exit code 2
    ├── Interrupted         stopped by the user: exit code 130
    └── Undetermined        no result could be reached: exit code 3
        ├── MachineFault    this machine: no port, no engine, another Python
        ├── ServerFault     the server under test: did not start, stopped answering
        │   └── ServerEnded it ended while it was being recorded
        ├── EngineFault     the engine: crashed, refused the recording, lost the tape
        ├── RecordingFault  the recording or the run folder: missing, truncated, changed
        ├── TranscriptFault the transcript: missing, empty, damaged
        └── HarnessFault    loadgen itself: a limit of its own was reached

A message says what happened and where; :attr:`LoadgenError.advice` what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class LoadgenError(Exception):
    """Root of all expected errors."""

    exit_code: ClassVar[int] = 3
    fault: ClassVar[str] = "loadgen"
    """Whose fault it is, as written into a verdict."""

    def __init__(self, message: str, *, advice: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code
        """A code of :mod:`loadgen.protocol`, if a verdict depends on it."""


class UsageError(LoadgenError):
    """The command line asks for something that does not exist or makes no sense."""

    exit_code = 2
    fault = "usage"


class Interrupted(LoadgenError):  # noqa: N818 - nobody's fault
    """The command was stopped by Ctrl-C or SIGTERM."""

    exit_code = 130
    fault = "interrupted"


class Undetermined(LoadgenError):  # noqa: N818 - the name of the verdict
    """The question could not be answered."""


class MachineFault(Undetermined):
    """This machine lacks something that is needed."""

    fault = "machine"


class ServerFault(Undetermined):
    """The server under test did not start or stopped answering."""

    fault = "server"


class ServerEnded(ServerFault):
    """The server under test ended by itself while it was being recorded, so its recording is incomplete."""


class EngineFault(Undetermined):
    """The record/replay engine failed."""

    fault = "engine"


class RecordingFault(Undetermined):
    """The recording or its run folder is missing, truncated, changed or from another version."""

    fault = "recording"


class TranscriptFault(Undetermined):
    """A transcript is missing, empty or damaged."""

    fault = "transcript"


class HarnessFault(Undetermined):
    """A limit of loadgen's own was reached."""

    fault = "harness"


def from_event(kind: str, message: str, advice: str) -> LoadgenError:
    """Rebuild an error raised in another process; an unknown class becomes a :class:`LoadgenError`."""
    known = {one.__name__: one for one in _below(LoadgenError)}
    return known.get(kind, LoadgenError)(message, advice=advice)


def _below(kind: type[LoadgenError]) -> list[type[LoadgenError]]:
    return [kind, *(below for one in kind.__subclasses__() for below in _below(one))]
