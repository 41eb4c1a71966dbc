"""Start the engine around a server: ``python -m loadgen.traced [options] -- <engine arguments>``."""

from __future__ import annotations

import argparse
import json
import sys

from loadgen.traced import (
    debug,
    engine,
    gaps,
    liveness,
    logs,
    moved,
    reached,
    settings,
    stopping,
    tap,
)


def main(argv: list[str]) -> None:
    """Parse our options, install the workarounds, and run the engine in this process."""
    split = argv.index("--")
    parser = argparse.ArgumentParser(prog="python -m loadgen.traced", description=__doc__)
    where = parser.add_mutually_exclusive_group()  # neither is given if nothing listens
    where.add_argument("--socket-fd", type=int, default=-1, help="listening socket handed over by the parent")
    where.add_argument("--bind", metavar="HOST:PORT", help="address to listen on")
    parser.add_argument("--liveness-fd", type=int, help="pipe whose end means: stop, the parent is gone")
    parser.add_argument(
        "--liveness", default="", metavar="HOST:PORT", help="address whose first connection is the same"
    )
    parser.add_argument("--health-path", default="/health", help="path served outside the trace")
    parser.add_argument("--application", default="", metavar="DIR", help="where the application's code is")
    parser.add_argument("--package", action="append", default=[], help="package that it consists of, too")
    parser.add_argument(
        "--schedule", choices=("parallel", "turns", "explore"), default="parallel", help="how threads run"
    )
    parser.add_argument("--explore", type=json.loads, default={}, metavar="JSON", help="how to choose")
    parser.add_argument(
        "--import-from", metavar="DIR", help="put first on sys.path; a replay has the recorded one"
    )
    parser.add_argument(
        "--moved",
        type=json.loads,
        default=[],
        metavar="JSON",
        help="recorded folders, and where they are now",
    )
    parser.add_argument(
        "--interpreter", type=json.loads, default={}, metavar="JSON", help="what sys said of its paths"
    )
    parser.add_argument("--without", action="append", default=[], metavar="GAP", help="leave a gap open")
    parser.add_argument(
        "--aligned", type=json.loads, default=[], metavar="JSON", help="match calls by what they ask"
    )
    parser.add_argument("--alignment", default="", metavar="FILE", help="report of a start-up that failed")
    parser.add_argument("--engine-alone", action="store_true", help="leave all of them open")
    parser.add_argument("--reach", type=json.loads, metavar="JSON", help="collect lines; own packages")
    parser.add_argument("--debug", type=json.loads, default={}, metavar="JSON", help="debug a request")
    parser.add_argument("--tap", action="store_true", help="copy what sockets send and receive to stdout")
    options = parser.parse_args(argv[:split])

    settings.CURRENT.socket_fd = options.socket_fd
    settings.CURRENT.health_path = options.health_path
    settings.CURRENT.application = options.application
    settings.CURRENT.packages = frozenset(options.package)
    settings.CURRENT.moved = [(recorded, here) for recorded, here in options.moved]
    settings.CURRENT.interpreter = options.interpreter
    settings.CURRENT.aligned = tuple((pattern, kind) for pattern, kind in options.aligned)
    settings.CURRENT.alignment = options.alignment
    settings.CURRENT.schedule = options.schedule
    settings.CURRENT.explore = options.explore
    settings.CURRENT.without = gaps.ALL if options.engine_alone else frozenset(options.without)
    if options.bind:
        host, _, port = options.bind.rpartition(":")
        settings.CURRENT.bind = (host, int(port))
    _hold_to(options.liveness_fd, options.liveness)
    stopping.by_signals(records="--format" in argv[split:])
    moved.install()
    gaps.close()
    logs.install(alone=options.engine_alone)
    if options.tap:
        tap.open_for_program()
    if options.reach is not None:
        reached.begin(options.reach)
    if options.debug:
        debug.begin(options.debug)
    engine.run(argv[split + 1 :], options.import_from, stopping.wait_for_threads)


def _hold_to(descriptor: int | None, address: str) -> None:
    """Stop when the process that drives this server is gone."""
    liveness.end_what_it_started()
    if descriptor is not None:
        liveness.hold_to_pipe(descriptor)
    if address:
        liveness.hold_to_connection(address)


if __name__ == "__main__":
    main(sys.argv[1:])
