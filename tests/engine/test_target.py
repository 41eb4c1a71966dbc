"""The target: a script, an application or the bundled server; nothing is guessed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loadgen.core.spec import BUNDLED
from loadgen.engine import retrace
from loadgen.engine.target import Target, packages, resolve
from loadgen.errors import UsageError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the working directory, with a script in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "serve.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "served"),
    [
        (("-m", "lute.main", "--local"), ["lute"]),
        (("-m", "flask", "--app", "shop.web:create_app('a')", "run"), ["shop"]),
        (("-c", "import sys; from isso import main; sys.exit(main())", "-c", "isso.cfg"), ["isso"]),
        (("-c", "import sys; from gunicorn.app.wsgiapp import run", "--bind", "0.0.0.0:80", "a.b:c"), ["a"]),
        (("/srv/serve.py", "--flag"), []),
    ],
)
def test_what_is_served(argv: tuple[str, ...], served: list[str]) -> None:
    """The package of the application is told apart from those that serve it."""
    assert packages(argv) == served


@pytest.mark.parametrize("name", [None, BUNDLED])
def test_nothing_is_the_bundled_server(name: str | None) -> None:
    """Without a name, or by its own, the bundled server is meant; it is imported from where loadgen is."""
    assert resolve(name) == Target(("server_app",), ("-m", "server_app"))


@pytest.mark.parametrize("absolute", [False, True])
def test_a_script_is_run_from_its_own_folder(here: Path, *, absolute: bool) -> None:
    """A script keeps the user's name for it, is run by its full path, and imports what lies beside it."""
    name = str(here / "sub" / "serve.py") if absolute else "sub/serve.py"
    script = (here / "sub" / "serve.py").resolve()
    assert resolve(name) == Target((name,), (str(script),), str(script.parent), str(script.parent), str(here))


@pytest.mark.parametrize(
    "name",
    [
        "app:app",
        "package.module:application",
        "app:create_app",
        "app:create_app()",
        'app:create_app("a b", debug=True)',
    ],
)
def test_an_application_is_run_by_flask(here: Path, name: str) -> None:
    """``module:app`` is run by Flask without reloader and debugger, imported from the working directory."""
    argv = ("-m", "loadgen.traced.application", name)
    assert resolve(name) == Target((name,), argv, str(here), str(here), str(here))


def test_a_directory_to_start_in(here: Path) -> None:
    """With ``--cwd`` everything is as if loadgen had been started there; the code is what is in it."""
    sub = here / "sub"
    assert resolve("serve.py", Path("sub")) == Target(
        ("serve.py",), (str(sub / "serve.py"),), str(sub), str(sub), str(sub)
    )
    assert resolve("sub/serve.py", Path()).folder == str(here)
    assert resolve("app:app", Path("sub")).import_from == str(sub)
    with pytest.raises(UsageError, match="the directory gone does not exist"):
        resolve("app:app", Path("gone"))


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("sub/serve.py --flag", ["{}/sub/serve.py", "--flag"]),
        ("python sub/serve.py --flag", ["{}/sub/serve.py", "--flag"]),
        ("python3 -u -m package.module a", ["-m", "package.module", "a"]),
        (f"{sys.executable} -m flask run", ["-m", "flask", "run"]),
    ],
)
def test_a_command_of_python(here: Path, command: str, argv: list[str]) -> None:
    """A script or module is run as Python would, with its arguments."""
    target = resolve(command.split())
    assert target.argv == tuple(word.format(here) for word in argv)
    assert target.name == command
    assert target.import_from == str(here / "sub" if "serve.py" in command else here)


def test_a_console_script(here: Path) -> None:
    """A console script is run as Python code: its file is a program for a shell to start."""
    target = resolve(["flask", "--app", "shop", "run"])
    assert target.argv[0] == "-c"
    assert "from flask.cli import main" in target.argv[1]
    assert "sys.argv[0] = 'flask'" in target.argv[1]
    assert target.argv[2:] == ("--app", "shop", "run")
    assert (target.folder, target.import_from) == (str(here), "")  # Flask itself adds the directory


