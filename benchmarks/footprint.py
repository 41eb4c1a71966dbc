"""What the commands cost by themselves: processor time of ``--help``, and memory by the transcript's length.

Both sides of the memory figure are measured in one run: the same recording and replay, short and five times
as long, of a server whose answers do not grow with the run, as the bundled server's lists do. What grows with
a transcript would show as a ratio of several; a constant shows as about one.

    python benchmarks/footprint.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SHORT, LONG = 20, 100
"""Iterations of each of eight virtual users."""
SERVER = """
from flask import Flask
app = Flask(__name__)

@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
def answer(path):
    return {"text": "the same every time " * 20}

app.run()
"""


def cost(*arguments: str) -> tuple[float, float]:
    """Run a command; return the processor seconds and the peak resident MiB of its own process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadgen", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"loadgen {' '.join(arguments)} failed with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    cost("--help")  # byte code is compiled once
    print(f"loadgen --help      {statistics.median(cost('--help')[0] for _ in range(7)):.2f} s of CPU")
    with tempfile.TemporaryDirectory(prefix="loadgen-footprint-") as folder:
        server = Path(folder) / "constant.py"
        server.write_text(SERVER)
        peaks: dict[str, list[float]] = {"record": [], "verify": []}
        for iterations in (SHORT, LONG):
            run = str(Path(folder) / str(iterations))
            plan = ("--scenario", "mixed", "-n", str(iterations), "--run", run)
            peaks["record"].append(cost("record", str(server), *plan)[1])
            peaks["verify"].append(cost("verify", run)[1])
    for command, (short, long) in peaks.items():
        print(
            f"loadgen {command:<12}{short:.0f} MiB for {SHORT * 40} requests, "
            f"{long:.0f} MiB for {LONG * 40}: "
            f"ratio {long / short:.2f}"
        )


if __name__ == "__main__":
    main()
