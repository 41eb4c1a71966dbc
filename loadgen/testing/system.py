"""A fake of the engine's ``system``, as the request boundary uses it: without tape and proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeSystem:
    """Notes checkpoints; *fail* may raise instead of one, as the engine does if a replay differs."""

    def __init__(self, mode: str, fail: Callable[[tuple[Any, ...]], None] = lambda _: None) -> None:
        self.retrace_mode = mode
        self.checkpoints: list[tuple[Any, ...]] = []
        self.threads: list[int] = []
        """The logical threads that entered."""
        self.gate = self
        self._thread_id = self
        self._fail = fail

    def set(self, thread: int) -> None:
        """Name the calling thread; see the engine's ``_thread_id``."""
        self.threads.append(thread)

    def checkpoint(self, value: tuple[Any, ...]) -> None:
        """Note a checkpoint, or fail at it."""
        self._fail(value)
        self.checkpoints.append(value)

    @staticmethod
    def apply_with(_: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return *call*, traced: see the engine's ``gate``."""
        return call

    @staticmethod
    def thread_wrapper(call: Callable[..., Any]) -> Callable[..., Any]:
        """Return *call*, as one logical thread."""
        return call

    @staticmethod
    def patch_function(call: Callable[..., Any]) -> Callable[..., Any]:
        """Return *call*, with its results on the tape."""
        return call

    @staticmethod
    def disable_for(call: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        """Return *call*, off the tape."""
        return call
