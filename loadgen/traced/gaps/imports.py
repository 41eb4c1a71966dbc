"""Gaps of imports: imports of the application are traced, but its source files are read live."""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from _thread import get_ident
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from retracesoftware import utils
from retracesoftware.install import importhook, pathpredicate

from loadgen.traced import constants, moved, settings
from loadgen.traced.functions import note_functions
from loadgen.traced.gaps.draws import Draws, concerns
from loadgen.traced.installing import each_module

if TYPE_CHECKING:
    from collections.abc import Callable


def trace_imports_of_the_application() -> None:
    """Trace the application's own modules while they are imported at start-up.

    The engine switches tracing off during every import. So ``SECRET = os.urandom(16)`` at the top of a module
    is on the tape if the module is the main script, but a new secret in each replay if it is imported, as
    ``flask run`` does. Only imports of the main thread are traced: imports by requests are ordered by import
    locks, which are not on the tape. Of the libraries that they import, what those draw is on the tape, see
    :mod:`~loadgen.traced.gaps.draws`.

    The constants of all modules are put in order, see :mod:`~loadgen.traced.constants`.

    The replacement of ``__import__`` adds no frame to the traceback of a failed import, because Flask
    distinguishes a missing module from a failing one by the length of the traceback, and tries ``wsgi``
    before ``app``.
    """
    install, configured = importhook.install_import_hooks, set[str]()
    each_module(configured.add)

    def install_import_hooks(disable_for: Any, module_patcher: Any) -> Any:
        system, execute = disable_for.__self__, builtins.exec
        importing, draws = _Importing(system), Draws(system)

        def patch_module(namespace: Any, update: Any, name: str | None = None, **how: Any) -> None:
            if (name or namespace.get("__name__")) in configured:  # it binds functions: steps on the tape
                with draws.between():
                    module_patcher(namespace, update, name, **how)

        builtins.exec = _executing(system, importing, draws)
        try:
            uninstall = install(disable_for, patch_module)
        finally:
            builtins.exec = execute
        builtins.__import__ = importing.counted(builtins.__import__)
        importlib.import_module = importing.counted(importlib.import_module)  # of gunicorn and waitress-serve
        return uninstall

    importhook.install_import_hooks = install_import_hooks


class _Importing:
    """Knows whether the main thread is importing for traced code, before it serves."""

    def __init__(self, system: Any) -> None:
        self._system, self._main, self._depth = system, get_ident(), 0

    def at_start(self) -> bool:
        """Whether the calling thread is the main one, in an import that traced code began."""
        return self._depth > 0 and self._system.thread_id() == 0 and get_ident() == self._main

    def counted(self, untraced_import: Any) -> Any:
        """Return an import function whose calls are noted."""
        call = untraced_import._retrace_call  # the callable around it is Python code, which adds a frame
        begin, end = self._counting(1), self._counting(-1)
        return utils.observer(function=call, on_call=begin, on_result=end, on_error=end)

    def _counting(self, step: int) -> Callable[..., None]:
        system = self._system

        def count(*_: object, **__: object) -> None:
            if settings.CURRENT.application and not system.thread_id() and system.enabled():
                self._depth += step

        return count


def _executing(system: Any, importing: _Importing, draws: Draws) -> Callable[..., None]:
    """Return the function that executes a module's code."""
    execute = builtins.exec
    traced_execute = system.gate.apply_with("internal", execute)
    root, packages = f"{Path(settings.CURRENT.application).resolve()}/", settings.CURRENT.packages

    def execute_module(source: Any, namespace: Any = None, names: Any = None) -> None:
        path = str((namespace or {}).get("__file__"))
        own = path.startswith(root) and "site-packages" not in path.removeprefix(root)
        own = own or str((namespace or {}).get("__name__")).partition(".")[0] in packages
        code = constants.ordered(source) if isinstance(source, CodeType) else source
        if own and isinstance(code, CodeType):
            note_functions(code)
        at_start = importing.at_start()
        if own and at_start:
            with draws.between():
                traced_execute(code, namespace, names)
        elif at_start and namespace is not None and concerns(namespace):
            with draws.of(namespace) as drawing_execute:
                drawing_execute(code, namespace, names)
        else:
            execute(code, namespace, names)

    return execute_module


_LIBRARIES = (sys.base_prefix, sys.base_exec_prefix, str(Path(__file__).parents[2]))
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin")


def read_code_live() -> None:
    """Read code live: source files, libraries and programs.

    Files under ``/tmp`` are recorded. A replay of a server script there would run the recorded source,
    whatever the file contains by now, and prove nothing about the current code. The same holds for templates,
    which Flask looks up in folders of that name.

    What is in the application's own folder is its own, also where that is in a folder of libraries or
    programs, as ``/usr/src/app`` is.
    """
    own = [name(one) for one in (settings.CURRENT.application, ".") if one for name in _NAMES]
    ignored = [glob for glob in pathpredicate.DEFAULT_IGNORE_GLOBS if "/pytest-of-" not in glob]
    ignored += [f"{folder}/*" for folder in (*_LIBRARIES, *_SYSTEM)]
    ignored = [glob for glob in ignored if not any(fnmatch(f"{folder}/", glob) for folder in own)]
    ignored += ["*.py", "*.pyc", "*/templates/*", "*/site-packages/*"]
    ignored = [moved.recorded(glob) for glob in ignored]
    pathpredicate.make_pathpredicate = partial(pathpredicate.make_pathpredicate, ignore_globs=ignored)


_NAMES = (os.path.abspath, os.path.realpath)


def find_code_live() -> None:
    """Let the import system look at folders live.

    It lists a folder again if the modification time has changed. A folder in which a file was created since
    the recording would be listed only in the replay, in the middle of a traced import.
    """
    finder: Any = importlib._bootstrap_external
    live = ModuleType(finder._os.__name__)
    vars(live).update(vars(finder._os))  # before the engine replaces its functions
    finder._os = live
