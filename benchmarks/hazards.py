"""Measure the hazards, and write what is published: docs/hazards.json, and the table in docs/hazards.md.

    python benchmarks/hazards.py [options of loadgen hazards, as --runs 3 or --only threads]

Hazards that are not measured keep what is published of them, if that was measured with the same versions.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from documented import DOCS, write_measured

from loadgen.hazards.matrix import Matrix
from loadgen.hazards.measuring import argued
from loadgen.hazards.tables import markdown
from server_app.hazards import HAZARDS

TABLE = DOCS / "hazards.json"


def main() -> None:
    """Measure, and replace what is published."""
    command = [sys.executable, "-m", "loadgen", "hazards", "--json", *sys.argv[1:]]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"loadgen hazards failed with {done.returncode}")
    measured = Matrix.from_json(json.loads(done.stdout))
    rows = {}
    if TABLE.exists():
        published = Matrix.from_json(json.loads(TABLE.read_text(encoding="utf-8")))
        if published.versions == measured.versions:
            rows = {row.name: row for row in published.rows}
        elif {row.name for row in published.rows} - {row.name for row in measured.rows}:
            sys.exit("what is published was measured with other versions: measure all of it")
    rows |= {row.name: row for row in measured.rows}
    told = {name: argued(rows[name]) for name in HAZARDS if name in rows}
    skipped = {name: measured.skipped.get(name, "not in this series") for name in HAZARDS if name not in told}
    publish(replace(measured, rows=tuple(told.values()), skipped=skipped))


def publish(matrix: Matrix) -> None:
    """Write both files."""
    TABLE.write_text(json.dumps(matrix.to_json(), indent=1) + "\n", encoding="utf-8")
    write_measured("hazards.md", Path(__file__).name, f"\n{markdown(matrix)}\n")


if __name__ == "__main__":
    main()
