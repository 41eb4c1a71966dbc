"""Applications that others wrote, from the package index: recorded at concurrency 8 and replayed.

Not part of the check command, because it installs each application with all it needs; run it with
``pytest -m third_party tests/third_party``. ``benchmarks/third_party.py`` measures the same in longer series;
what came out is in ``docs/third-party.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.third_party.applications import APPLICATIONS, Application, install, trial

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.third_party


PARAMETERS = [
    pytest.param(one, id=one.name, marks=[pytest.mark.xfail(reason=one.fails)] if one.fails else [])
    for one in APPLICATIONS
]


@pytest.fixture(scope="session", params=PARAMETERS)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Application, Path]:
    """Install an application beside loadgen, in an environment of its own."""
    application: Application = request.param
    return application, install(application, tmp_path_factory.mktemp("environment"))


@pytest.mark.parametrize("seed", range(1, 6))
def test_identical(installed: tuple[Application, Path], tmp_path: Path, seed: int) -> None:
    """Every answer is the same, though the data that the application had is gone."""
    application, programs = installed
    made = trial(application, programs, tmp_path / "here", 8, seed)
    assert made.verdict == "identical", made.why
    assert made.requests > 50
