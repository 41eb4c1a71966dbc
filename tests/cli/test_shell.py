"""What the shell gives: streams of any encoding, or closed ones, and Ctrl-C at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRINTS = "from loadgen.cli.main import reporting; from loadgen.cli.output import say; import sys\n"


def python(code: str, *, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run *code* in a shell, with the redirections *shell*."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {shell}', sys.executable, code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_what_an_encoding_does_not_have_is_escaped(encoding: str) -> None:
    """A result is never lost: on stdout and stderr, what cannot be written is escaped."""
    text = "a \u2192 b \udc80"
    code = f"{PRINTS}reporting(lambda: (say({text!a}), print({text!a}, file=sys.stderr), sys.exit(1)))"
    done = python(code, PYTHONIOENCODING=encoding)
    assert done.returncode == 1, done.stderr
    said = text.encode(encoding, "backslashreplace") + b"\n"
    assert (done.stdout, done.stderr) == (said, said)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_empty(closed: str) -> None:
    """Nothing is read from it and what is written is lost, but the exit code is that of the verdict."""
    code = (
        f"{PRINTS}reporting(lambda: (say('a'), print('b', file=sys.stderr), sys.stdin.isatty(), "
        "sys.stdout.isatty(), sys.exit(1)))"
    )
    done = python(code, shell=closed)
    assert done.returncode == 1, done.stderr
    assert done.stdout == (b"" if " >&-" in f" {closed}" else b"a\n")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("entry", "module"), [("entry", "loadgen.cli.main"), ("main", "loadgen.suite")])
def test_ctrl_c_while_modules_are_imported(tmp_path: Path, entry: str, module: str) -> None:
    """Exit code 130 and one line, also where an exception would be lost or end Python by the signal."""
    code = f"""
import os, signal, sys
class Pressed:
    def find_spec(self, name, *_):
        if name == {module!r}:
            exec("os.kill(os.getpid(), signal.SIGINT)")
sys.meta_path.insert(0, Pressed())
sys.argv = ["loadgen", "verify", {str(tmp_path)!r}]
from loadgen.cli.{entry} import main
main()
"""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    done = python(code)
    assert (done.returncode, done.stderr) == (130, b"loadgen: interrupted\n")


def test_what_ignores_ctrl_c_goes_on_to_ignore_it() -> None:
    """As nohup and background jobs of a shell do."""
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.argv = ["loadgen", "--version"]
from loadgen.cli.entry import main
try:
    main()
finally:
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""
    assert python(code).returncode == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
