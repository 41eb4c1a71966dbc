"""Which code is the application's own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from loadgen.traced import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class OwnPackages:
    """The packages that the server's command names, where this process has imported them from.

    A package is found by its module, not by its name in a path: Flask has an ``app.py``, too. Its code
    runs only once it is being imported, so it is known by the time that one of its files is asked for.
    """

    def __init__(self, packages: Iterable[str]) -> None:
        """*packages* are the names of top-level modules."""
        self._packages = tuple(packages)
        self._modules = sys.modules  # kept, because the interpreter clears this module's globals at its end

    def __contains__(self, file: str) -> bool:
        """Whether *file* belongs to one of them."""
        return any(
            file.startswith(place) if place.endswith("/") else file == place
            for package in self._packages
            for place in self._places(package)
        )

    def _places(self, package: str) -> Iterator[str]:
        """Yield the folders of *package*, each with a slash at its end, or its file."""
        module: Any = self._modules.get(package)
        if module is None:  # python -m names it, and it is no package
            main = self._modules.get("__main__")
            module = main if getattr(getattr(main, "__spec__", None), "name", "") == package else None
        names = getattr(module, "__dict__", {})
        if "__path__" in names:
            yield from (f"{folder}/" for folder in names["__path__"])
        elif names.get("__file__"):
            yield names["__file__"]


class Own:
    """Decides by a file's path; make it outside the trace.

    The application's own code is in its folder, or in a package that the server's command names, wherever
    that is installed. If neither is known, it is whatever is neither installed nor of the standard library.
    """

    def __init__(self, packages: Iterable[str]) -> None:
        """*packages* are those that the server's command names."""
        folder = settings.CURRENT.application
        self._root = f"{os.path.realpath(folder)}/" if folder else ""
        self._alone = not (folder or packages)
        self._served = OwnPackages(packages)
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
        if self._root and file.startswith(self._root) and "-packages/" not in file.removeprefix(self._root):
            return True
        if file in self._served:
            return True
        return self._alone and not ("-packages/" in file or file.startswith(self._library))
