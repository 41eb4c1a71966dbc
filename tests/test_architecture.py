"""The shape of the code: imports point inward, the core does no I/O, one adapter a library."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.once, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
PURE = {
    "__future__", "base64", "collections", "dataclasses", "decimal", "difflib", "enum", "fractions",
    "functools", "hashlib", "heapq", "ipaddress", "itertools", "json", "math", "msgspec", "operator", "re",
    "shlex", "statistics", "string", "textwrap", "types", "typing",
}  # fmt: skip
"""What the core may use: no clock, randomness, network, environment or logging."""

PARTS = (
    ("loadgen", "errors", "protocol"), ("core",), ("statements",), ("secrets",), ("engine",), ("store",),
    ("client",), ("modes",),
    ("record",), ("verify",), ("diff",), ("check",), ("containers",), ("discovery",), ("convention",),
    ("dispatch",), ("init",), ("doctor",), ("debugging",), ("suite",), ("thin",), ("accept",),
    ("hunt",), ("hazards",),
    ("report",), ("testing",), ("cli",), ("pytest_plugin",), ("worker",), ("warm",), ("__main__",),
)  # fmt: skip
"""The parts of the package, from the inside out: each knows those before it, and none behind it."""
ENTRIES = {"loadgen.worker": "loadgen.core.jobs", "loadgen.warm": "loadgen.core.jobs",
           "loadgen.traced": "loadgen.engine.retrace",
           "loadgen.traced.application": "loadgen.engine.target",
           "loadgen.traced.process": "loadgen.engine.retrace"}  # fmt: skip
"""What other processes are started with, and where its name stands: to start one is not to know it."""

Module = tuple[str, ast.Module]


@functools.cache
def modules(package: str) -> list[Module]:
    """Return name and syntax tree of every module of *package*."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, ast.parse(path.read_text(encoding="utf-8"), str(path))))
    assert found
    return found


@functools.cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Return the nodes of *tree*: most rules look at all of them."""
    return tuple(ast.walk(tree))


@functools.cache
def imports(tree: ast.Module) -> set[str]:
    """Return the modules that *tree* imports, anywhere in it, each as far as the import names one."""
    found: set[str] = set()
    for node in nodes(tree):
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
    """Return how far out a module is; a part that nobody has placed is an error."""
    part = name.split(".")[1] if "." in name else name
    return next(at for at, parts in enumerate(PARTS) if part in parts)


@functools.cache
def named(tree: ast.Module) -> set[str]:
    """Return the modules of the package that *tree* names in strings, but not in its prose."""
    known = {name for name, _ in modules("loadgen")} - {"loadgen"}
    return {
        node.value
        for node in nodes(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in known
    }


@functools.cache
def graph() -> dict[str, set[str]]:
    """Return who knows whom: imports wherever they stand, those for annotations, and names in strings."""
    known = {name for name, _ in modules("loadgen")}
    return {
        name: ((imports(tree) | (named(tree) - {*ENTRIES})) & known) - {name, "loadgen"}
        for name, tree in modules("loadgen")
    }


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of modules that know each other, directly or through others."""
    reach = {name: set[str]() for name in edges}
    for name, seen in reach.items():
        left = [*edges[name]]
        while left:
            if (one := left.pop()) not in seen:
                seen.add(one)
                left += edges[one]
    found = [{other for other in reach[name] if name in reach[other]} for name in edges]
    return [group for at, group in enumerate(found) if group and group not in found[:at]]


def traced() -> list[Module]:
    return [one for one in modules("loadgen") if within(one[0], "loadgen.traced")]


def outside() -> list[Module]:
    return [one for one in modules("loadgen") if not within(one[0], "loadgen.traced")]


def core() -> list[Module]:
    return [one for one in modules("loadgen") if within(one[0], "loadgen.core")]


def offenders(among: list[Module], find: Callable[[Module], object]) -> dict[str, object]:
    """Return what *find* finds in each module of *among* where it finds anything."""
    return {module[0]: found for module in among if (found := find(module))}


def test_the_core_is_pure() -> None:
    """The core imports itself, the errors, and what of the standard library neither acts nor asks."""

    def foreign(module: Module) -> set[str]:
        return {
            name
            for name in imports(module[1])
            if name.partition(".")[0] not in PURE
            and not within(name, "loadgen.core")
            and name not in {"loadgen.errors", "loadgen.protocol", "loadgen"}
        }

    assert not offenders(core(), foreign)


