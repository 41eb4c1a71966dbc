"""Record and verify folders with server and client again and again: how often is each replay identical?

The folders (docs/clients.md) are copied, so that nothing is written into them. Each recording is ``loadgen
record FOLDER`` and ``loadgen verify FOLDER`` as a user runs them; the folders take turns. A recording that
failed counts as not identical. The run exits with 1 if any was not.

    python benchmarks/folders.py FOLDER... [--recordings 10]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any


def loadgen(command: str, folder: Path) -> Any:
    """Run a command on *folder* with ``--json``, and return what it printed; None if that is nothing.

    What it installs for the folder is beside it.
    """
    words = [sys.executable, "-m", "loadgen", command, str(folder), "--json"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache")}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if not done.stdout:
        print(done.stderr, file=sys.stderr)
        return None
    return json.loads(done.stdout)


def main() -> None:
    """Record, verify, and print a line for each folder."""
    parser = argparse.ArgumentParser(description="How often is the replay of a folder identical?")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--recordings", type=int, default=10, help="of each (default: 10)")
    options = parser.parse_args()

    verdicts: dict[str, Counter[str]] = {one.name: Counter() for one in options.folders}
    requests: dict[str, set[int]] = {one.name: set() for one in options.folders}
    at_once: dict[str, set[int]] = {one.name: set() for one in options.folders}
    with tempfile.TemporaryDirectory(prefix="loadgen-folders-") as scratch:
        copies = [Path(shutil.copytree(one, Path(scratch, one.name))) for one in options.folders]
        for number in range(1, options.recordings + 1):
            for folder in copies:
                recorded = loadgen("record", folder)
                verdict = None if recorded is None else loadgen("verify", folder)
                what = "not recorded" if recorded is None else (verdict or {}).get("verdict", "no verdict")
                verdicts[folder.name][what] += 1
                if recorded is not None:
                    requests[folder.name].add(recorded["result"]["totals"]["requests"])
                    at_once[folder.name].add(recorded["spec"]["load"]["concurrency"])
                print(f"{number:>3}  {folder.name:<32}{what}", file=sys.stderr, flush=True)
    print("| folder | requests | at once | identical |\n| --- | --- | --- | --- |")
    for name, found in verdicts.items():
        others = "".join(f"; {what}: {count}" for what, count in found.items() if what != "identical")
        print(
            f"| `{name}` | {_range(requests[name])} | {_range(at_once[name])} "
            f"| {found['identical']} of {options.recordings}{others} |"
        )
    sys.exit(any(found["identical"] != options.recordings for found in verdicts.values()))


def _range(values: set[int]) -> str:
    return " to ".join(str(one) for one in sorted({min(values), max(values)})) if values else ""


if __name__ == "__main__":
    main()
