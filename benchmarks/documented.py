"""What a benchmark measured, in its place on a page of the documentation."""

import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
END = "<!-- end of what was measured -->\n"


def write_measured(page: str, script: str, text: str) -> None:
    """Put *text* in place of what the benchmark *script* wrote on *page* before."""
    path, begin = DOCS / page, f"<!-- measured by benchmarks/{script} -->\n"
    before, begins, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ends, after = rest.partition(END)
    if not (begins and ends):
        sys.exit(f"{path} has no place for what {script} measured")
    path.write_text(f"{before}{begin}{text}{END}{after}", encoding="utf-8")
