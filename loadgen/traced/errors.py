"""Errors without their frames, which hold all variables of the functions that they came through.

Finalizers of the application's objects are on the tape, so an error that somebody keeps must not keep them.
"""

from __future__ import annotations

import copy


def copied(error: BaseException) -> BaseException:
    """Return a copy of *error* without frames; *error* itself, if it cannot be copied.

    It is copied as pickling does.
    """
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception of any making
        return error


def without_frames(error: BaseException) -> BaseException:
    """Drop the frames of *error*, and the errors behind it."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
