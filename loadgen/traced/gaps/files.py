"""Gaps of files: which files are on the tape, and the descriptors of the others."""

from __future__ import annotations

import os
import re
import resource
import tempfile
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from retracesoftware.install import patcher, pathpredicate
from retracesoftware.install.fdprovenance import FdProvenance

from loadgen.traced.installing import reconfigure, when_installed

if TYPE_CHECKING:
    from collections.abc import Callable


def _unlink(path: str) -> None:
    os.unlink(path)  # noqa: PTH108 - as tempfile does


def record_removal_of_temporary_files() -> None:
    """Record that a temporary file is removed at its end, which a replay would do to a file of today.

    ``tempfile`` keeps the function for that as a default argument, from before the engine replaced it.
    """
    for function in vars(tempfile._TemporaryFileCloser).values():  # type: ignore[attr-defined]
        if getattr(function, "__defaults__", None):
            kept = tuple(_unlink if value is os.unlink else value for value in function.__defaults__)
            function.__defaults__ = kept


def take_files_from_the_tape() -> None:
    """Record all files, but for code and libraries, which :func:`~.imports.read_code_live` names.

    The engine leaves all files but temporary ones live: a replay would write them again, over their current
    content, and read what they have become.
    """
    pathpredicate.load_patterns = lambda extra=None: [re.compile("")]  # noqa: ARG005 - as it is called


def keep_live_descriptors_live() -> None:
    """Make calls on the descriptor of a live file live, too.

    Their results are those of today, and the number differs in a replay. The engine does so for files that
    ``os.open`` opens. It misses those of ``open``, because it expects the name ``_io`` of a module that calls
    itself ``io``, and leaves out some calls.
    """
    observe = FdProvenance.observe_passthrough_call
    created = FdProvenance.__init__

    def create(known: Any) -> None:
        created(known)
        _KNOWN.append(known)

    def observe_call(known: Any, module: str, *call: Any) -> Any:
        return observe(known, "_io" if module == "io" else module, *call)

    def with_descriptors(config: dict[str, Any]) -> dict[str, Any]:
        paths = {**config["pathparam"], **dict.fromkeys(_OF_DESCRIPTORS, "fd")}
        wrapped = {**config.get("system_wrap", {}), "sendfile": f"{__name__}.sendfile"}
        return {**config, "pathparam": paths, "system_wrap": wrapped}

    FdProvenance.__init__ = create
    FdProvenance.observe_passthrough_call = observe_call
    reconfigure("posix", with_descriptors)


_OF_DESCRIPTORS = (
    "fchmod", "fchown", "fpathconf", "fstatvfs", "get_blocking", "lockf", "pread", "pwrite", "pwritev",
)  # fmt: skip
"""Calls whose first argument is a descriptor, and that the stock configuration does not name as such."""
_KNOWN: list[Any] = []
"""What the engine knows about the descriptors of this process, if it is installed."""


def is_live(descriptor: int) -> bool:
    """Return whether a descriptor belongs to a live file."""
    return any(not known.should_retrace_fd(descriptor) for known in _KNOWN)


def sendfile(target: Callable[..., int], system: Any) -> Callable[..., int]:
    """Return ``os.sendfile``, which sends a live file by its content. A ``system_wrap``."""
    read, write = system.disable_for(_read), os.write

    def call(out_fd: int, in_fd: int, offset: int | None, count: int, **more: Any) -> int:
        if more or not is_live(in_fd) or is_live(out_fd):
            return target(out_fd, in_fd, offset, count, **more)
        return write(out_fd, read(in_fd, offset, count))

    return call


def _read(descriptor: int, offset: int | None, count: int) -> bytes:
    return os.read(descriptor, count) if offset is None else os.pread(descriptor, count, offset)


def let_paths_be_omitted() -> None:
    """Treat a missing path as the current directory.

    The engine looks for the path of each call, and raises if there is none: recording breaks
    ``os.listdir()``.
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
"""A recorded server is expected to use descriptors below this number; live files of a replay get higher
ones."""


def keep_live_descriptors_apart() -> None:
    """Give files that a replay opens numbers that no recorded descriptor has.

    The engine recognises live files by their descriptor. A replay opens fewer files than the recorded server
    did, so a template or a library's file would get the number of a recorded pipe or socket, and the
    application would then read from the file instead.
    """

    def install(system: Any) -> None:
        if system.retrace_mode == "replay":
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # Linux has a number here, never infinity
            lowest = os.open(os.devnull, os.O_RDONLY)
            while os.dup(lowest) < min(RECORDED_DESCRIPTORS, soft // 2):
                pass

    when_installed(install)
