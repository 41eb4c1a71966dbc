"""A user's file of scenarios."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.client.python_file import execute
from loadgen.client.scenario import Scenario, mix
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

EXAMPLE = """A scenario is an async function with a decorator:
    from loadgen import scenario
    @scenario
    async def browse(user):
        await user.http.get("/")"""


def named_in_file(given: str) -> bool:
    """Whether *given* is ``file.py`` or ``file.py:name``."""
    return given.endswith(".py") or ".py:" in given


def file_of(given: str) -> Path:
    """Return the file of ``file.py`` or ``file.py:name``."""
    return Path(given if given.endswith(".py") else given.rpartition(":")[0])


def load(given: str) -> Scenario:
    """Return the scenario for *given*, ``file.py`` or ``file.py:name``; for several, a mix of them.

    Raises:
        UsageError: the file or scenario does not exist, or the file has an error; the message says where.
    """
    name = "" if given.endswith(".py") else given.rpartition(":")[2]
    file = file_of(given)
    found = _scenarios(file)
    if not found:
        raise UsageError(f"{file} has no scenario", advice=EXAMPLE)
    if name:
        chosen = next((one for one in found if one.name == name), None)
        if chosen is None:
            known = ", ".join(one.name for one in found)
            raise UsageError(f"{file} has no scenario {name!r}", advice=f"It has: {known}.")
        return replace(chosen, name=f"{file.name}:{name}", file=file.resolve())
    if len(found) == 1:
        return replace(found[0], name=file.name, file=file.resolve())
    return replace(mix(file.name, tuple(found)), file=file.resolve())


def _scenarios(file: Path) -> list[Scenario]:
    """Run *file* as a module, and return its scenarios, in order."""
    module = execute(file, "scenario")
    found = {name: one for name, one in vars(module).items() if isinstance(one, Scenario)}
    _refuse_replaced(file, found)
    return list({id(one): one for one in found.values()}.values())


def _refuse_replaced(file: Path, names: Collection[str]) -> None:
    """Refuse a second scenario with one of the *names*: Python keeps only the last."""
    lines: dict[str, int] = {}
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.AsyncFunctionDef) and node.decorator_list and node.name in names:
            first = lines.setdefault(node.name, node.lineno)
            if first != node.lineno:
                raise UsageError(
                    f"{file}, line {node.lineno}: a scenario {node.name!r} is in line {first}, too",
                    advice="Give one of them another name: only the last one would run.",
                )
