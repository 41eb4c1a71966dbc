"""The action and the template for CI: their steps run, with a loadgen that only notes what it was asked."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
LOADGEN = """#!/bin/bash
printf '%s\\n' "$@" > asked
while [ $# -gt 0 ]; do
  if [ "$1" = --summary ] && [ "$CODE" != 2 ]; then echo "3 runs" >> "$2"; fi
  shift
done
exit "$CODE"
"""


def bash(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir()
    fake = folder / "bin" / "loadgen"
    fake.write_text(LOADGEN)
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder, env={"PATH": path, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def action() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "ci" / "verify" / "action.yml").read_text())
    return content


@pytest.mark.parametrize(
    ("code", "verdict"), [(0, "identical"), (1, "diverged"), (3, "undetermined"), (2, "undetermined")]
)
def test_the_step_of_the_action(tmp_path: Path, code: int, verdict: str) -> None:
    """It ends as loadgen does, with the verdict as an output, and the summary on the job's page."""
    (step, upload) = action()["runs"]["steps"]
    inputs = {name: str(one["default"]) for name, one in action()["inputs"].items()}
    given = {**inputs, "options": "--jobs 2"}
    variables = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda place: given[place[1]], text)
        for name, text in step["env"].items()
    }
    done = bash(
        step["run"],
        tmp_path,
        **variables,
        CODE=str(code),
        GITHUB_STEP_SUMMARY="page.md",
        GITHUB_OUTPUT="outputs",
    )
    assert done.returncode == code, done.stderr
    told = "loadgen verify ended with code 2.\n" if code == 2 else "3 runs\n"
    assert (tmp_path / "page.md").read_text() == told
    assert (tmp_path / "outputs").read_text().splitlines() == [
        f"verdict={verdict}",
        "comment=loadgen-results/comment.md",
    ]
    assert (tmp_path / "asked").read_text().split()[:4] == ["verify", "recordings", "--jobs", "2"]
    assert upload["if"].startswith("always()")


def test_the_action_uses_what_it_declares() -> None:
    """Each input that is used is declared, and the other way round."""
    text = (ROOT / "ci" / "verify" / "action.yml").read_text()
    assert set(re.findall(r"inputs\.(\w+)", text)) == set(action()["inputs"])


@pytest.mark.parametrize("code", [0, 1])
def test_the_script_of_the_template(tmp_path: Path, code: int) -> None:
    """It ends as loadgen does."""
    job = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text())[".loadgen-verify"]
    done = bash("\n".join(job["script"]), tmp_path, **job["variables"], CODE=str(code))
    assert done.returncode == code, done.stderr
    assert "--junit loadgen-results/junit.xml" in " ".join((tmp_path / "asked").read_text().split())
