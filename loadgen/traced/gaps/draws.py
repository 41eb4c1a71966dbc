"""What libraries draw while they are imported: a secret, the number of the process, the time.

The engine switches tracing off during imports, and it stays off for libraries: their imports read many files,
and fill caches that a replay finds filled. But what they keep, such as the random part of every identifier
that ``bson`` makes, would be another one in each replay. So the clocks, random numbers and identities that
they ask for are on the tape: those of one library and all that it imports are the result of one call. It is
made after the import while recording, and before it in a replay; no other step of the thread lies between.

A library may ask for something else in a replay, because of a cache. It gets what was recorded for the same
question in the same module, and where nothing was, a live answer.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict, deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retracesoftware import utils

from loadgen.traced.described import DRAWN
from loadgen.traced.schedule import keeping_the_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DRAWS = re.compile(
    r"time\.(?:time|monotonic|perf_counter|process_time|thread_time|clock_gettime)(?:_ns)?|"
    r"(?:nt|posix)\.(?:urandom|getrandom|getpid|getppid)|_?socket\.gethostname|_uuid\.generate_time_safe|"
    r"(?:_?random\.)?Random\.(?:random|getrandbits)|(?:_random\.|random\.)?(?:random|getrandbits)"
)
_OF_PROCESSES = ("posix.", "resource.", "signal.")
_here = os.getpid()
_PLAIN = (bytes, str, int, float, type(None))
_STANDARD = tuple(f"{Path(one).resolve()}/" for one in {sys.base_prefix, sys.base_exec_prefix})
_INSTALLED = re.compile(r"/(?:site|dist)-packages/")
_NOT_ASKED = ("retracesoftware", "loadgen")
"""Packages whose modules are imported at other times in a replay."""


def concerns(namespace: dict[str, Any]) -> bool:
    """Whether a module is a library's, and imported at the same time in both phases."""
    path, name = str(namespace.get("__file__")), str(namespace.get("__name__"))
    is_standard = path.startswith(_STANDARD) and not _INSTALLED.search(path)
    return path.startswith("/") and not is_standard and name.partition(".")[0] not in _NOT_ASKED


_current: list[Draws] = []


def drawing() -> bool:
    """Whether the calling thread is importing a library, and what it draws is on the tape."""
    return bool(_current) and _current[-1].on()


def draw(name: str, live: Callable[..., Any]) -> Any:
    """Return what *live* returns, or what it returned while recording."""
    return _current[-1].draw(name, live)


class Draws:
    """The draws of the imports of libraries, by the main thread, before it serves."""

    def __init__(self, system: Any) -> None:
        self._system, self._records = system, system.retrace_mode == "record"
        self._on = utils.ThreadLocal(None)
        self._library = ""
        """The outermost module that is being imported."""
        self._module = ""
        self._depth = 0
        self._process = 0
        """The number that the process had while recording, if a library was told it."""
        self._made: list[tuple[str, str, tuple[Any, ...], Any]] = []
        self._recorded: dict[Any, deque[Any]] = defaultdict(deque)

        def drawn(library: str) -> list[tuple[str, str, tuple[Any, ...], Any]]:
            del library  # it is on the tape
            made, self._made = self._made, []
            return made

        drawn.__module__, drawn.__qualname__ = DRAWN.split(".")
        self._call = system.gate.apply_with("internal", system.patch_function(drawn))
        for gateway in (system.ext_gateway, system.ext_method_gateway):
            gateway.on_else = self._on.if_then_else(True, self._asked(gateway.on_else), gateway.on_else)
        self._bind: Any = None
        _current.append(self)

    @contextmanager
    def of(self, namespace: dict[str, Any]) -> Iterator[Callable[..., Any]]:
        """Give a function that executes a library's module, whose draws are on the tape."""
        outer, self._module = self._module, str(namespace.get("__name__"))
        self._depth += 1
        try:
            if self._depth == 1:
                self._library = self._module
                self._note_bindings()
                self._begin()
            yield self._on.apply_with(True, exec)
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._end()
            self._module = outer

    @contextmanager
    def between(self) -> Iterator[None]:
        """Interrupt the import of a library: a traced module is imported, which makes steps of its own."""
        depth, library, module = self._depth, self._library, self._module
        if not depth:
            yield
            return
        self._end()
        self._depth = 0
        self._on.set(None)
        try:
            yield
        finally:
            self._on.set(True)
            self._depth, self._library, self._module = depth, library, module
            self._begin()

    def draw(self, name: str, live: Callable[..., Any], *args: Any) -> Any:
        """Return what *live* returns, or what it returned while recording."""
        key = (self._module, name, tuple(one for one in args if isinstance(one, _PLAIN)))
        if self._records:
            value = live(*args)
            if _is_plain(value):
                self._made.append((*key, value))
            return value
        known = self._recorded.get(key)
        if not known:
            return live(*args)
        value = known.popleft()
        if name == "posix.getpid":
            self._process = value
        return value

    def on(self) -> bool:
        """Whether the calling thread executes a library's module."""
        return self._on.get() is not None

    def _asked(self, otherwise: Callable[..., Any]) -> Callable[..., Any]:
        def asked(function: Any, *args: Any, **named: Any) -> Any:
            name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', '')}"
            if named or not _DRAWS.fullmatch(name.removeprefix("None.")):
                return otherwise(function, *self._of_this_process(name, args), **named)
            return self.draw(name, otherwise, function, *args)

        return asked

    def _of_this_process(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of a live call in a replay, in which the process has another number."""
        if not self._process:
            return args
        of_processes = name.startswith(_OF_PROCESSES)
        return tuple(
            _here if of_processes and type(one) is int and one == self._process
            else self._own_folder(one) if isinstance(one, (str, os.PathLike))
            else one
            for one in args
        )  # fmt: skip

    def _own_folder(self, path: str | os.PathLike[str]) -> str | os.PathLike[str]:
        recorded = f"/proc/{self._process}/"
        text = os.fspath(path)
        is_own = isinstance(text, str) and f"{text}/".startswith(recorded)
        return f"/proc/{_here}/{text[len(recorded) :]}" if is_own else path

    def _note_bindings(self) -> None:
        """Binding is a step, as of a class that a library derives from one of the tape.

        Only now: the engine has another function for it while it starts.
        """
        bind = self._system.bind
        if bind is self._bind:
            return

        def bound(target: Any) -> Any:
            with self.between():
                return bind(target)

        self._bind = self._system.bind = self._on.if_then_else(True, bound, bind)

    def _begin(self) -> None:
        if not self._records:
            self._recorded.clear()
            for module, name, args, value in self._taken():
                self._recorded[module, name, tuple(args)].append(value)

    def _end(self) -> None:
        if self._records:
            self._taken()

    def _taken(self) -> Any:
        with keeping_the_turn(self._system):
            return self._call(self._library)


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))
