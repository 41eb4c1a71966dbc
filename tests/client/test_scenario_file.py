"""A user's scenario file: its features, and that every error in it is reported with its line."""

from __future__ import annotations

import sys
import textwrap
from random import Random
from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import scenario
from loadgen.client.scenario_file import load, named_in_file
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.scenario import User

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test's file imported."""
    monkeypatch.setattr(sys, "path", sys.path[:])


def write(path: Path, source: str, name: str = "shop.py") -> str:
    (path / name).write_text(textwrap.dedent(source), encoding="utf-8")
    return str(path / name)


TWO = """
    from loadgen import User, scenario

    async def sign_in(user): user.data["in"] = True
    async def sign_out(user): ...

    @scenario(weight=3, think=(0.5, 2), setup=sign_in, teardown=sign_out)
    async def browse(user: User) -> None:
        '''Look around.'''
        user.data["did"] = "browse"

    @scenario(setup=sign_in, concurrency=2, iterations=3)
    async def buy(user):
        await browse(user)
        user.data["did"] += " and buy"

    async def helper(user): ...
"""


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("a.py", True),
        ("a.py:b", True),
        ("/x:y/a.py", True),
        ("mixed", False),
        ("a.pyc", False),
        ("a:b", False),
    ],
)
def test_what_names_a_file(given: str, means: bool) -> None:  # noqa: FBT001
    """A name that has .py in it means a file; any other a built-in scenario."""
    assert named_in_file(given) is means


async def test_a_named_scenario(tmp_path: Path) -> None:
    """One of a file's scenarios is chosen by its name, with what its decorator says; one may call another."""
    found = load(write(tmp_path, TWO) + ":buy")
    assert (found.name, found.concurrency, found.iterations, found.think) == ("shop.py:buy", 2, 3, (0, 0))
    user = FakeUser()
    await found.run(user)  # type: ignore[arg-type]
    assert user.data["did"] == "browse and buy"


def test_several_are_picked_by_weight(tmp_path: Path) -> None:
    """Without a name, each iteration is one of them by weight, of the user's own choice; set-up is once."""
    found = load(write(tmp_path, TWO))
    assert found.name == "shop.py"
    assert [(part.name, part.weight, part.think) for part in found.parts] == [
        ("browse", 3, (0.5, 2)),
        ("buy", 1, (0, 0)),
    ]
    assert found.parts[0].summary == "Look around."
    picked = [found.pick(Random(7)).name for _ in range(3)]
    assert len({*picked}) == 1, "it does not follow the seed"
    rng = Random(1)
    browsed = sum(found.pick(rng).name == "browse" for _ in range(4000))
    assert 2800 < browsed < 3200
    assert [step.__name__ for step in found.setups()] == ["sign_in"]
    assert [step.__name__ for step in found.teardowns()] == ["sign_out"]


def test_the_only_scenario_is_the_files(tmp_path: Path) -> None:
    """A file with one scenario needs no name; the bare decorator is enough; what lies beside is imported."""
    write(tmp_path, "PATH = '/x'", "beside_shop.py")
    found = load(
        write(
            tmp_path,
            """
            from beside_shop import PATH
            from loadgen import scenario
            @scenario
            async def browse(user): await user.http.get(PATH)
            """,
        )
    )
    assert (found.name, found.parts, found.concurrency, found.iterations) == ("shop.py", (), 8, 10)
    assert found.file == tmp_path / "shop.py"


def test_an_edited_file_is_read_anew(tmp_path: Path) -> None:
    """What counts is what the file says now, even if it was edited within the same second."""
    for weight in (3, 5):
        source = f"from loadgen import scenario\n@scenario(weight={weight})\nasync def a(user): ...\n"
        assert load(write(tmp_path, source)).weight == weight


IMPORT = "from loadgen import scenario\n"


