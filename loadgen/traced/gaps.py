"""Gaps of the engine, each closed by one function with its reason.

Those in :data:`CLOSED` are applied by the launcher before the engine starts; the collector's, by the boundary
before the server does. What module configuration can close is in
``overlay/loadgen.toml`` instead. Both were made for exactly one build of the engine: :data:`ENGINE_VERSION`.
"""

from __future__ import annotations

import builtins
import copy
import gc
import importlib
import os
import queue
import re
import resource
import sys
import tempfile
from collections import deque
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from inspect import Parameter, Signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import functional, stream, utils
from retracesoftware.install import importhook, patcher, pathpredicate
from retracesoftware.proxy.system import System

from loadgen import protocol
from loadgen.traced import schedule, settings
from loadgen.traced.tape import Diverged, OrderedBindings, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE_VERSION = "0.2.30"


def when_installed(do: Callable[[Any], None]) -> None:
    """Have *do* called with the engine's ``system`` once that is made, and before it changes anything."""
    stock = System.install

    def install(system: Any) -> Any:
        do(system)
        return stock(system)

    System.install = install


def follow_the_tape_in_turns() -> None:
    """Replace the stock dispatcher; see :mod:`loadgen.traced.tape` for the three reasons."""
    engine_io._ThreadDemuxSource = TapeTurns
    engine_io._ReplayBindingState = OrderedBindings


def fail_the_request_not_the_process() -> None:
    """Raise where the stock engine calls ``os._exit(1)``: one diverging request must not hide all others."""

    def on_desync(recorded: object, replayed: object) -> None:
        TapeTurns.current.leave()
        if isinstance(recorded, list) and isinstance(replayed, list):
            # Stacks, of a recording that has them; the engine hands them over the other way round.
            there, here = (
                _caller(stack, other) for stack, other in ((replayed, recorded), (recorded, replayed))
            )
            raise Diverged(
                protocol.ANOTHER_CALL,
                f"the recording makes its next call from {there}, the replay from {here}",
            )
        message = f"the recording has {_described(recorded)} here, the replay {_described(replayed)}"
        raise Diverged(protocol.ANOTHER_CALL, message, getattr(recorded, "value", recorded), replayed)

    def on_unexpected(message: object) -> None:
        TapeTurns.current.leave()
        what = f"the recording has {_described(message)} here, the replay the result of a call"
        raise Diverged(protocol.ANOTHER_CALL, what)

    engine_io.replayer.__kwdefaults__.update(on_desync=on_desync, on_unexpected=on_unexpected)


_MESSAGES = {
    "OnStartMessage": "the start of a thread",
    "CallMarkerMessage": "a call",
    "ResultMessage": "the result of a call",
    "ErrorMessage": "the error of a call",
    "CallbackMessage": "a call back into the application",
    "CallbackResultMessage": "the result of a call back",
    "CallbackErrorMessage": "the error of a call back",
    "CheckpointMessage": "a checkpoint",
}


def _described(message: object) -> str:
    """Say in words what the engine's messages, types of messages, and recorded calls stand for."""
    value = getattr(message, "value", message)
    if isinstance(value, dict) and "function" in value:  # of a recording with stacks
        function = value["function"]
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '?')}"
        parts = [shown(one) for one in value.get("args", ())]
        parts += [f"{key}={shown(one)}" for key, one in value.get("kwargs", {}).items()]
        return f"the call {name.lstrip('.')}({', '.join(parts)})"
    name = message.__name__ if isinstance(message, type) else type(message).__name__
    return _MESSAGES.get(name) or shown(message)


def shown(value: object) -> str:
    """Show a value without its address, which is another in each replay."""
    if hasattr(value, "handle"):
        return "an object"
    return re.sub(r" object at 0x[0-9a-f]+|\w+:[\w.]+\.(?=<)", "", str(engine_io._safe_debug_value(value)))


