"""Containers that the garbage collector does not visit: what a replay of changed code keeps of all requests.

A replay collects garbage where the recording did (:mod:`loadgen.traced.gaps.collector`). If each collection
visited everything that the tape keeps, the cost of a request would grow with the length of the run.
"""

from __future__ import annotations

import ctypes
from gc import is_tracked
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_untrack = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("PyObject_GC_UnTrack", ctypes.pythonapi))


def hide(containers: Iterable[object]) -> None:
    """Take *containers* away from the collector. It takes what they contain for used.

    Only for those that no object of the application refers to, because a cycle through them is never freed.
    """
    for one in containers:
        if is_tracked(one):  # an object that cannot be has no room for the answer
            _untrack(one)
