"""Workarounds for gaps of the engine, by theme: one function for each, with its reason.

The launcher applies those in :data:`CLOSED` before the engine starts. Gaps that module configuration can
close are in ``overlay/loadgen.toml`` instead. All of it is made for exactly one build of the engine:
:data:`ENGINE_VERSION`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from loadgen.traced import settings
from loadgen.traced.calls import compare_calls
from loadgen.traced.gaps.bindings import (
    bind_reused_addresses,
    free_objects_in_one_step,
    let_proxies_be_what_they_stand_for,
)
from loadgen.traced.gaps.buffers import fill_buffers_from_the_tape, pass_buffers_as_they_are
from loadgen.traced.gaps.callbacks import let_anything_be_a_callback, unwrap_callbacks_off_the_tape
from loadgen.traced.gaps.collector import collect_at_fixed_points, record_how_much_was_collected
from loadgen.traced.gaps.files import (
    keep_live_descriptors_apart,
    keep_live_descriptors_live,
    let_paths_be_omitted,
    record_removal_of_temporary_files,
    take_files_from_the_tape,
)
from loadgen.traced.gaps.hashes import number_classes
from loadgen.traced.gaps.imports import find_code_live, read_code_live, trace_imports_of_the_application
from loadgen.traced.gaps.raised import (
    keep_frames_off_the_tape,
    let_go_of_replayed_errors,
    stay_where_the_recording_was_stopped,
)
from loadgen.traced.gaps.replaying import fail_the_request_not_the_process, follow_the_tape_in_turns
from loadgen.traced.gaps.threads import order_the_threads, show_threads_of_the_application
from loadgen.traced.gaps.values import record_values_as_they_were

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE_VERSION = "0.2.30"

CLOSED: tuple[Callable[[], None], ...] = (
    number_classes,
    follow_the_tape_in_turns,
    fail_the_request_not_the_process,
    bind_reused_addresses,
    keep_frames_off_the_tape,
    show_threads_of_the_application,
    order_the_threads,
    let_go_of_replayed_errors,
    stay_where_the_recording_was_stopped,
    free_objects_in_one_step,
    let_proxies_be_what_they_stand_for,
    compare_calls,
    record_values_as_they_were,
    unwrap_callbacks_off_the_tape,
    let_anything_be_a_callback,
    trace_imports_of_the_application,
    read_code_live,
    find_code_live,
    record_removal_of_temporary_files,
    take_files_from_the_tape,
    let_paths_be_omitted,
    fill_buffers_from_the_tape,
    pass_buffers_as_they_are,
    keep_live_descriptors_apart,
    keep_live_descriptors_live,
    collect_at_fixed_points,
    record_how_much_was_collected,
)

ALL = frozenset(gap.__name__ for gap in CLOSED)
"""All names that ``--without`` accepts."""


def close() -> None:
    """Apply all workarounds.

    Raises:
        SystemExit: the installed engine is not the one that this module was made for.
    """
    installed = version("retracesoftware")
    if installed != ENGINE_VERSION:
        raise SystemExit(
            f"loadgen: made for retracesoftware {ENGINE_VERSION}, found {installed}. "
            f"Install the matching engine: pip install retracesoftware=={ENGINE_VERSION}"
        )
    for gap in CLOSED:
        if gap.__name__ not in settings.CURRENT.without:
            gap()
