"""Mutate source files: prints a line of JSON for each mutant, ``{"file", "name", "text"}``.

    python mutants.py FILE...

It runs in an environment that has cosmic-ray, which does the work.
"""

import json
import sys
from pathlib import Path

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

# Binary operators are left out: most are those of type hints, or concatenate text, so that nothing is served.
WITHOUT = ("core/ReplaceBinaryOperator", "core/VariableReplacer", "core/VariableInserter")

for path in sys.argv[1:]:
    code = Path(path).read_text(encoding="utf-8")
    before = code.splitlines()
    for name in operator_names():
        if name.startswith(WITHOUT):
            continue
        operator, occurrence = get_operator(name)(), 0
        while (text := mutate_code(code, operator, occurrence)) is not None:
            after = text.splitlines()
            pairs = enumerate(zip(before, after, strict=False), 1)
            at = next((number for number, (old, new) in pairs if old != new), 0)
            told = f"{name.removeprefix('core/')} at {Path(path).name}:{at}"
            print(json.dumps({"file": path, "name": told, "text": text}))
            occurrence += 1