@pytest.mark.parametrize(
    "command",
    [
        "ls -l",
        "gunicorn-of-nobody app:app",
        "/bin/flask run",
        "python",
        "python -O sub/serve.py",
        "python -c pass",
        "python -m a/b",
        "python3.9 sub/serve.py",
        "/elsewhere/bin/python sub/serve.py",
        "python gone.py",
        "app:app argument",
    ],
)
def test_a_command_that_cannot_be_recorded(here: Path, command: str) -> None:
    """What would not run under the engine, or not as it was written, is refused with its name."""
    with pytest.raises(UsageError) as caught:
        resolve(command.split())
    named = "gone.py" if command == "python gone.py" else command.partition(" ")[0]
    assert named in caught.value.message


@pytest.mark.parametrize("name", ["gone.py", "sub/gone.py", ".py"])
def test_a_missing_script_is_refused(here: Path, name: str) -> None:
    """A script that is not there is named."""
    with pytest.raises(UsageError, match=f"the script {name} does not exist"):
        resolve(name)


def test_a_folder_is_no_script(here: Path) -> None:
    """A folder called like a script is none."""
    (here / "folder.py").mkdir()
    with pytest.raises(UsageError, match="does not exist"):
        resolve("folder.py")


def test_an_address_is_refused(here: Path) -> None:
    """A server that runs already cannot be recorded, and the message says so."""
    with pytest.raises(UsageError, match="runs already") as caught:
        resolve("http://127.0.0.1:5000")
    assert "loadgen starts the server itself" in caught.value.advice


@pytest.mark.parametrize(
    ("name", "advice"),
    [("sub/serve.py:app", "sub.serve:app"), ("./shop.py:create_app('a')", "shop:create_app('a')")],
)
def test_a_file_is_no_module(here: Path, name: str, advice: str) -> None:
    """Who writes the file's name before the application learns the module's."""
    with pytest.raises(UsageError, match="is a file, not a module") as caught:
        resolve(name)
    assert advice in caught.value.advice


def test_a_command_in_quotes_is_refused(here: Path) -> None:
    """It is one word, and the message says how to write it."""
    with pytest.raises(UsageError, match="is one word") as caught:
        resolve("gunicorn --threads 4 shop:app")
    assert "loadgen record -- gunicorn --threads 4 shop:app" in caught.value.advice


def test_a_folder_beside_what_is_none_is_refused(here: Path) -> None:
    """Of several folders, one that does not exist makes the rest look like a command."""
    (here / "one_test").mkdir()
    with pytest.raises(UsageError, match="one_test is a folder, and not everything") as caught:
        resolve(["one_test", "gone_test"])
    assert "loadgen init" in caught.value.advice


@pytest.mark.parametrize(
    "name",
    [
        "",
        "app",
        "app:a.b",
        "app:create_app(name)",
        "app:a b",
        "serve.txt",
        ":app",
        "app:",
        ":",
        "a b:app",
        "a..b:app",
        ".a:app",
        "1a:app",
        "sub/serve:app",
    ],
)
def test_anything_else_is_refused(here: Path, name: str) -> None:
    """What is neither script nor application is refused with an example of both."""
    with pytest.raises(UsageError, match="is not a target") as caught:
        resolve(name)
    assert "serve.py" in caught.value.advice
    assert "module:app" in caught.value.advice


def test_bytecode_is_no_source(tmp_path: Path) -> None:
    """Nor is its temporary file: other processes write and rename both while digests are made."""
    for name in (
        "__pycache__/m.cpython-311.pyc.1403",
        "__pycache__/m.cpython-311.pyc",
        "m.pyc",
        "m.py",
        "page.html",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [Path(file).name for file in retrace.package_files(tmp_path)] == ["m.py", "page.html"]
