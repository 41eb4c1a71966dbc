"""Start a module of loadgen in any Python: ``python -P start.py [--bring PREFIX=FOLDER]... MODULE ...``.

The server may belong to an environment without loadgen. This file makes loadgen's package importable there,
and top-level modules whose names begin with a given prefix, from a given folder. Nothing else of loadgen's
own environment becomes visible: its folders are not on ``sys.path``.
"""

from __future__ import annotations

import runpy
import sys
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder, MetadataPathFinder
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from importlib.metadata import Distribution
    from types import ModuleType


class Brought:
    """Finds top-level modules whose names begin with *prefix* in *folder*, before those on ``sys.path``."""

    def __init__(self, prefix: str, folder: str) -> None:
        self._prefix = prefix
        self._folder = [folder]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module *name*; None if it is not one of them."""
        if path is not None or not name.startswith(self._prefix):
            return None
        return PathFinder.find_spec(name, self._folder, target)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        """Return the distribution that is asked for by such a name; others are the environment's."""
        if not (context.name or "").startswith(self._prefix):
            return iter(())
        return iter(
            MetadataPathFinder.find_distributions(
                DistributionFinder.Context(name=context.name, path=self._folder)
            )
        )


def load(name: str, folder: str) -> None:
    """Import the package *name*, which is in *folder*, wherever ``sys.path`` leads."""
    spec = spec_from_file_location(name, f"{folder}/__init__.py", submodule_search_locations=[folder])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)


def main(argv: list[str]) -> None:
    """Prepare the imports, and run the module that *argv* names, with the rest as its arguments."""
    while argv[0] == "--bring":
        prefix, _, folder = argv[1].partition("=")
        sys.meta_path.insert(0, Brought(prefix, folder))
        del argv[:2]
    load("loadgen", __file__.rpartition("/traced/")[0])
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
