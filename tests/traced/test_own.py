"""The application's own code: in its folder, or in the package that is really served, found by its file."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from loadgen.traced import settings
from loadgen.traced.own import Own

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def serve(monkeypatch: pytest.MonkeyPatch, **files: Path) -> None:
    """Import the modules *files*; one in ``__init__.py`` is a package."""
    for name, file in files.items():
        module = ModuleType(name)
        module.__file__ = str(file)
        if file.name == "__init__.py":
            module.__path__ = [str(file.parent)]
        monkeypatch.setitem(sys.modules, name, module)


def test_a_library_with_a_file_of_the_same_name_is_not_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application in app.py does not make Flask's own app.py the application's."""
    monkeypatch.setattr(settings.CURRENT, "application", str(tmp_path / "shop"))
    serve(monkeypatch, app=tmp_path / "shop" / "app.py")
    own = Own(["app"])
    assert own(str(tmp_path / "shop" / "app.py"))
    assert own(str(tmp_path / "shop" / "store.py"))
    site = tmp_path / "shop" / ".venv" / "lib" / "site-packages"
    for library in (site, tmp_path / "site-packages"):
        for name in ("flask/app.py", "flask/sansio/app.py", "app/models.py", "app.py"):
            assert not own(str(library / name))


def test_an_installed_package_that_is_served_is_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is installed, also among the libraries in the application's folder."""
    monkeypatch.setattr(settings.CURRENT, "application", str(tmp_path))
    site = tmp_path / ".venv" / "lib" / "site-packages"
    serve(monkeypatch, shop=site / "shop" / "__init__.py")
    own = Own(["shop"])
    assert own(str(site / "shop" / "views.py"))
    assert not own(str(site / "shopping" / "views.py"))
    assert not own(str(site / "flask" / "shop" / "views.py"))


def test_a_module_that_python_runs_is_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """python -m serve: it is in no module of its name."""
    monkeypatch.setattr(settings.CURRENT, "application", str(tmp_path))
    main = ModuleType("__main__")
    main.__file__ = str(tmp_path / "site-packages" / "serve.py")
    main.__spec__ = type("Spec", (), {"name": "serve"})()
    monkeypatch.setitem(sys.modules, "__main__", main)
    own = Own(["serve"])
    assert own(main.__file__)
    assert not own(str(tmp_path / "site-packages" / "flask" / "serve.py"))
