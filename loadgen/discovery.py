"""Finds the application in a folder, and how it is started, without running any of its code."""

from __future__ import annotations

import ast
import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen.engine.target import directory
from loadgen.store.code_digests import folders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadgen.core.spec import RunSpec

ENVIRONMENTS = (".venv", "venv", "env")
"""Usual names of the folder of a virtual environment."""
MOST = 2000
"""Maximum number of files that are read."""
_FRAMEWORKS = {
    "Flask": "Flask",
    "Bottle": "Bottle",
    "App": "Falcon",
    "get_wsgi_application": "Django",
    "make_wsgi_app": "Pyramid",
    "FastAPI": "FastAPI",
    "Starlette": "Starlette",
    "Quart": "Quart",
    "Litestar": "Litestar",
}
"""Calls that make an application, with their framework."""
_FACTORIES = frozenset({"create_app", "make_app", "app_factory"})
_CALLS = _FRAMEWORKS | {name: f"a result of {name}" for name in _FACTORIES}
_SERVES = frozenset({"run", "run_simple", "serve", "serve_forever"})
SOURCES = "src"
"""Usual name of the folder of packages that are found only when installed, or with it on Python's path."""
_TESTS = frozenset({"tests", "test", "docs", "examples", "migrations", "build", "dist"})
_PROCESSES = re.compile(r"--?w(?:orkers)?[= ]*\d+|--bind[= ]*\S+|-b *\S+|--port[= ]*\S+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to start a server in the folder."""

    target: tuple[str, ...]
    why: str
    """What in which file suggests it."""
    rank: int
    """A smaller one is tried first."""
    cwd: str | None = None
    """Where it is started, if not in the folder itself."""

    def started(self, spec: RunSpec) -> RunSpec:
        """Return *spec* with this target, if it was found in the working directory of *spec*."""
        cwd = spec.cwd if self.cwd is None else os.path.join(spec.cwd or "", self.cwd)  # noqa: PTH118 - a text
        return replace(spec, target=self.target, cwd=cwd)


@dataclass(frozen=True, slots=True)
class Findings:
    """What there is in a folder."""

    candidates: tuple[Candidate, ...]
    python: str | None
    """The folder of its virtual environment, if it has one."""
    unreadable: tuple[str, ...] = ()
    """Files that are not valid Python, with the reason."""

    def python_for(self, spec: RunSpec) -> str | None:
        """Return the Python of *spec*, or the folder's own, if it is the working directory of *spec*."""
        if spec.python is not None or self.python is None:
            return spec.python
        return os.path.join(spec.cwd or "", self.python)  # noqa: PTH118 - a text


def look(folder: Path) -> Findings:
    """Return what there is in *folder*.

    Raises:
        UsageError: it does not exist.
    """
    directory(folder)
    found, unreadable = list[Candidate](), list[str]()
    sources = (folder / SOURCES).is_dir() and not (folder / SOURCES / "__init__.py").exists()
    for number, path in enumerate(_modules(folder)):
        if number == MOST:
            break
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError as error:
            unreadable.append(f"{path.relative_to(folder)}, line {error.lineno}: {error.msg}")
            continue
        except (OSError, ValueError):
            continue
        where = path.relative_to(folder)
        found += _of_module(tree, where, sources=sources)
    found += _of_procfile(folder)
    ranked = sorted(found, key=lambda one: (one.rank, len(one.target[0]), one.target))
    own = next((name for name in ENVIRONMENTS if (folder / name / "bin" / "python").exists()), None)
    return Findings(tuple(dict.fromkeys(ranked)), own, tuple(unreadable))


def _modules(folder: Path) -> Iterator[Path]:
    for here, names in folders(folder):
        parts = here.relative_to(folder).parts
        if _TESTS.isdisjoint(parts):
            yield from (
                here / name for name in names if name.endswith(".py") and not name.startswith("test_")
            )


def _of_module(tree: ast.Module, where: Path, *, sources: bool) -> Iterator[Candidate]:
    parts = [*where.parent.parts, *([] if where.name == "__init__.py" else [where.stem])]
    cwd = SOURCES if sources and parts[:1] == [SOURCES] else None
    if cwd is not None:
        del parts[0]
    module = ".".join(parts)
    importable = module and all(part.isidentifier() for part in parts)
    for variable, framework in _assigned(tree, _CALLS) if importable else ():
        yield Candidate((f"{module}:{variable}",), f"{framework}, {variable} in {where}", 1, cwd)
    for node in tree.body:
        if importable and isinstance(node, ast.FunctionDef) and node.name in _FACTORIES and not _needs(node):
            yield Candidate((f"{module}:{node.name}",), f"the factory {node.name} in {where}", 2, cwd)
    called = {_name(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if called & _SERVES and any(isinstance(node, ast.If) for node in tree.body):
        yield Candidate((str(where),), f"the script {where} serves", 4)


def _assigned(tree: ast.Module, calls: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the module's variables that hold the result of one of *calls*, with what is said of it."""
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=variable)], value=ast.Call() as call)
                | ast.AnnAssign(target=ast.Name(id=variable), value=ast.Call() as call)
            ):
                if (name := _name(call)) in calls:
                    yield variable, calls[name]


def _needs(function: ast.FunctionDef) -> bool:
    """Whether *function* needs arguments."""
    given = function.args
    return len(given.posonlyargs + given.args) > len(given.defaults) or None in given.kw_defaults


def _name(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _of_procfile(folder: Path) -> Iterator[Candidate]:
    try:
        lines = (folder / "Procfile").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        kind, colon, command = line.partition(":")
        if kind.strip() != "web" or not colon:
            continue
        try:
            words = shlex.split(_PROCESSES.sub("", command))
        except ValueError:
            continue
        if words and "$" not in " ".join(words):
            yield Candidate(tuple(words), "the line web of the Procfile", 3)
