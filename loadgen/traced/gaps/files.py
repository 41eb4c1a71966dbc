"""Gaps of files: which files are on the tape, and the descriptors of the others."""

from __future__ import annotations

import os
import re
import resource
import tempfile
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from retracesoftware.install import patcher, pathpredicate

from loadgen.traced import moved, settings
from loadgen.traced.installing import when_installed

if TYPE_CHECKING:
    from collections.abc import Callable


def _unlink(path: str) -> None:
    os.unlink(path)  # noqa: PTH108 - as tempfile does


def record_temporary_folders() -> None:
    """Record operations on the temporary folders themselves, not only on files in them.

    ``NamedTemporaryFile`` opens its folder with a function that then opens the file. A call that is not
    recorded runs with the trace off, and so does everything that it calls, such as the choice of the file's
    random name.
    """
    for function in vars(tempfile._TemporaryFileCloser).values():  # type: ignore[attr-defined]
        if getattr(function, "__defaults__", None):  # captured before the engine replaced it
            kept = tuple(_unlink if value is os.unlink else value for value in function.__defaults__)
            function.__defaults__ = kept
    stock, folders = pathpredicate.make_pathpredicate, re.compile(r"^(/var)?/tmp$")
    pathpredicate.make_pathpredicate = lambda patterns, **how: stock([*patterns, folders], **how)


def take_the_applications_files_from_the_tape() -> None:
    """Record files beside the application, and in its working directory, like those under ``/tmp``.

    The engine leaves all other files live: a replay would write them again, over their current content, and
    read what they have become.
    """
    folders = (settings.CURRENT.application, ".")
    roots = {moved.recorded(os.path.realpath(one)) for one in folders if one} - {"/"}
    own = [re.compile(rf"^{re.escape(root)}/") for root in sorted(roots)]
    load_patterns = pathpredicate.load_patterns
    relative = re.compile(r"^[^/]")
    pathpredicate.load_patterns = lambda extra=None: [*load_patterns(extra), relative, *own]


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
