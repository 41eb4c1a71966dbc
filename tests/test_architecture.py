"""The shape of the code: imports point inward, the core does no I/O, one adapter a library."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PURE = {
    "__future__", "base64", "collections", "dataclasses", "decimal", "difflib", "enum", "fractions",
    "functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "statistics", "string",
    "textwrap", "typing",
}  # fmt: skip
"""What of the standard library the core may use: no clock, randomness, network, environment or logging."""

RANKS = {
    "loadgen": 0,  # the version
    "loadgen.errors": 0,
    "loadgen.core": 1,
    "loadgen.store": 3,
    "loadgen.engine": 3,
    "loadgen.client": 3,
    "loadgen.runtimes": 4,
    "loadgen.cli": 6,
    "loadgen.__main__": 7,
}
"""How far from the core a part is; it may import what is no farther than itself. What is not named here is a
use case: it knows all but the command line."""
USE_CASE = 5
SEAM = "loadgen.runtimes"

Module = tuple[str, ast.Module]


def modules(package: str) -> list[Module]:
    """Return name and syntax tree of every module of *package*."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, ast.parse(path.read_text(encoding="utf-8"), str(path))))
    assert found
    return found


def imports(tree: ast.Module) -> set[str]:
    """Return the modules that *tree* imports, anywhere in it, each as far as the import names one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                is_module = inner.with_suffix(".py").is_file() or inner.is_dir()
                found.add(f"{node.module}.{alias.name}" if is_module else node.module)
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def rank(name: str) -> int:
    if name == "loadgen":
        return RANKS[name]
    return RANKS.get(".".join(name.split(".")[:2]), USE_CASE)


def ids(module: Module) -> str:
    return module[0]


ALL = modules("loadgen")
TRACED = [one for one in ALL if within(one[0], "loadgen.traced")]
OUTSIDE = [one for one in ALL if not within(one[0], "loadgen.traced")]


@pytest.mark.parametrize("module", [one for one in ALL if within(one[0], "loadgen.core")], ids=ids)
def test_the_core_is_pure(module: Module) -> None:
    """The core imports itself, the errors, and what of the standard library neither acts nor asks."""
    foreign = {
        name
        for name in imports(module[1])
        if name.partition(".")[0] not in PURE
        and not within(name, "loadgen.core")
        and name != "loadgen.errors"
    }
    assert not foreign


@pytest.mark.parametrize("module", [one for one in ALL if within(one[0], "loadgen.core")], ids=ids)
def test_the_core_opens_nothing(module: Module) -> None:
    """The core neither opens files nor asks the user: what needs no import is held to the same rule."""
    called = {
        node.func.id
        for node in ast.walk(module[1])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "input", "exec", "eval", "__import__"}


@pytest.mark.parametrize("module", TRACED, ids=ids)
def test_traced_imports_stdlib_and_engine_only(module: Module) -> None:
    """What runs inside the server brings nothing along that the application does not have."""
    foreign = {
        name
        for name in imports(module[1])
        if name.partition(".")[0] not in sys.stdlib_module_names | {"retracesoftware"}
        and not within(name, "loadgen.traced")
    }
    assert not foreign


def test_the_package_root_imports_nothing() -> None:
    """The root is loaded inside the server under test, so whatever it imports would be, too.

    What a scenario file takes from it is imported when it is asked for.
    """
    script = (
        "import sys; before = {*sys.modules}; import loadgen; "
        "assert {*sys.modules} - before == {'loadgen', '__future__'} - before, {*sys.modules} - before; "
        "from loadgen import User, scenario; "
        "assert not {'httpx', 'anyio'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("module", modules("server_app"), ids=ids)
def test_the_server_app_shares_http_only(module: Module) -> None:
    """The bundled server is a server like any other: it knows nothing of what tests it."""
    assert not {name for name in imports(module[1]) if within(name, "loadgen") or "retrace" in name}


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("retracesoftware", "loadgen.traced"),
        ("typer", "loadgen.cli"),
        ("rich", "loadgen.cli"),
        ("docker", "loadgen.containers.daemon"),
        ("distributed", "loadgen.hunt.cluster"),
        ("h11", "loadgen.client.http_bytes"),
        ("asyncio", "loadgen.client.gateway"),
    ],
)
def test_one_adapter_per_library(library: str, home: str) -> None:
    """Only its adapter imports a foreign library, and maps its errors."""
    users = {name for name, tree in ALL if any(within(one, library) for one in imports(tree))}
    assert not {name for name in users if not within(name, home)}


@pytest.mark.parametrize("module", OUTSIDE, ids=ids)
def test_imports_point_inward(module: Module) -> None:
    """The command line knows the use cases, they the adapters, those the core; nobody knows who uses it."""
    name, tree = module
    if name == "loadgen":  # what it has for scenario files is imported when it is asked for: see above
        return
    inner = {one for one in imports(tree) if within(one, "loadgen")}
    assert not {one for one in inner if rank(one) > rank(name)}
    assert not {one for one in inner if within(one, "loadgen.traced")}, "it runs inside the server"


@pytest.mark.parametrize("module", OUTSIDE, ids=ids)
def test_use_cases_know_no_runtime(module: Module) -> None:
    """Where servers run is wired by the command line: everybody else knows the seam only."""
    name, tree = module
    if within(name, "loadgen.cli") or within(name, SEAM):
        return
    assert not {one for one in imports(tree) if one.startswith(f"{SEAM}.")}


@pytest.mark.parametrize("module", OUTSIDE, ids=ids)
def test_only_the_command_line_prints(module: Module) -> None:
    """Renderers return text; only the command line prints, so that results can be piped."""
    name, tree = module
    if within(name, "loadgen.cli"):
        return
    prints = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "print")
        or (
            isinstance(node, ast.Attribute)
            and node.attr in {"stdout", "stderr"}
            and ast.unparse(node.value) == "sys"
        )
    ]
    assert not prints


@pytest.mark.parametrize("module", ALL, ids=ids)
def test_every_module_states_its_rule(module: Module) -> None:
    """A module's docstring says what it is for."""
    assert ast.get_docstring(module[1])
