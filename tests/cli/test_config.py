"""Options from the environment and from files: their precedence, and errors that name the source."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loadgen.cli import config
from loadgen.cli.main import app, main

OWN, PROJECT = Path("loadgen.toml"), Path("pyproject.toml")
COMMANDS = config.Options(app)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused as wrong usage; return its message."""
    sys.argv, before = ["loadgen", *arguments], sys.argv
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    assert (left.value.code, captured.out) == (2, "")
    assert "Traceback" not in captured.err
    return captured.err


def test_the_order_of_precedence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Precedence: command line, environment, loadgen.toml, pyproject.toml."""
    PROJECT.write_text("[tool.loadgen.record]\ntarget = 'project.py'\n")
    assert "the script project.py does not exist" in refused("record", capsys=capsys)
    OWN.write_text("[record]\ntarget = ['own.py', '--flag']\n")
    assert "the script own.py does not exist" in refused("record", capsys=capsys)
    monkeypatch.setenv("LOADGEN_RECORD_TARGET", "'environment of mine.py' --flag")
    assert "the script environment of mine.py does not exist" in refused("record", capsys=capsys)
    assert "the script line.py does not exist" in refused("record", "line.py", capsys=capsys)


def test_a_section_goes_before_what_is_for_all() -> None:
    """Keys outside a section apply to every command with the option; the command's section has precedence."""
    OWN.write_text("timeout = 7\nconcurrency = 4\n[verify]\ntimeout = 5.5\nignore = ['header:etag']\n")
    assert COMMANDS.configured("record") == {"timeout": 7, "concurrency": 4}
    assert COMMANDS.configured("verify") == {"timeout": 5.5, "ignore": ["header:etag"]}
    assert COMMANDS.configured("clean") == {}


def test_doctor_examines_what_record_starts() -> None:
    """Without settings of its own it takes the server's from record, and no other option of the same name."""
    OWN.write_text(
        "[record]\ntarget = 'shop:app'\nserver-env = ['KEY=1']\ncwd = 'src'\nconcurrency = 4\njson = true\n"
        "[doctor]\ncwd = '.'\n"
    )
    configured = config.of_command_line(["doctor"], app)
    assert configured == {"doctor": {"target": ["shop:app"], "server_env": ["KEY=1"], "cwd": "."}}
    assert config.of_command_line(["init"], app) == {"init": {}}


def besides(*words: str) -> set[str]:
    return {*config.of_command_line(["record", *words], app)["record"]}


def test_what_the_command_line_asks_replaces_what_is_configured(tmp_path: Path) -> None:
    """After init, which configures a scenario, any other traffic can be recorded by naming it."""
    OWN.write_text("[record]\nscenario = 'load.py'\nconcurrency = 4\niterations = 3\ntarget = 'a:app'\n")
    assert besides() == {"scenario", "concurrency", "iterations", "target"}
    for words in (("--client", "curl {url}"), ("--client=curl",), ("b:app", "--listen", "8080")):
        assert besides(*words) == {"target"}, words
    assert besides("--from", "visit.har") == {"concurrency", "iterations", "target"}
    assert besides("--from", str(tmp_path)) == {"target"}
    assert besides("--duration", "3s") == {"scenario", "concurrency", "target"}
    assert besides("-c8", "-n", "2") == {"scenario", "concurrency", "iterations", "target"}
    OWN.write_text("[record]\nclient = 'curl'\nuser-by = 'cookie:a'\nduration = '3s'\nrate = '3/s'\n")
    assert besides("--scenario", "load.py") == {"duration", "rate"}
    assert besides("-n2") == {"client", "user_by"}
    OWN.write_text("[record]\npython = '.venv'\nmemory = '1g'\n")
    assert besides("--runtime", "docker") == {"memory"}
    assert besides("--runtime=local") == {"python"}
    OWN.write_text("[record]\nclient = 'curl'\nuser-by = 'cookie:a'\nduration = '3s'\nrate = '3/s'\n")
    assert besides("--", "python", "--scenario") == {"client", "user_by", "duration", "rate"}


