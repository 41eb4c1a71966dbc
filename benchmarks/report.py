"""How long a report takes to make, and how large it is, by the size of the run.

Run it from the sources: ``python benchmarks/report.py [REQUESTS ...]``, by default 400 2000 20000.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent))

from loadgen.core.masking import Masker, parse
from loadgen.report.evidence import gather
from loadgen.report.page import render
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make


def main(sizes: list[int]) -> None:
    """Print a line for each size."""
    print(f"{'requests':>8}  {'transcripts':>11}  {'report':>9}  {'seconds':>7}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            sample = Sample(requests=size, users=32, diverge=tuple(range(size // 2, size // 2 + 50)))
            run, manifest = make(Path(folder) / "run", sample)
            read = sum(path.stat().st_size for path in run.path.rglob("transcript.jsonl"))
            began = perf_counter()
            masker = Masker(parse(()))
            page = render(gather(run, manifest, find_verification(run.path), masker), masker, version="0")
            took = perf_counter() - began
        print(f"{size:8,}  {read / 1e6:8.1f} MB  {len(page) / 1e6:6.2f} MB  {took:7.2f}")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [400, 2000, 20_000])