def test_the_core_opens_nothing() -> None:
    """The core neither opens files nor asks the user: what needs no import is held to the same rule."""

    def acts(module: Module) -> set[str]:
        called = {
            node.func.id
            for node in nodes(module[1])
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        return called & {"open", "input", "exec", "eval", "__import__"}

    assert not offenders(core(), acts)


def test_traced_imports_stdlib_and_engine_only() -> None:
    """What runs inside the server brings nothing along that the application does not have."""
    allowed = sys.stdlib_module_names | {"retracesoftware"}

    def foreign(module: Module) -> set[str]:
        return {
            name
            for name in imports(module[1])
            if name.partition(".")[0] not in allowed
            and not within(name, "loadgen.traced")
            and name != "loadgen.protocol"
        }

    assert not offenders(traced(), foreign)


def test_the_protocol_imports_nothing() -> None:
    """Both sides of the boundary share it, so it brings nothing along, not even from the standard library."""
    (protocol,) = (tree for name, tree in modules("loadgen") if name == "loadgen.protocol")
    assert not imports(protocol)


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


def test_recording_imports_nothing_of_verifying() -> None:
    """Each trial of a hunt is a process of its own, and the parser of SQL takes most of its start."""
    script = "import sys, loadgen.dispatch; assert not {'loadgen.verify', 'sqlglot'} & {*sys.modules}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_server_app_shares_http_only() -> None:
    """The bundled server is a server like any other: it knows nothing of what tests it."""

    def ours(module: Module) -> set[str]:
        return {name for name in imports(module[1]) if within(name, "loadgen") or "retrace" in name}

    assert not offenders(modules("server_app"), ours)


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("retracesoftware", "loadgen.traced"),
        ("typer", "loadgen.cli"),
        ("rich", "loadgen.cli"),
        ("docker", "loadgen.containers.daemon"),
        ("distributed", "loadgen.hunt.cluster"),
        ("coverage", "loadgen.report.coverage"),
        ("h11", "loadgen.client.http_bytes"),
        ("cryptography", "loadgen.secrets.vault"),
        ("detect_secrets", "loadgen.secrets.detector"),
        ("asyncio", "loadgen.client"),
    ],
)
def test_one_adapter_per_library(library: str, home: str) -> None:
    """Only its adapter imports a foreign library, and maps its errors."""
    users = {name for name, tree in modules("loadgen") if any(within(one, library) for one in imports(tree))}
    serves = (
        {"loadgen.traced.asgi"} if library == "asyncio" else set()
    )  # applications that are written for it
    assert not {name for name in users - serves if not within(name, home)}


def test_imports_point_inward() -> None:
    """Each part knows those further in; nobody knows who uses it. The graph has every kind of edge."""

    def outward(module: Module) -> set[str]:
        name, _ = module
        if name == "loadgen":  # what it has for scenario files is imported when it is asked for: see above
            return set()
        return {
            one for one in graph()[name] if within(one, "loadgen.traced") or rank(one) > rank(name)
        }  # what is traced runs inside the server: nobody outside imports it

    assert not offenders(outside(), outward)


def test_there_are_no_circles() -> None:
    """No two modules know each other, not even for an annotation."""
    assert circles(graph()) == []


def test_a_circle_would_be_found() -> None:
    """The test above is able to fail."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]


def test_a_part_that_nobody_placed_is_an_error() -> None:
    """A new part of the package has to be given its place among the others."""
    with pytest.raises(StopIteration):
        rank("loadgen.utils")


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_is_named_once(entry: str) -> None:
    """The name of what another process is started with stands in one place."""
    assert {name for name, tree in outside() if entry in named(tree)} == {ENTRIES[entry]}


def test_modes_and_hosts_are_chosen_in_one_place() -> None:
    """Which mode, and where, is decided by the dispatcher; everybody else knows the seams only."""
    chosen = {"loadgen.modes.local", "loadgen.modes.process", "loadgen.modes.client"}
    users = {name for name, inner in graph().items() if inner & chosen}
    assert users == {"loadgen.dispatch"}


def test_only_the_command_line_prints() -> None:
    """Renderers return text; only the command line prints, so that results can be piped."""

    def prints(module: Module) -> list[int]:
        name, tree = module
        clients = {"loadgen.client.session_process", "loadgen.client.session_part"}
        processes = {"loadgen.worker", *clients, "loadgen.engine.probe"}  # which print for their parent
        if within(name, "loadgen.cli") or name in processes:
            return []
        return [
            node.lineno
            for node in nodes(tree)
            if (isinstance(node, ast.Name) and node.id == "print")
            or (
                isinstance(node, ast.Attribute)
                and node.attr in {"stdout", "stderr"}
                and ast.unparse(node.value) == "sys"
            )
        ]

    assert not offenders(outside(), prints)


def test_every_module_states_its_rule() -> None:
    """A module's docstring says what it is for."""
    assert not offenders(modules("loadgen"), lambda module: not ast.get_docstring(module[1]))


