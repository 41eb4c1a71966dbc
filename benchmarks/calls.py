"""What it costs to record each call with its callable and arguments, and not only its result.

Both ways record the same sessions of the bundled server, one after the other, again and again, so what
disturbs the machine for a while disturbs both. Read the ratios, with to without, of the same round.

    python benchmarks/calls.py [--concurrency 8] [--rounds 7] [--iterations 20] [--schedule turns]
"""

import argparse
import resource
import statistics
import tempfile
from pathlib import Path

import anyio

from loadgen import dispatch
from loadgen.core.events import ignore
from loadgen.core.spec import Load, RunSpec, Schedule
from loadgen.core.stop import Stop
from loadgen.traced.calls import compare_calls

WITHOUT = (compare_calls.__name__,)


def trial(folder: Path, without: tuple[str, ...], options: argparse.Namespace) -> dict[str, float]:
    """Record once; return its figures."""
    spec = RunSpec(
        load=Load(concurrency=options.concurrency, iterations=options.iterations, timeout=60),
        schedule=Schedule(options.schedule),
        without=without,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    totals = anyio.run(dispatch.record, spec, folder, Stop(), ignore).totals
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "rate": totals.requests / totals.seconds,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "size": (folder / "recording.bin").stat().st_size,
    }


def main() -> None:
    """Run the rounds and print a line each, and the medians."""
    parser = argparse.ArgumentParser(description="What does it cost to record what calls ask?")
    parser.add_argument("--concurrency", "-c", type=int, default=8)
    parser.add_argument("--iterations", "-n", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--schedule", default="turns")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="loadgen-calls-") as folder:
        for number in range(options.rounds):
            ways = ((), WITHOUT) if number % 2 else (WITHOUT, ())
            found = {way: trial(Path(folder) / f"{number}-{len(way)}", way, options) for way in ways}
            for name, value in found[()].items():
                ratios.setdefault(name, []).append(value / found[WITHOUT][name])
            shown = ", ".join(f"{name} {values[-1]:.2f}" for name, values in ratios.items())
            print(f"round {number + 1}: {found[()]['rate']:.0f}/s; {shown}", flush=True)
    medians = ", ".join(f"{name} {statistics.median(values):.3f}" for name, values in ratios.items())
    print(f"with/without at concurrency {options.concurrency}, medians of {options.rounds}: {medians}")


if __name__ == "__main__":
    main()
