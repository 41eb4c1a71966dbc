"""The command line: wrong usage is reported on stderr with an exit code, never as a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import typer.main

from loadgen import __version__
from loadgen.cli.main import BUG, app, main, reporting
from loadgen.errors import (
    EngineFault,
    HarnessFault,
    LoadgenError,
    MachineFault,
    RecordingFault,
    ServerFault,
    TranscriptFault,
    UsageError,
)

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: object
    out: str
    err: str


class Shell:
    """Runs ``loadgen`` in this process, in an empty working directory."""

    def __init__(self, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._patch = patch

    def __call__(self, *arguments: str) -> Said:
        """Run one command line."""
        self._patch.setattr(sys, "argv", ["loadgen", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        captured = self._capture.readouterr()
        return Said(left.value.code, captured.out, captured.err)


@pytest.fixture
def loadgen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(capsys, monkeypatch)


def outside(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run ``python -m loadgen`` as a shell does, with piped output, in a terminal with colours."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "loadgen", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        check=False,
    )


# ---- help ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(loadgen: Shell, command: str) -> None:
    """Help is a result: on stdout, with exit code 0, and it says what the command does."""
    said = loadgen(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert f" {command} [OPTIONS]" in said.out.splitlines()[0]
    assert "--help" in said.out
    assert len(said.out.splitlines()[2].strip()) > 20
    assert "[default: ]" not in said.out  # an empty default reads like a mistake


def test_help_lists_the_commands_and_exit_codes(loadgen: Shell) -> None:
    """The main help names all commands and the meaning of the exit codes."""
    said = loadgen("--help")
    assert (said.code, said.err) == (0, "")
    assert {"record", "verify"} <= {*COMMANDS}
    for word in (*COMMANDS, "Exit codes", "undetermined", "diverged", "130"):
        assert word in said.out


def test_nothing_asked_is_answered_with_help(loadgen: Shell) -> None:
    """Without a command, the help is shown as a usage error."""
    said = loadgen()
    assert said.code == 2
    assert "record" in said.out + said.err


def test_version(loadgen: Shell) -> None:
    """The version is one line on stdout."""
    assert loadgen("--version") == Said(0, f"loadgen {__version__}\n", "")


# ---- usage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nosuch"], "nosuch"),
        (["--nosuch"], "--nosuch"),
        (["record", "--nosuch"], "--nosuch"),
        (["verify", "--nosuch"], "--nosuch"),
        (["record", "--concurrency", "many"], "--concurrency"),
        (["record", "--concurrency", "0"], "--concurrency"),
        (["record", "-c", "-1"], "--concurrency"),
        (["record", "--iterations", "0"], "--iterations"),
        (["record", "--timeout", "0"], "--timeout"),
        (["verify", "--timeout", "-1"], "--timeout"),
        (["record", "--timeout", "inf"], "--timeout"),
        (["verify", "--timeout", "nan"], "--timeout"),
        (["record", "--run", "\udcff"], "is not valid UTF-8"),
        (["verify", "\udcff"], "is not valid UTF-8"),
        (["record", "--cwd", "nosuch"], "the directory nosuch does not exist"),
        (["record", "--server-env", "LOADGEN_TEST_UNSET"], "LOADGEN_TEST_UNSET is not set"),
        (["record", "--server-env", "=x"], "is not an environment variable"),
        (["record", "--server-env", "PYTHONHASHSEED=1"], "PYTHONHASHSEED"),
        (["record", "--memory", "1g"], "--memory applies only to containers"),
        (["record", "--runtime", "docker", "--seal"], "not with --runtime docker"),
        (["record", "--client", "python a.py | cat", "--trace", "client"], "one Python program"),
        (["record", "/usr", "/var", "--run", "x"], "--run is for one run"),
        (["record", "--", "ls", "-l"], "ls is not a command"),
        (["record", "--seed"], "--seed"),
        (["record", "--secret", "foo"], "'foo' does not name a secret"),
        (["record", "--schedule", "explore", "--script", "nosuch"], "--script: cannot read nosuch"),
        (["record", "--schedule", "explore", "--script", __file__], "--script: "),
        (["record", "a:b", "c:d"], "c:d"),
        (["verify", "a", "b"], "there is no folder a"),
        (["record", "--scenario", "nosuch"], "nosuch"),
        (["record", "--scenario", "nosuch.py"], "the scenario file nosuch.py cannot be read"),
        (["record", "--scenario", "nosuch.py:name"], "the scenario file nosuch.py cannot be read"),
        (["record", "--from", "nosuch.har"], "nosuch.har cannot be read"),
        (["record", "--from", "x.har", "--scenario", "mixed"], "--scenario and --from exclude each other"),
        (["record", "--duration", "30"], "--duration 30: write 30s"),
        (["record", "--duration", "5s", "-n", "3"], "--duration and --iterations exclude each other"),
        (["record", "--ramp-up", "0s"], "--ramp-up 0s: it must be longer than nothing"),
        (["record", "--ramp-up", "5s", "--duration", "5s"], "--ramp-up must be shorter than --duration"),
        (["record", "--rate", "fast", "--duration", "5s"], "--rate fast: write 200/s"),
        (["record", "--rate", "5/s"], "--rate needs --duration"),
        (["record", "--rate", "5/s", "-n", "3"], "--rate needs --duration"),
        (["record", "nosuch.py"], "nosuch.py"),
        (["record", "nosuch"], "nosuch"),
        (["record", "--engine-alone", "--trace", "client"], "--engine-alone"),
        (
            ["record", "--engine-alone", "--schedule", "turns"],
            "--schedule turns needs loadgen's own scheduler",
        ),
        (["record", "--trace", "process", "--schedule", "turns"], "Leave out --schedule, or --trace process"),
        (["hazards", "--only", "wall_clock,nosuch"], "nosuch"),
        (["hazards", "--setups", "nosuch"], "nosuch"),
        (["hazards", "-c", "1,0"], "--concurrency must be at least 1, not 0"),
        (["hazards", "--expect", "nosuch"], "nosuch"),
        (["init", "--cwd", "nosuch"], "the directory nosuch does not exist"),
        (["doctor", "--cwd", "nosuch"], "the directory nosuch does not exist"),
        (["races", "--again", "nosuch"], "there is no folder nosuch\n"),
        (["races", "--again", "."], ". contains no race: there is no race.json in it\n"),
        (["verify"], "no run in runs/"),
        (["verify", "nosuch"], "nosuch is not a run folder"),
        (["verify", "."], "there is no run in ."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors(loadgen: Shell, tmp_path: Path, arguments: list[str], word: str) -> None:
    """Invalid usage is exit code 2: stderr names the word concerned, and nothing is done."""
    said = loadgen(*arguments)
    assert (said.code, said.out) == (2, "")
    assert word in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_hazards_is_plain_text(loadgen: Shell) -> None:
    """It has no markup of docstrings."""
    said = loadgen("hazards", "--list")
    assert (said.code, said.err) == (0, "")
    assert "``" not in said.out
    assert "object_id" in said.out


def test_a_run_folder_in_use_is_refused(loadgen: Shell, tmp_path: Path) -> None:
    """A recorded run is never overwritten."""
    (tmp_path / "precious").write_text("x")
    said = loadgen("record", "--run", ".")
    assert (said.code, said.out) == (2, "")
    assert "is not empty" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


# ---- faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"{}", b'{"format": "loadgen-run/2"}'])
def test_a_damaged_manifest_is_exit_code_3(loadgen: Shell, tmp_path: Path, content: bytes) -> None:
    """A damaged run cannot be judged: undetermined, with a reason, and no traceback."""
    (tmp_path / "run.json").write_bytes(content)
    said = loadgen("verify", ".")
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("loadgen: run.json ")
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 2),
        *((fault, 3) for fault in (
            MachineFault, ServerFault, EngineFault, RecordingFault, TranscriptFault, HarnessFault
        )),
    ],
)  # fmt: skip
def test_every_expected_error_has_its_exit_code(error: type[LoadgenError], code: int) -> None:
    """An expected error has a documented code, its fault, a message and advice; none of the codes is 1."""
    raised = error("what happened", advice="what to do")
    assert raised.exit_code == code
    assert (str(raised), raised.message, raised.advice) == ("what happened", "what happened", "what to do")
    assert raised.fault == error.__name__.removesuffix("Fault").removesuffix("Error").lower()


def test_no_fault_has_the_code_of_a_verdict() -> None:
    """Exit codes 0 and 1 are verdicts: an error, even a bug, never looks like one."""

    def below(error: type[LoadgenError]) -> list[type[LoadgenError]]:
        return [error, *(one for child in error.__subclasses__() for one in below(child))]

    assert not {one.exit_code for one in below(LoadgenError)} & {0, 1, BUG}


# ---- as a process ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_piped_output_has_no_colours(tmp_path: Path) -> None:
    """Piped, help and errors are plain text, each where it belongs."""
    for arguments, code in (
        (["verify", "nosuch"], 2),
        (["verify", "--nosuch"], 2),
        (["record", "--help"], 0),
    ):
        done = outside(*arguments, cwd=tmp_path)
        assert done.returncode == code
        assert b"\x1b" not in done.stdout + done.stderr
        assert bool(done.stdout) is not bool(code)
        assert bool(done.stderr) is bool(code)


def test_a_full_disk_is_no_bug(tmp_path: Path) -> None:
    """If the result cannot be written, the machine is at fault: exit code 3, with a message."""
    command = [sys.executable, "-m", "loadgen", "--version"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 3
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_full_disk_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the file, and how to go on; another error has no such advice."""

    def fail(number: int) -> None:
        raise OSError(number, os.strerror(number), "/runs/x/transcript.jsonl")

    for number, advised in ((errno.ENOSPC, True), (errno.EACCES, False)):
        with pytest.raises(SystemExit) as caught:
            reporting(partial(fail, number))
        assert caught.value.code == 3
        said = capsys.readouterr().err
        assert said.startswith(f"loadgen: this machine refused: {os.strerror(number)}: /runs/x/transcript")
        assert ("--run PATH" in said) is advised


def test_help_answers_at_once(tmp_path: Path) -> None:
    """Help loads none of the heavy libraries: they are imported inside the commands."""
    script = (
        "import sys; sys.argv = ['loadgen', '--help']\n"
        "try:\n    from loadgen.cli.main import main; main()\n"
        "finally:\n    assert not {'httpx', 'flask'} & {*sys.modules}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