def test_a_source_replaces_what_those_below_it_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment replaces what files say, too; two kinds of traffic in one file are refused."""
    PROJECT.write_text("[tool.loadgen.record]\nscenario = 'a.py'\n")
    OWN.write_text("[record]\nfrom = 'visit.har'\nhost = 'a'\n")
    assert set(COMMANDS.configured("record")) == {"from_", "host"}
    monkeypatch.setenv("LOADGEN_RECORD_CLIENT", "curl {url}")
    assert set(COMMANDS.configured("record")) == {"client"}
    monkeypatch.delenv("LOADGEN_RECORD_CLIENT")
    OWN.write_text("[record]\nfrom = 'visit.har'\nclient = 'curl'\n")
    assert "--from and --client exclude each other" in refused("record", capsys=capsys)


def test_every_option_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are named after the command and the option; switches and lists are understood."""
    for name, text in {
        "RECORD_CONCURRENCY": "16", "RECORD_SERVER_ENV": "A=1 'B=two words'", "RECORD_STACKS": "true",
        "RECORD_JSON": "0", "RECORD_HEALTH_PATH": "/ping", "RECORD_RUN": "", "VERIFY_TIMEOUT": "3",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LOADGEN_{name}", text)
    assert COMMANDS.configured("record") == {
        "concurrency": "16", "server_env": ["A=1", "B=two words"], "stacks": True, "as_json": False,
        "health_path": "/ping",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("concurency = 3", ["loadgen.toml: unknown option 'concurency'", "concurrency, "]),
        ("[record]\nignore = []", ["loadgen.toml, [record]: unknown option 'ignore'", "seed"]),
        ("[recrod]\nseed = 3", ["loadgen.toml, [recrod]: unknown command", "record"]),
        ("[record]\nseed = 'x'", ["loadgen.toml, [record]: seed = 'x' is not a whole number"]),
        ("[record]\nseed = true", ["seed = True is not a whole number"]),
        ("[record]\nstacks = 1", ["stacks = 1 is not true or false"]),
        ("[record]\nrun = 1", ["run = 1 is not a text"]),
        ("[record]\ntarget = 3", ["target = 3 is not a text or a list of texts"]),
        ("[record]\ntarget = ['a', 3]", ["is not a text or a list of texts"]),
        ("[record]\nseed = [1]", ["seed = [1] is not a whole number"]),
        ("[verify]\nseed = 1", ["loadgen.toml, [verify]: unknown option 'seed'"]),
        ("[record]\nconcurrency = 0", ["loadgen.toml, [record]: concurrency = 0: ", "1"]),
        ("timeout = inf", ["loadgen.toml: timeout = inf: ", "seconds"]),
        ("[record]\nruntime = 'moon'", ["runtime = 'moon': ", "local"]),
        ("seed =", ["loadgen.toml cannot be read"]),
    ],
)
def test_a_mistake_names_its_place(text: str, says: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name, type or value is a usage error with the file, the section and what is allowed."""
    OWN.write_text(text)
    error = refused("record", "gone.py", capsys=capsys)
    assert not [word for word in says if word not in error], error


def test_a_mistake_in_the_project_file(capsys: pytest.CaptureFixture[str]) -> None:
    """In pyproject.toml the section is named as it is there; other tools' sections are not looked at."""
    PROJECT.write_text("[tool.other]\nx = 1\n[tool.loadgen]\nnosuch = 1\n")
    assert "pyproject.toml, [tool.loadgen]: unknown option 'nosuch'" in refused("verify", capsys=capsys)
    PROJECT.write_text("[tool]\nloadgen = 3\n")
    assert "pyproject.toml: tool.loadgen is not a table" in refused("verify", capsys=capsys)


def test_a_mistake_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable without a matching option is an error, like an unknown option."""
    monkeypatch.setenv("LOADGEN_RECORD_CONCURENCY", "3")
    error = refused("record", "gone.py", capsys=capsys)
    assert "LOADGEN_RECORD_CONCURENCY does not match an option of record" in error
    assert "LOADGEN_RECORD_CONCURRENCY, " in error
    monkeypatch.delenv("LOADGEN_RECORD_CONCURENCY")
    monkeypatch.setenv("LOADGEN_RECORD_CONCURRENCY", "many")
    assert "LOADGEN_RECORD_CONCURRENCY=many: " in refused("record", "gone.py", capsys=capsys)


def test_help_is_always_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is available even if a file contains an error."""
    OWN.write_text("nosuch = 1")
    monkeypatch.setattr(sys, "argv", ["loadgen", "record", "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    assert "--concurrency" in capsys.readouterr().out