SENTENCES = frozenset({"why", "message", "evidence", "advice", "headline", "lead", "problem"})
"""Names of what is written for people: nothing reads it back."""
READ = frozenset({"startswith", "endswith", "removeprefix", "find", "index", "partition"})


def reads_a_sentence(node: ast.AST) -> bool:
    """Say whether *node* decides something on a sentence: on how it begins, or on what is in it."""

    def sentence(value: ast.expr) -> bool:
        name = (
            value.attr
            if isinstance(value, ast.Attribute)
            else value.id
            if isinstance(value, ast.Name)
            else ""
        )
        return name in SENTENCES

    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in READ:
            return sentence(value)
        case ast.Call(func=ast.Attribute(attr="match" | "search" | "fullmatch"), args=arguments):
            return any(map(sentence, arguments))
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]):
            return sentence(right) and isinstance(left, ast.Constant | ast.Name)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[ast.Constant(value=str())]):
            return sentence(left)
    return False


def test_no_sentence_is_a_protocol() -> None:
    """Whose fault it is, and what a verdict is, is decided on codes: never on how a sentence begins."""

    def decides(module: Module) -> list[int]:
        return [node.lineno for node in nodes(module[1]) if reads_a_sentence(node)]  # type: ignore[attr-defined]

    assert not offenders(modules("loadgen"), decides)


@pytest.mark.parametrize(
    "decides",
    [
        "left.why.startswith('the recording ends')", "NOT_RECORDED.match(one.evidence)",
        "'engine' in reason.message", "why == 'the recording ends here'", "evidence.partition(':')",
    ],
)  # fmt: skip
def test_a_decision_on_a_sentence_is_seen(decides: str) -> None:
    """The test above finds what it is for."""
    assert any(map(reads_a_sentence, ast.walk(ast.parse(decides))))


_COMMANDS = "record|verify|diff|report|export|runs|accept|thin|stress|shrink|races|debug|init|doctor|hazards"
_BEGUN = re.compile(rf"loadgen (?:{_COMMANDS})(?: -\S+)* $")


def puts_in_words(node: ast.AST) -> bool:
    """Whether *node* puts values into the text of a command, or joins the words of one."""
    if isinstance(node, ast.JoinedStr):
        pairs = itertools.pairwise(node.values)
        return any(
            isinstance(text, ast.Constant)
            and _BEGUN.search(str(text.value))
            and isinstance(value, ast.FormattedValue)
            for text, value in pairs
        )
    return (
        isinstance(node, ast.Call) and "'loadgen'" in ast.unparse(node) and "shlex.join" in ast.unparse(node)
    )


def test_commands_are_written_by_one_function() -> None:
    """So that every command that is shown works in a shell, whatever the names in it."""
    found = {name for name, tree in modules("loadgen") for node in nodes(tree) if puts_in_words(node)}
    # The names of a test suite are no commands.
    assert found <= {"loadgen.core.option", "loadgen.report.junit", "loadgen.report.suite"}


@pytest.mark.parametrize(
    "told",
    ["f'next loadgen verify {run}'", "f'loadgen record --run {a}/b'", "shlex.join(['loadgen', *words])"],
)
def test_a_command_that_is_put_together_is_seen(told: str) -> None:
    """The test above finds what it is for."""
    assert any(map(puts_in_words, ast.walk(ast.parse(told))))


def test_a_class_name_stands_once() -> None:
    """A class name means one thing in the whole package."""
    stands: dict[str, list[str]] = {}
    for name, tree in modules("loadgen"):
        for node in nodes(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                stands.setdefault(node.name, []).append(name)
    twice = {name: where for name, where in stands.items() if len(where) > 1}
    # Of the traced side, and of the vocabulary: the same thing.
    assert set(twice) <= {"Choice", "Deadlock", "Request"}, twice
