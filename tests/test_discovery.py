"""What a folder contains: applications, how they are started, and what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.core.spec import RunSpec
from loadgen.discovery import look

if TYPE_CHECKING:
    from pathlib import Path


def targets(folder: Path) -> list[str]:
    return [" ".join(one.target) for one in look(folder).candidates]


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("shop.py", "import flask\napp = flask.Flask(__name__)", ["shop:app"]),
        ("shop.py", "from flask import Flask\nweb: Flask = Flask('x')", ["shop:web"]),
        ("a/b.py", "app = bottle.Bottle()", ["a.b:app"]),
        ("a/__init__.py", "def create_app(config=None, *, name='a'): ...", ["a:create_app"]),
        ("wsgi.py", "from shop import create_app\napp = create_app('production')", ["wsgi:app"]),
        ("a.py", "def create_app(config): ...\ndef make_app(*, name): ...", []),
        ("p/wsgi.py", "application = get_wsgi_application()", ["p.wsgi:application"]),
        ("serve.py", "if __name__ == '__main__':\n    make().run(port=1)", ["serve.py"]),
        ("my-serve.py", "app = Flask()\nif __name__ == '__main__':\n    app.run()", ["my-serve.py"]),
        ("shop.py", "app = Flask(\n", []),
        ("shop.py", "def inner():\n    app = Flask(__name__)", []),
        ("tests/shop.py", "app = Flask(__name__)", []),
        ("test_shop.py", "app = Flask(__name__)", []),
        (".venv/lib/shop.py", "app = Flask(__name__)", []),
        ("Procfile", "web: gunicorn -w 4 --threads 8 shop:app\nworker: x", ["gunicorn --threads 8 shop:app"]),
        ("Procfile", "web: gunicorn --bind 0.0.0.0:$PORT -b :$PORT shop:app", ["gunicorn shop:app"]),
        ("Procfile", "web: run $X", []),
        ("Procfile", "web: 'open", []),
    ],
)
def test_candidates(tmp_path: Path, name: str, source: str, found: list[str]) -> None:
    """They are read from the code, which is not run."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(source)
    assert targets(tmp_path) == found


def test_sources_are_where_modules_are_found(tmp_path: Path) -> None:
    """A package below src is imported by its own name, as if installed; src itself can be a package."""
    (tmp_path / "src" / "shop").mkdir(parents=True)
    (tmp_path / "src" / "shop" / "__init__.py").write_text("def create_app(): ...")
    (found,) = look(tmp_path).candidates
    assert (found.target, found.cwd) == (("shop:create_app",), "src")
    assert found.started(RunSpec(cwd="there")).cwd == "there/src"
    (tmp_path / "src" / "__init__.py").touch()
    (found,) = look(tmp_path).candidates
    assert (found.target, found.started(RunSpec()).cwd) == (("src.shop:create_app",), None)


def test_what_is_tried_first(tmp_path: Path) -> None:
    """An application before a factory, a declared command, and a script; a short name before a long one."""
    (tmp_path / "long_name.py").write_text("app = Flask(__name__)\nif 1:\n    app.run()")
    (tmp_path / "shop.py").write_text("app = Flask(__name__)\ndef create_app(): ...")
    (tmp_path / "Procfile").write_text("web: waitress-serve shop:app")
    assert targets(tmp_path) == [
        "shop:app",
        "long_name:app",
        "shop:create_app",
        "waitress-serve shop:app",
        "long_name.py",
    ]


def test_what_else_is_there(tmp_path: Path) -> None:
    """An ASGI application is one, too, and the folder's own environment is found."""
    (tmp_path / "m.py").write_text("app = FastAPI()")
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").touch()
    found = look(tmp_path)
    assert [one.target for one in found.candidates] == [("m:app",)]
    assert found.python == "venv"
    assert not found.unreadable
    (tmp_path / "broken.py").write_text("x = 1\ndef (:\n")
    assert look(tmp_path).unreadable == ("broken.py, line 2: invalid syntax",)
