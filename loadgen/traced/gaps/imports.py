"""Gaps of imports: the application's code is traced while it is imported, and is itself not on the tape."""

from __future__ import annotations

import builtins
import importlib
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from retracesoftware import utils
from retracesoftware.install import importhook, pathpredicate

from loadgen.traced import settings

if TYPE_CHECKING:
    from collections.abc import Callable


def trace_imports_of_the_application() -> None:
    """Trace what the application's own modules do while they are imported at start-up.

    The engine switches tracing off during every import. So ``SECRET = os.urandom(16)`` at the top of a module
    is on the tape when that module is run as the main script, and a new secret in each replay when it is
    imported, as ``flask run`` does. Only the main thread's imports are traced: those that requests make are
    ordered by import locks, which are not on the tape.

    What stands in for ``__import__`` adds no frame to the traceback of an import that fails: Flask tells a
    module that is missing from one that fails by the traceback's length, and tries ``wsgi`` before ``app``.
    """
    install = importhook.install_import_hooks
    root = f"{Path(settings.CURRENT.application).resolve()}/"

    def install_import_hooks(disable_for: Any, module_patcher: Any) -> Any:
        system, execute = disable_for.__self__, builtins.exec
        traced_execute = system.gate.apply_with("internal", execute)
        importing = [0]

        def execute_module(source: Any, namespace: Any = None, names: Any = None) -> None:
            path = str((namespace or {}).get("__file__"))
            own = path.startswith(root) and "site-packages" not in path.removeprefix(root)
            trace = own and importing[0] and system.thread_id() == 0
            (traced_execute if trace else execute)(source, namespace, names)

        builtins.exec = execute_module  # type: ignore[assignment]
        try:
            uninstall = install(disable_for, module_patcher)
        finally:
            builtins.exec = execute

        def counting(step: int) -> Callable[..., None]:
            def count(*_: object, **__: object) -> None:
                if settings.CURRENT.application and not system.thread_id() and system.enabled():
                    importing[0] += step

            return count

        def traced(untraced_import: Any) -> Any:
            begin, end = counting(1), counting(-1)
            call = untraced_import._retrace_call  # the callable around it is Python, and has a frame
            return utils.observer(function=call, on_call=begin, on_result=end, on_error=end)

        builtins.__import__ = traced(builtins.__import__)
        importlib.import_module = traced(importlib.import_module)  # as gunicorn and waitress-serve do
        return uninstall

    importhook.install_import_hooks = install_import_hooks


_LIBRARIES = (sys.base_prefix, sys.base_exec_prefix, str(Path(__file__).parents[2]), "*/site-packages")


def read_code_live() -> None:
    """Keep the application's own code off the tape.

    Files under ``/tmp`` are recorded, and so would be a server script that lies there: its replay would run
    the recorded source, whatever the file says by now, and prove nothing about the code that is there. So
    are templates, which Flask looks for in folders of that name.
    """
    ignored = [glob for glob in pathpredicate.DEFAULT_IGNORE_GLOBS if "/pytest-of-" not in glob]
    ignored += ["*.py", "*.pyc", "*/templates/*", *(f"{folder}/*" for folder in _LIBRARIES)]
    pathpredicate.make_pathpredicate = partial(pathpredicate.make_pathpredicate, ignore_globs=ignored)


def find_code_live() -> None:
    """Keep what the import system looks at off the tape.

    It lists a folder again when its time of change is not the one that it knows. A folder in which a file
    was made since the recording is then listed in the replay alone, in the middle of a traced import.
    """
    finder: Any = importlib._bootstrap_external
    live = ModuleType(finder._os.__name__)
    vars(live).update(vars(finder._os))  # before the engine replaces what is in it
    finder._os = live
