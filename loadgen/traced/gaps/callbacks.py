"""Gaps of callbacks: functions of the application that C calls back."""

from __future__ import annotations

import retracesoftware.proxy.io as engine_io
from retracesoftware import utils


def unwrap_callbacks_off_the_tape() -> None:
    """Unwrap a wrapped callback before it is inspected.

    ``_unwrap_callable`` does a ``getattr`` on it, which is itself a traced call and reads the tape: SQLite's
    ``row_factory``, ``create_function`` and trace callbacks never replay.
    """
    unwrap_callable = engine_io._unwrap_callable

    def unwrap(value: object) -> object:
        return unwrap_callable(utils.unwrap(value) if isinstance(value, utils.InternalWrapped) else value)

    engine_io._unwrap_callable = unwrap