def _caller(stack: list[Any], other: list[Any]) -> str:
    """Name the outermost call of *stack* that is not in *other* at the same depth."""
    for mine, theirs in zip(reversed(stack), reversed(other), strict=False):
        if tuple(mine)[:2] != tuple(theirs)[:2]:
            return "{}:{}".format(*tuple(mine)[:2])
    return "{}:{}".format(*tuple(stack[0])[:2])


def bind_reused_addresses() -> None:
    """Let an object take over a stale binding that stands at its address.

    ``binder_dealloc`` swaps ``tp_dealloc`` while the original may drop the GIL; an object of that type freed
    meanwhile by another thread keeps its binding. The next object at that address then fails with "object
    is already bound": recording breaks the application, which answers 500 under contention.
    """

    class Binder(stream.Binder):  # type: ignore[misc]
        def bind(self, obj: object) -> Any:
            try:
                return super().bind(obj)
            except RuntimeError:
                return self.lookup(obj)

    stream.Binder = Binder


def order_the_threads() -> None:
    """Put what threads wait for on the tape; see :mod:`loadgen.traced.schedule`."""
    when_installed(schedule.install)
    # Two threads that wait for one of C's get their items in an order that is not on the tape.
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]


def keep_frames_off_the_tape() -> None:
    """Hand the writer a copy of each exception, without the frames that it came through.

    The tape is written by a thread of its own, which holds an exception until it is written, and so its
    traceback, the frames there, and what their variables name. Where that is the last reference, the
    finalizers of the application's objects run on that thread, off the tape; a replay runs them on it.
    """

    def copying(on_error: Callable[..., None]) -> Callable[..., None]:
        def write(kind: object, error: BaseException, traceback: object) -> None:
            try:
                bare = copy.copy(error)  # as pickling it does, which is what the writer will do
            except Exception:  # noqa: BLE001 - an exception of any making
                bare = error
            on_error(kind, bare, traceback)

        return write

    def install(system: Any) -> None:
        if system.retrace_mode == "record":
            for hooks in ("primary_hooks", "secondary_hooks"):
                stock = getattr(system, hooks)
                on_error = system.disable_for(copying(stock.on_error), unwrap_args=False)
                setattr(system, hooks, stock._replace(on_error=on_error))

    when_installed(install)


def let_go_of_replayed_errors() -> None:
    """Leave an error that is replayed to whoever catches it.

    The engine raises it from a function in which it has a name: the error, its traceback and that frame then
    hold one another, and with the frames below all that the request had in hand. What is freed at the end of
    a function while recording would wait for a collection in the replay, and so would its finalizers.
    """

    class ErrorMessage(engine_io.ErrorMessage):  # type: ignore[misc]
        @property
        def error(self) -> BaseException:
            return self._error.pop()

        @error.setter
        def error(self, error: BaseException) -> None:
            self._error = [error]

    engine_io.ErrorMessage = ErrorMessage


def free_objects_in_one_step() -> None:
    """Put the deletion of a binding on the tape with the next write, not while its object is being freed.

    ``binder_dealloc`` tells of the deletion before the object leaves the collector's lists. Telling runs
    Python code and waits for the writer: another thread that collects meanwhile finds an object that nobody
    refers to, and frees it a second time. The recorded server dies of SIGSEGV, at once or later.
    """
    deleted: deque[int] = deque()
    thread_switch = utils.thread_switch

    class Binder(stream.Binder):  # type: ignore[misc]
        def __init__(self, on_delete: object = None) -> None:
            super().__init__(on_delete and deleted.append)  # native: no other thread runs before it returns

    def tell_deletions_first(writer: Callable[..., None], *, on_thread_switch: Callable[..., None]) -> Any:
        def tell(*_: object) -> None:
            while deleted:
                with suppress(IndexError):  # another thread told it
                    writer("BINDING_DELETE", deleted.popleft())

        return utils.observer(thread_switch(writer, on_thread_switch=on_thread_switch), on_call=tell)

    stream.Binder = Binder
    utils.thread_switch = tell_deletions_first


