"""Trace a whole server process: ``python -m loadgen.traced.process [options] -- <engine arguments>``.

This is the engine's own replay, in which sockets, threads and scheduling come from the tape and nothing
listens. loadgen adds only the tap (:mod:`loadgen.traced.tap`), and, in the overlay, parameters of SQL
statements that the engine would refuse. The garbage collector is off, because it may run in a thread that the
engine has not numbered yet. Objects freed there are recorded, and a replay then assigns the thread's first
step to the previous thread; such a tape never replays.
"""

from __future__ import annotations

import argparse
import signal
import sys

from loadgen.traced import engine, liveness, settings, tap
from loadgen.traced.gaps.collector import switch_off


def main(argv: list[str]) -> None:
    """Parse our options, open the tap, and run the engine in this process."""
    split = argv.index("--")
    parser = argparse.ArgumentParser(prog="python -m loadgen.traced.process", description=__doc__)
    parser.add_argument("--liveness-fd", type=int, help="pipe whose end means: stop, the parent is gone")
    parser.add_argument("--liveness", metavar="HOST:PORT", help="address whose first connection is the same")
    parser.add_argument("--bind", metavar="HOST:PORT", help="address for Flask's server; else a free port")
    parser.add_argument("--import-from", metavar="DIR", help="put first on sys.path")
    options = parser.parse_args(argv[:split])
    # A stop must complete the recording, even if a background parent ignores the signal.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    tap.open_tap()
    switch_off()
    if options.bind:
        host, _, port = options.bind.rpartition(":")
        settings.CURRENT.bind = (host, int(port))
    if options.liveness_fd is not None:
        liveness.hold_to_pipe(options.liveness_fd)
    if options.liveness:
        liveness.hold_to_connection(options.liveness)
    engine.run(argv[split + 1 :], options.import_from)


if __name__ == "__main__":
    main(sys.argv[1:])