@pytest.mark.parametrize(
    ("source", "line", "says", "advises"),
    [
        ("def broken(:", 1, "invalid syntax", "def broken(:"),
        ("x = 1\nx +=", 2, "invalid syntax", "x +="),
        ("\n\nimport no_such_module_anywhere", 3, "no_such_module_anywhere", "line 3"),
        ("def f():\n    1 / 0\nf()", 2, "ZeroDivisionError", "line 3"),
        ("import sys; sys.exit(4)", 1, "SystemExit: 4", "line 1"),
        (
            IMPORT + "@scenario\ndef browse(user): ...",
            2,
            "browse is not an async function",
            "async def browse",
        ),
        (
            IMPORT + "@scenario\nasync def browse(user): yield",
            2,
            "browse has a yield",
            "Leave out the yield",
        ),
        (
            IMPORT + "@scenario\nasync def a(user): ...\n@scenario(weight=2)\nasync def a(user): ...",
            5,
            "a scenario 'a' is in line 3, too",
            "another name",
        ),
        (
            IMPORT + "@scenario\nasync def browse(): ...",
            2,
            "one argument, the user",
            "async def browse(user)",
        ),
        (IMPORT + "@scenario\nclass Browse: ...", 2, "Browse is not an async function", "async def"),
        (
            IMPORT + "@scenario(weight=0)\nasync def a(user): ...",
            2,
            "weight must be a number above 0, not 0",
            "",
        ),
        (IMPORT + "@scenario(weight='3')\nasync def a(user): ...", 2, "not '3'", ""),
        (IMPORT + "@scenario(weight=float('nan'))\nasync def a(user): ...", 2, "not nan", ""),
        (IMPORT + "@scenario(think=-1)\nasync def a(user): ...", 2, "think must be seconds", ""),
        (IMPORT + "@scenario(think=(2, 1))\nasync def a(user): ...", 2, "not (2, 1)", ""),
        (
            IMPORT + "@scenario(iterations=0)\nasync def a(user): ...",
            2,
            "iterations must be a number from 1",
            "",
        ),
        (IMPORT + "@scenario(setup=lambda user: 1)\nasync def a(user): ...", 2, "not an async function", ""),
        (IMPORT + "@scenario(waight=1)\nasync def a(user): ...", 2, "TypeError: ", "line 2"),
    ],
)
def test_mistakes_are_told_with_their_line(
    tmp_path: Path, source: str, line: int, says: str, advises: str
) -> None:
    """An error in a file is a usage error with file and line, without loadgen's own code in the message."""
    file = write(tmp_path, source)
    with pytest.raises(UsageError) as caught:
        load(file)
    assert caught.value.message.startswith(f"{file}, line {line}: ")
    assert says in caught.value.message
    assert advises in caught.value.advice
    assert "client/scenario" not in caught.value.advice
    assert "importlib" not in caught.value.advice


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x = '\x00'"])
def test_what_is_no_source_is_told(tmp_path: Path, content: bytes) -> None:
    """A file that is no Python source is a usage error that names it."""
    (tmp_path / "shop.py").write_bytes(content)
    with pytest.raises(UsageError, match=r"shop\.py"):
        load(str(tmp_path / "shop.py"))


def test_no_such_file_or_scenario(tmp_path: Path) -> None:
    """The message names the missing one, and those that exist."""
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load(str(tmp_path / "none.py"))
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, TWO) + ":sell")
    assert "'sell'" in caught.value.message
    assert "browse, buy" in caught.value.advice
    with pytest.raises(UsageError, match="has no scenario") as caught:
        load(write(tmp_path, "x = 1"))
    assert "@scenario" in caught.value.advice


def test_a_scenario_is_decorated_once() -> None:
    """Decorating twice is an error."""

    @scenario
    async def browse(user: User) -> None: ...

    with pytest.raises(UsageError, match="browse is already a scenario"):
        scenario(browse)


class FakeUser:
    """The parts of a user that a test's scenario uses."""

    def __init__(self) -> None:
        self.data: dict[str, object] = {}