def record_containers_as_they_were() -> None:
    """Copy the lists, tuples and dicts that go on the tape at the moment when they do.

    The writer's thread takes them from its queue up to 100 ms later, when the application may have changed
    them: ``rows = cursor.fetchall(); rows.pop()`` replays with a row less. And while that thread pickles an
    item, the list may be emptied under it, which ends in SIGSEGV.
    """
    walker = functional.walker

    def copy(value: Any) -> Any:
        kind = type(value)
        if kind is list or kind is tuple:
            return kind(map(copy, value))
        if kind is dict:
            return {key: copy(item) for key, item in value.items()}
        if kind is set or kind is bytearray:
            return kind(value)
        return value

    def walk_copies(visit: Callable[[Any], Any]) -> Any:
        walk = walker(visit)
        # The recorder's walker over all that it writes is the one that looks up bindings.
        return functional.sequence(copy, walk) if isinstance(visit, stream.Binder) else walk

    functional.walker = walk_copies


def unwrap_callbacks_off_the_tape() -> None:
    """Unwrap a wrapped callback before it is inspected.

    ``_unwrap_callable`` does a ``getattr`` on it, which is itself a traced call and reads the tape: SQLite's
    ``row_factory``, ``create_function`` and trace callbacks never replay.
    """
    unwrap_callable = engine_io._unwrap_callable

    def unwrap(value: object) -> object:
        return unwrap_callable(utils.unwrap(value) if isinstance(value, utils.InternalWrapped) else value)

    engine_io._unwrap_callable = unwrap


