"""Replay in another folder: the application sees the recorded paths, but opens files where they are now.

Paths occur in values that the application computes: in tracebacks, in the ETag of a static file, in the order
of a set. So a replay restores them, as the engine does with ``sys.path`` and the environment, and functions
that open files get the current folder. Recorded calls are not affected: their paths are compared unchanged.
"""

from __future__ import annotations

import _ctypes
import _imp
import io
import os
import posix
import sys
from functools import wraps
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from loadgen import protocol
from loadgen.traced import settings

if TYPE_CHECKING:
    from collections.abc import Callable

_BY_PATH = (
    "access", "chdir", "chmod", "chown", "lchown", "link", "listdir", "lstat", "mkdir", "mkfifo", "open",
    "readlink", "remove", "rename", "replace", "rmdir", "scandir", "stat", "statvfs", "symlink", "truncate",
    "unlink", "utime",
)  # fmt: skip
_NAMING = ("getcwd", "getcwdb", "readlink")
"""Functions that return a path. An import runs off the tape, so a module may keep what they return there."""


def here(path: str) -> str:
    """Return the current location of the recorded *path*."""
    return protocol.relocated(path, settings.CURRENT.moved)


def recorded(path: str) -> str:
    """Return the recorded location of the current *path*."""
    return protocol.relocated(path, [(now, then) for then, now in settings.CURRENT.moved])


def install() -> None:
    """Open recorded paths at their current locations, everywhere in this process."""
    for name, value in settings.CURRENT.interpreter.items():
        setattr(sys, name, value)
    if not settings.CURRENT.moved:
        return
    by_path = (*(getattr(posix, name) for name in _BY_PATH), io.open, io.open_code, _ctypes.dlopen)
    replaced = {id(function): _by_path(function) for function in by_path}
    for function in (getattr(posix, name) for name in _NAMING):
        replaced[id(function)] = _naming(replaced.get(id(function), function))
    for module in [*sys.modules.values()]:
        names = getattr(module, "__dict__", {})
        for name, value in [*names.items()]:
            if id(value) in replaced:
                names[name] = replaced[id(value)]
    for able in (os.supports_fd, os.supports_dir_fd, os.supports_effective_ids, os.supports_follow_symlinks):
        able.update([replaced[id(one)] for one in able if id(one) in replaced])
    _imp.create_dynamic = _extensions(_imp.create_dynamic)


def _by_path(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def opening(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*map(_here, args), **{name: _here(value) for name, value in kwargs.items()})
        except OSError as error:
            for name in ("filename", "filename2"):
                if (path := getattr(error, name)) is not None:
                    setattr(error, name, _recorded(path))
            raise

    return opening


def _naming(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def naming(*args: Any, **kwargs: Any) -> Any:
        return _recorded(function(*args, **kwargs))

    return naming


def _here(value: Any) -> Any:
    return _relocated(value, here)


def _recorded(value: Any) -> Any:
    return _relocated(value, recorded)


def _relocated(value: Any, to: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return to(value)
    if isinstance(value, bytes):
        return os.fsencode(to(os.fsdecode(value)))
    if isinstance(value, os.PathLike):
        path = value.__fspath__()
        return value if (there := _relocated(path, to)) == path else there
    return value


def _extensions(create: Callable[..., Any]) -> Callable[..., Any]:
    """Load extension modules, which the loader opens in C, from their current locations."""

    def create_dynamic(spec: ModuleSpec, *file: Any) -> Any:
        there = ModuleSpec(
            spec.name,
            spec.loader,
            origin=spec.origin and here(spec.origin),
            loader_state=spec.loader_state,
            is_package=spec.submodule_search_locations is not None,
        )
        module = create(there, *file)
        if getattr(module, "__file__", None) == there.origin:
            module.__file__ = spec.origin
        return module

    return create_dynamic
