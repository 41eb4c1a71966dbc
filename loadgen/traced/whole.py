"""Trace a whole server: ``python -m loadgen.traced.whole [options] -- <engine arguments>``.

This is the engine's own replay, in which sockets, threads and scheduling come from the tape and nothing
listens. None of our workarounds is on; all that is ours is the tap (:mod:`loadgen.traced.tap`). But the
collector is off: it may run in a thread that the engine has not numbered yet. What it frees there goes on
the tape, and the thread's first step is then taken for one of the thread before; such a tape never replays.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys

from loadgen.traced import lifeline, tap


def main(argv: list[str]) -> None:
    """Read our options, open the tap, and become the engine."""
    split = argv.index("--")
    parser = argparse.ArgumentParser(prog="python -m loadgen.traced.whole", description=__doc__)
    parser.add_argument("--lifeline-fd", type=int, help="pipe whose end means: stop, the parent is gone")
    parser.add_argument("--import-from", metavar="DIR", help="put first on sys.path")
    options = parser.parse_args(argv[:split])
    # Stopped so that the recording is complete: not where a parent in the background ignores the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tap.open_tap()
    gc.disable()
    if options.lifeline_fd is not None:
        lifeline.hold_to_pipe(options.lifeline_fd)
    if options.import_from:
        sys.path.insert(0, options.import_from)

    from retracesoftware.__main__ import main as engine  # noqa: PLC0415

    sys.argv = ["retracesoftware", *argv[split + 1 :]]
    engine()


if __name__ == "__main__":
    main(sys.argv[1:])