def trace_imports_of_the_application() -> None:
    """Trace what the application's own modules do while they are imported at start-up.

    The engine switches tracing off during every import. So ``SECRET = os.urandom(16)`` at the top of a module
    is on the tape when that module is run as the main script, and a new secret in each replay when it is
    imported, as ``flask run`` does. Only the main thread's imports are traced: those that requests make are
    ordered by import locks, which are not on the tape.
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

        def traced(untraced_import: Callable[..., Any]) -> Callable[..., Any]:
            def traced_import(*args: Any, **kwargs: Any) -> Any:
                if not settings.CURRENT.application or system.thread_id() or not system.enabled():
                    return untraced_import(*args, **kwargs)
                importing[0] += 1
                try:
                    return untraced_import(*args, **kwargs)
                finally:
                    importing[0] -= 1

            return traced_import

        builtins.__import__ = traced(builtins.__import__)
        importlib.import_module = traced(importlib.import_module)  # as gunicorn and waitress-serve do
        return uninstall

    importhook.install_import_hooks = install_import_hooks


def external_objects(target: Any, system: Any) -> Any:
    """Make the objects of class *target* external: what they are asked is recorded, as of those of C's types.

    A ``system_wrap`` of the overlay, for Python classes around a library in C that the engine does not see.
    """
    factories = [name for name, member in vars(target).items() if isinstance(member, classmethod)]
    for name in factories:
        setattr(target, name, staticmethod(system.patch_function(partial(getattr(target, name)))))
    if hasattr(target, "__del__"):  # a replay has proxies, and no object that ends
        target.__del__ = system.disabled_method_for(target.__del__)
    return target if factories else system.patch_function(partial(target))


_LIBRARIES = (sys.base_prefix, sys.base_exec_prefix, str(Path(__file__).parents[1]), "*/site-packages")


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


def _unlink(path: str) -> None:
    os.unlink(path)  # noqa: PTH108 - as tempfile does


def record_temporary_folders() -> None:
    """Record what is done to the temporary folders themselves, not only to what is in them.

    ``NamedTemporaryFile`` opens its folder, with a function of its own that opens the file. A call that is
    not recorded runs with the trace switched off, and so does whatever it calls: the file's random name.
    """
    for function in vars(tempfile._TemporaryFileCloser).values():  # type: ignore[attr-defined]
        if getattr(function, "__defaults__", None):  # captured before the engine replaced it
            kept = tuple(_unlink if value is os.unlink else value for value in function.__defaults__)
            function.__defaults__ = kept
    stock, folders = pathpredicate.make_pathpredicate, re.compile(r"^(/var)?/tmp$")
    pathpredicate.make_pathpredicate = lambda patterns, **how: stock([*patterns, folders], **how)


def take_the_applications_files_from_the_tape() -> None:
    """Record files beside the application, and in the directory it is started in, like those under ``/tmp``.

    Elsewhere the engine leaves files live: a replay would write again what the recorded server wrote, over
    what its user has there by now, and read what that has become.
    """
    roots = {os.path.realpath(one) for one in (settings.CURRENT.application, ".") if one} - {"/"}
    own = [re.compile(rf"^{re.escape(root)}/") for root in sorted(roots)]
    load_patterns = pathpredicate.load_patterns
    relative = re.compile(r"^[^/]")
    pathpredicate.load_patterns = lambda extra=None: [*load_patterns(extra), relative, *own]


def let_paths_be_omitted() -> None:
    """Take a path that is not given for the current directory.

    The engine asks each call for its path, and fails one without: recording breaks ``os.listdir()``.
    """
    stock = patcher.param_predicate

    def param_predicate(
        signature: Signature | None, param_name: str, predicate: Callable[[Any], bool], **how: Any
    ) -> Callable[..., bool]:
        asked = stock(signature, param_name, predicate, **how)
        parameters = {} if signature is None else signature.parameters
        if param_name not in parameters or parameters[param_name].default is Parameter.empty:
            return asked  # type: ignore[no-any-return]
        at = list(parameters).index(param_name)

        def of_this_call(*args: Any, **kwargs: Any) -> bool:
            given = len(args) > at or param_name in kwargs
            return bool(asked(*args, **kwargs) if given else predicate("."))

        return of_this_call

    patcher.param_predicate = param_predicate


RECORDED_DESCRIPTORS = 512
"""Descriptors that a recorded server is expected to have open at most; what a replay opens gets others."""


def keep_live_descriptors_apart() -> None:
    """Give the files that a replay opens numbers that no recorded descriptor has.

    The engine tells by its number whether a descriptor is that of a live file. A replay opens less than the
    recorded server did, so a template or a library's file would get the number of a recorded pipe or socket;
    what the application then reads from that comes from the file.
    """

    def install(system: Any) -> None:
        if system.retrace_mode == "replay":
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # Linux has a number here, never infinity
            lowest = os.open(os.devnull, os.O_RDONLY)
            while os.dup(lowest) < min(RECORDED_DESCRIPTORS, soft // 2):
                pass

    when_installed(install)


def collect_at_fixed_places() -> Callable[[], object]:
    """Set aside what start-up made, switch the collector off, and return what each request calls at its end.

    Finalizers run where the collector happens to run, and it counts allocations, of which a replay makes
    others than the recorded process did. What they call is on the tape, so they must run at one place.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    return gc.collect


CLOSED: tuple[Callable[[], None], ...] = (
    follow_the_tape_in_turns,
    fail_the_request_not_the_process,
    bind_reused_addresses,
    keep_frames_off_the_tape,
    order_the_threads,
    let_go_of_replayed_errors,
    free_objects_in_one_step,
    record_containers_as_they_were,
    unwrap_callbacks_off_the_tape,
    trace_imports_of_the_application,
    read_code_live,
    find_code_live,
    record_temporary_folders,
    take_the_applications_files_from_the_tape,
    let_paths_be_omitted,
    keep_live_descriptors_apart,
)

ALL = frozenset(gap.__name__ for gap in (*CLOSED, collect_at_fixed_places))
"""Every name that ``--without`` knows."""


def close() -> None:
    """Close every gap.

    Raises:
        SystemExit: the installed engine is not the one that this module was made for.
    """
    installed = version("retracesoftware")
    if installed != ENGINE_VERSION:
        raise SystemExit(
            f"loadgen: made for retracesoftware {ENGINE_VERSION}, found {installed}. "
            f"Install the matching engine: pip install retracesoftware=={ENGINE_VERSION}"
        )
    for gap in CLOSED:
        if gap.__name__ not in settings.CURRENT.without:
            gap()
