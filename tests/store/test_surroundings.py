"""What changed around the code: imported libraries, data files, and variables that were passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.core.spec import RunSpec
from loadgen.core.verdict import Altered
from loadgen.engine.interpreter import own
from loadgen.engine.target import Target
from loadgen.store.manifest import Manifest, Result
from loadgen.store.surroundings import altered, changed_packages, data_files, packages

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def manifest(**content: object) -> Manifest:
    """Return the manifest of a run."""
    spec = RunSpec(target=("app.py",), server_env=("FLAG", "GIVEN=1"))
    return Manifest(id="r", created="", spec=spec, **content)  # type: ignore[arg-type]


def test_data_files_are_configuration_and_what_is_served(tmp_path: Path) -> None:
    """Code and templates are digested elsewhere; large files, recordings and other people's are none."""
    ours = ("settings.toml", ".env", "static/logo.bin", "a/page.html")
    others = (
        "app.py",
        "templates/a.html",
        "data.bin",
        "node_modules/a.js",
        "runs/r/run.json",
        "races/r/hunting.json",
        "races/s/race.json",
        ".git/a.ini",
    )
    for name in (*ours, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "large.json").write_bytes(bytes(2 << 20))
    target = Target(("app.py",), ("app.py",), str(tmp_path))
    assert {path.removeprefix(f"{tmp_path}/") for path in data_files(target)} == {*ours}


def test_a_changed_data_file_is_named(tmp_path: Path) -> None:
    """One that is gone is changed, too."""
    for name in ("a.toml", "b.toml", "c.toml"):
        (tmp_path / name).write_text("x = 1")
    files = data_files(Target(("app.py",), ("app.py",), str(tmp_path)))
    (tmp_path / "a.toml").write_text("x = 2")
    (tmp_path / "b.toml").unlink()
    found = altered(manifest(data_files=files), {})
    assert found == [Altered("file", str(tmp_path / name), "", "") for name in ("a.toml", "b.toml")]


def test_a_changed_library_is_named_if_it_was_imported() -> None:
    """Of what is installed, a server may use little: what it did not import is no change of it."""
    here = packages(own())
    other = {**here, "flask": "0.1", "pytest": "0.1", "sqlalchemy-of-old": "1.4"}
    modules = ("flask", "werkzeug", "sqlalchemy_of_old")
    found = changed_packages(manifest(packages=other, result=Result(modules=modules)))
    assert found == [
        Altered("package", "flask", "0.1", here["flask"]),
        Altered("package", "sqlalchemy-of-old", "1.4", ""),
    ]
    assert not changed_packages(manifest(packages=here, result=Result(modules=modules)))
    assert not changed_packages(manifest(packages=other, result=Result(modules=modules), image="python:3"))


def test_a_variable_that_has_another_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only of what was passed on, and without its value, which may be a secret."""
    for name in ("FLAG", "GIVEN", "OTHER"):
        monkeypatch.setenv(name, "now")
    recorded = {"FLAG": "then", "GIVEN": "then", "OTHER": "then"}
    assert altered(manifest(), recorded) == [Altered("variable", "FLAG", "", "")]
    assert not altered(manifest(), {**recorded, "FLAG": "now"})
