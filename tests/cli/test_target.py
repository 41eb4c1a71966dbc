"""The target: a script, an application or the bundled server, and nothing that is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.errors import UsageError
from loadgen.target import BUNDLED, Target, resolve

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the working directory, with a script in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "serve.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("name", [None, BUNDLED])
def test_nothing_is_the_bundled_server(name: str | None) -> None:
    """Without a name, or by its own, the bundled server is meant; it is imported from where loadgen is."""
    assert resolve(name) == Target("server_app", ("-m", "server_app"), "")


@pytest.mark.parametrize("absolute", [False, True])
def test_a_script_is_run_from_its_own_folder(here: Path, *, absolute: bool) -> None:
    """A script keeps the user's name for it, is run by its full path, and imports what lies beside it."""
    name = str(here / "sub" / "serve.py") if absolute else "sub/serve.py"
    script = (here / "sub" / "serve.py").resolve()
    assert resolve(name) == Target(name, (str(script),), str(script.parent))


@pytest.mark.parametrize("name", ["app:app", "package.module:application", "app:create_app()"])
def test_an_application_is_run_by_flask(here: Path, name: str) -> None:
    """``module:app`` is run by Flask without reloader and debugger, imported from the working directory."""
    assert resolve(name) == Target(
        name, ("-m", "flask", "--app", name, "run", "--no-reload", "--no-debugger"), str(here)
    )


@pytest.mark.parametrize("name", ["gone.py", "sub/gone.py", ".py"])
def test_a_missing_script_is_refused(here: Path, name: str) -> None:
    """A script that is not there is named."""
    with pytest.raises(UsageError, match=f"there is no script {name}"):
        resolve(name)


def test_a_folder_is_no_script(here: Path) -> None:
    """A folder called like a script is none."""
    (here / "folder.py").mkdir()
    with pytest.raises(UsageError, match="there is no script"):
        resolve("folder.py")


@pytest.mark.parametrize(
    "name",
    ["", "app", "serve.txt", ":app", "app:", ":", "a b:app", "a..b:app", ".a:app", "1a:app", "sub/serve:app"],
)
def test_anything_else_is_refused(here: Path, name: str) -> None:
    """What is neither script nor application is refused with an example of both."""
    with pytest.raises(UsageError, match="is no target") as caught:
        resolve(name)
    assert "serve.py" in caught.value.advice
    assert "module:app" in caught.value.advice
