"""The CI scripts: none of their functions shadows a program that they or others call."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
SCRIPTS = [ROOT / "check", *sorted((ROOT / ".ci").iterdir())]
FUNCTION = re.compile(r"^\s*(?:function\s+)?([\w.-]+)\s*\(\)|^\s*function\s+([\w.-]+)", re.MULTILINE)
PATH = os.pathsep.join(
    (os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
)


def shadowing(script: str) -> list[str]:
    """Return the functions of *script* that are called like a program of this machine, or a builtin."""
    found = [first or second for first, second in FUNCTION.findall(script)]
    builtins = subprocess.run(
        ["bash", "-c", "compgen -b; compgen -k"], capture_output=True, text=True, check=True
    ).stdout.split()
    return [name for name in found if name in builtins or shutil.which(name, path=PATH)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_no_function_hides_a_program(script: Path) -> None:
    """A function called like a program is called in its place, wherever the script means the program."""
    assert shadowing(script.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("install() {\n  apt-get install\n}\n", ["install"]),
        ("  rm () { :; }\n", ["rm"]),
        ("function kill { :; }\nfunction sed() { :; }\n", ["kill", "sed"]),
        ("apt_install() { install -m 755 a b; }\n", []),
    ],
)
def test_a_function_that_hides_a_program_is_found(script: str, found: list[str]) -> None:
    """The check above sees what it is for."""
    assert shadowing(script) == found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed(script: Path) -> None:
    """Each can be parsed as a whole, and run as it is."""
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_step_of_installing_is_known_and_named() -> None:
    """A name that is none is refused before anything is installed, with the names that there are."""
    done = subprocess.run([ROOT / ".ci" / "install", "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    script = (ROOT / ".ci" / "install").read_text(encoding="utf-8")
    for name in ("chromium", "services", "npm", "axe", "engine", "compose-1", "compose-2", "base-image-3.11"):
        assert name in done.stderr
        step = re.sub("[-.]", "_", name)
        assert f"{step}_is_here()" in script
        assert f"{step}_install()" in script
