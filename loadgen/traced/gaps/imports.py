"""Gaps of imports: imports of the application are traced, but its source files are read live."""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from retracesoftware import utils
from retracesoftware.install import importhook, pathpredicate

from loadgen.traced import constants, moved, settings
from loadgen.traced.functions import note_functions

if TYPE_CHECKING:
    from collections.abc import Callable


def trace_imports_of_the_application() -> None:
    """Trace the application's own modules while they are imported at start-up.

    The engine switches tracing off during every import. So ``SECRET = os.urandom(16)`` at the top of a module
    is on the tape if the module is the main script, but a new secret in each replay if it is imported, as
    ``flask run`` does. Only imports of the main thread are traced: imports by requests are ordered by import
    locks, which are not on the tape.

    The constants of all modules are put in order, see :mod:`~loadgen.traced.constants`.

    The replacement of ``__import__`` adds no frame to the traceback of a failed import, because Flask
    distinguishes a missing module from a failing one by the length of the traceback, and tries ``wsgi``
    before ``app``.
    """
    install = importhook.install_import_hooks
    root = f"{Path(settings.CURRENT.application).resolve()}/"
    packages = settings.CURRENT.packages

    def install_import_hooks(disable_for: Any, module_patcher: Any) -> Any:
        system, execute = disable_for.__self__, builtins.exec
        traced_execute = system.gate.apply_with("internal", execute)
        importing = [0]

        def execute_module(source: Any, namespace: Any = None, names: Any = None) -> None:
            path = str((namespace or {}).get("__file__"))
            own = path.startswith(root) and "site-packages" not in path.removeprefix(root)
            own = own or str((namespace or {}).get("__name__")).partition(".")[0] in packages
            trace = own and importing[0] and system.thread_id() == 0
            code = constants.ordered(source) if isinstance(source, CodeType) else source
            if own and isinstance(code, CodeType):
                note_functions(code)
            (traced_execute if trace else execute)(code, namespace, names)

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
            call = untraced_import._retrace_call  # the callable around it is Python code, which adds a frame
            return utils.observer(function=call, on_call=begin, on_result=end, on_error=end)

        builtins.__import__ = traced(builtins.__import__)
        importlib.import_module = traced(importlib.import_module)  # as gunicorn and waitress-serve do
        return uninstall

    importhook.install_import_hooks = install_import_hooks


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
