"""Exports: a bundle verifies elsewhere, and a diverged run is reported in every format."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from loadgen.core.masking import Masker, parse
from loadgen.core.verdict import Judgement
from loadgen.report.bundle import bundle
from loadgen.report.evidence import gather
from loadgen.report.page import render
from loadgen.store.run_folder import RunFolder
from loadgen.store.verification import find_verification

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVE = """
    from flask import Flask
    app = Flask(__name__)
    LIMIT = 3
    seen = []

    @app.get("/health")
    def health():
        return "ok"

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def any_(path):
        seen.append(path)
        return {"count": len(seen), "full": len(seen) > LIMIT}

    app.run()
    """


def test_unpacked_bundle_verifies(bench: Bench) -> None:
    """The run is gone; what was unpacked elsewhere is replayed, and identical."""
    recorded = bench.record(concurrency=4)
    with (bench.path / "run.tar.gz").open("wb") as file:
        assert bundle(recorded.run, recorded.manifest, parse(()), file, keep_secrets=False).verifiable
    shutil.rmtree(recorded.run.path)
    with tarfile.open(bench.path / "run.tar.gz") as archive:
        archive.extractall(bench.path / "elsewhere", filter="data")

    verified = bench.verify("elsewhere/run")

    assert verified.verdict.judgement is Judgement.IDENTICAL, verified.verdict.to_json()


def test_changed_application_is_told_in_every_form(bench: Bench) -> None:
    """The page, JUnit and the summary name the request and the field that the change made differ."""
    script = bench.script(SERVE)
    bench.record(script, concurrency=1, iterations=2)
    bench.script(SERVE.replace("LIMIT = 3", "LIMIT = 4"))
    command = [sys.executable, "-m", "loadgen", "verify", "run", "--junit", "a.xml", "--summary", "a.md"]
    done = subprocess.run(command, cwd=bench.path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr

    suite = ET.parse(bench.path / "a.xml").getroot()[0]
    assert suite.get("failures") == "2"
    assert "request 4" in (bench.path / "a.md").read_text()
    assert "body:$.full" in (bench.path / "a.md").read_text()

    run, manifest = RunFolder.open(bench.path / "run")
    masker = Masker(parse(()))
    page = render(gather(run, manifest, find_verification(run.path), masker), masker, version="0").decode()
    assert "It is request 4: body $.full was true and is false." in page
