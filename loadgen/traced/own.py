"""Which code is the application's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from loadgen.traced import settings

if TYPE_CHECKING:
    from collections.abc import Iterable


class Own:
    """Decides by a file's path; make it outside the trace.

    The application's own code is in its folder, or in a package that the server's command names, wherever
    that is installed. If neither is known, it is whatever is neither installed nor of the standard library.
    """

    def __init__(self, packages: Iterable[str]) -> None:
        """*packages* are those that the server's command names."""
        folder = settings.CURRENT.application
        self._root = f"{os.path.realpath(folder)}/" if folder else ""
        self._packages = frozenset(packages)
        self._library = f"{os.path.dirname(os.__file__)}/"  # noqa: PTH120
        self._known: dict[str, bool] = {}

    def __call__(self, file: str) -> bool:
        """Return whether *file* contains code of the application."""
        known = self._known.get(file)
        if known is None:
            known = self._known[file] = self._is_own(file)
        return known

    def _is_own(self, file: str) -> bool:
        if file.startswith("<") or "/loadgen/traced/" in file:
            return False
        if self._root and file.startswith(self._root):
            return "-packages/" not in file.removeprefix(self._root)
        if not self._packages.isdisjoint(part.removesuffix(".py") for part in file.split("/")):
            return True
        return not (self._root or self._packages or "-packages/" in file or file.startswith(self._library))
