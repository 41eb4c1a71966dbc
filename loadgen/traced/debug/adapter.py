"""debugpy on one request of a replay, for VS Code, PyCharm and other editors that speak its protocol.

debugpy follows a thread with ``sys.settrace``. The functions that it sets are replaced by ones that run
outside the trace, and so are the functions that these return. Its other ways to follow a thread are switched
off, because these functions would not be replaced: ``sys.monitoring``, which it prefers on Python 3.12, and a
library in C, by which it also follows threads that run already. Other threads are not followed at all: they
would stop at the breakpoints of this request.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from _thread import get_ident
from functools import partial
from typing import TYPE_CHECKING, Any

from loadgen.traced.debug.stepping import is_hidden
from loadgen.traced.own import Own

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from loadgen.traced.debug.channel import Channel
    from loadgen.traced.debug.knowledge import Knowledge

HOST = "127.0.0.1"
_SETTINGS = {"PYDEVD_USE_SYS_MONITORING": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
"""Read by debugpy when it is imported. The application must not see them: its environment is recorded."""


class Adapter:
    """Waits for an editor, and stops at the application's first line in one request, run in this context."""

    def __init__(self, system: Any, plan: dict[str, Any], channel: Channel, knowledge: Knowledge) -> None:
        """Wait for an editor; call this outside the trace."""
        self._live: Callable[[Any], Any] = partial(system.disable_for, unwrap_args=False)
        self._is_own = Own(plan["packages"])
        self._settrace, self._gettrace = sys.settrace, sys.gettrace
        self._thread: int | None = get_ident()
        sys.settrace = self._set_guarded
        self._debugpy = _imported(plan["debugpy"])
        _module("pydevd_tracing").set_trace_to_threads = lambda *_, **__: -1  # it failed: use sys.settrace
        self._debugpy.configure(subProcess=False)
        self._debugpy.listen((HOST, plan["dap"]))
        channel.tell(listening=plan["dap"])
        self._debugpy.wait_for_client()
        debugger = _module("pydevd").get_global_debugger()
        debugger.trace_dispatch = self._guarded(debugger.trace_dispatch)  # set on frames when stepping
        _show_external_objects(knowledge)
        variables = _module("_pydevd_bundle.pydevd_vars")
        evaluate = variables.eval_in_context
        variables.eval_in_context = lambda *how: knowledge.evaluate(partial(evaluate, *how))
        self._begin, self._end = self._live(self._start), self._live(self._stop)
        self._step = self._live(self._step_into)

    def __enter__(self) -> None:
        self._begin()

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    def _start(self) -> None:
        self._debugpy.trace_this_thread(True)
        self._follow = self._gettrace()
        self._settrace(self._until_own)

    def _stop(self) -> None:
        self._debugpy.trace_this_thread(False)
        self._settrace(None)
        self._thread = None  # another thread may get its number

    def _until_own(self, frame: FrameType, event: Any, arg: object) -> Any:
        """Stop at the first line of the application's own code."""
        if is_hidden(frame) or self._follow is None:
            return None
        if self._is_own(frame.f_code.co_filename):
            self._settrace(self._follow)
            self._step()
            return self._follow(frame, event, arg)
        local = self._follow(frame, event, arg)
        self._follow = self._gettrace() if self._gettrace() != self._until_own else self._follow
        self._settrace(self._until_own)
        return local

    def _step_into(self) -> None:
        """Let debugpy stop at the next line that this thread runs."""
        thread = threading.current_thread()
        info = _module("_pydevd_bundle.pydevd_additional_thread_info").set_additional_thread_info(thread)
        into = _module("_pydevd_bundle.pydevd_comm_constants").CMD_STEP_INTO
        info.pydev_original_step_cmd = info.pydev_step_cmd = into
        info.pydev_step_stop = None
        info.update_stepping_info()

    def _set_guarded(self, function: Any) -> None:
        if get_ident() == self._thread:
            self._settrace(self._guarded(function))

    def _guarded(self, function: Any) -> Any:
        if function is None or isinstance(function, _Guard):
            return function
        return _Guard(self._live(function), self._guarded)


class _Guard:
    """A trace function that runs outside the trace, as do those that it returns; not for hidden frames."""

    def __init__(self, live: Any, guarded: Any) -> None:
        self._live, self._guarded = live, guarded

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "call" and is_hidden(frame):
            return None
        return self._guarded(self._live(frame, event, arg))


def _module(name: str) -> Any:
    return importlib.import_module(name)  # a part of debugpy


def _show_external_objects(knowledge: Knowledge) -> None:
    """Let the editor show external objects by what the application has seen of them."""
    base: Any = _module("_pydevd_bundle.pydevd_extension_api").StrPresentationProvider

    class Provider(base):  # type: ignore[misc,valid-type,unused-ignore]
        def can_provide(self, kind: Any, name: str) -> bool:
            del name
            return knowledge.is_external(kind)

        def get_str(self, value: Any) -> str:
            return knowledge.about(value) or repr(value)

    manager = _module("_pydevd_bundle.pydevd_extension_utils").EXTENSION_MANAGER_INSTANCE
    manager.get_extension_classes(base).insert(0, Provider())


def _imported(folder: str) -> Any:
    """Import debugpy from *folder*: the replay has the recorded ``sys.path``."""
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    sys.path.append(folder)
    try:
        importlib.import_module("debugpy.server.api")  # debugpy itself imports it when it is used
        return importlib.import_module("debugpy")
    finally:
        sys.path.remove(folder)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
