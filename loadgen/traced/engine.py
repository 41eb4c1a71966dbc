"""Runs the engine in this process, as the last step of starting a traced server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def run(
    arguments: Sequence[str], import_from: str | None, at_end: Callable[[], object] = lambda: None
) -> None:
    """Run the engine's command line with *arguments*; *import_from* is put first on ``sys.path``.

    *at_end* is called, in the trace, when the program's main thread has come to its end.
    """
    if import_from:
        sys.path.insert(0, import_from)

    from retracesoftware import __main__ as engine  # noqa: PLC0415 - only now: it must see the workarounds

    run_program = engine.run_python_command

    def run_all(command: list[str]) -> Any:
        code = run_program(command)
        at_end()
        return code

    engine.run_python_command = run_all
    sys.argv = ["retracesoftware", *arguments]
    engine.main()
