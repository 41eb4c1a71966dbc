"""A Django project on SQLite and PostgreSQL: sessions, forms, administration pages, migrations at start."""

from __future__ import annotations

import shutil
from pathlib import Path

import anyio
import pytest

from loadgen.core.events import ignore
from loadgen.core.spec import Load, RunSpec, ScenarioTraffic, VerifySpec
from loadgen.core.stop import Stop
from loadgen.core.verdict import Judgement
from loadgen.dispatch import record, verify
from loadgen.store.run_folder import RunFolder
from tests.engine import services

pytestmark = pytest.mark.engine

PROJECT = Path(__file__).parent / "django_shop"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start in a copy of the project."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder)
    monkeypatch.chdir(folder)
    return folder


def recorded(project: Path, *target: str, concurrency: int = 8, variables: tuple[str, ...] = ()) -> None:
    """Record all that the project does."""
    spec = RunSpec(
        target=target,
        traffic=ScenarioTraffic(scenario="load.py"),
        load=Load(concurrency=concurrency, iterations=2, timeout=120.0),
        server_env=variables,
    )
    totals = anyio.run(record, spec, project / "run", Stop(), ignore).totals
    assert totals.failed_iterations == 0
    assert {200, 201, 302, 403, 404, 500} <= {*totals.statuses}


def replayed(project: Path) -> None:
    run, manifest = RunFolder.open(project / "run")
    verified = anyio.run(verify, run, manifest, VerifySpec(timeout=120.0, strict=True), ignore)
    assert verified.verdict.judgement is Judgement.IDENTICAL, verified.verdict.to_json()


def test_sqlite(project: Path) -> None:
    """Served by loadgen's own server."""
    recorded(project, "shop.wsgi:application")
    replayed(project)


@pytest.mark.once
def test_postgres(project: Path) -> None:
    """The database is gone in the replay."""
    with services.postgres() as service:
        dsn = f"DSN=postgresql://postgres@127.0.0.1:{service.port}/postgres"
        recorded(project, "shop.wsgi:application", variables=(dsn,))
        service.stop()
        replayed(project)


@pytest.mark.once
def test_runserver(project: Path) -> None:
    """Django's own server, without its reloader."""
    recorded(project, "python", "manage.py", "runserver", concurrency=4)
    assert "left out: reloader" in (project / "run" / "server.log").read_text()
    replayed(project)


@pytest.mark.once
def test_its_routes_are_the_default_traffic(project: Path) -> None:
    """Each path without parameters is requested, those of the administration pages too."""
    spec = RunSpec(target=("shop.wsgi:application",), load=Load(concurrency=2, iterations=1))
    anyio.run(record, spec, project / "run", Stop(), ignore)
    transcript = (project / "run" / "transcript.jsonl").read_text()
    for path in ("/", "/private/", "/admin/login/", "/admin/shop/item/add/"):
        assert f'"target":"{path}"' in transcript
    assert "/items/" not in transcript  # which needs a number
    replayed(project)
