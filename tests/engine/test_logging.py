"""Logs of the application and of the live server, which shares the handlers of the root logger."""

from __future__ import annotations

import pytest

from loadgen.core.verdict import Judgement
from tests.engine.conftest import Bench, visiting

pytestmark = pytest.mark.engine

SERVER = """
    import logging, os, queue, time
    from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
    from pathlib import Path
    from flask import Flask, jsonify

    LOGS = Path(__file__).parent / "logs"
    LOGS.mkdir(exist_ok=True)
    app = Flask(__name__)
    lines = queue.SimpleQueue()
    listener = QueueListener(lines, RotatingFileHandler(LOGS / "queued.log", maxBytes=1500, backupCount=2))
    listener.start()
    direct = RotatingFileHandler(LOGS / "direct.log", maxBytes=1500, backupCount=2)
    LAYOUT = "%(process)d %(thread)d %(asctime)s %(message)s"
    direct.setFormatter(logging.Formatter(LAYOUT))
    logging.basicConfig(handlers=[QueueHandler(lines), direct], level=logging.INFO)
    logging.info("starting")
    app.logger.addHandler(logging.FileHandler(LOGS / "named.log"))

    @app.get("/note")
    def note():
        app.logger.info("noted at %s", time.time_ns())
        return jsonify(sorted(os.listdir(LOGS)))

    if __name__ == "__main__":
        app.run()
"""


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("python logs.py", "GET /note"),
        ("gunicorn --threads 4 --access-logfile access.log logs:app", "GET /note"),
        ("waitress-serve logs:app", "Serving on"),
    ],
)
def test_the_server_shares_handlers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, command: str, line: str
) -> None:
    """What it logs waits for no request, changes no queue and no rotated file, and is not lost."""
    monkeypatch.chdir(bench.path)
    bench.script(SERVER, "logs.py")
    result = bench.record(command.split(), visiting("/note", "/note", "/note", "/note"), iterations=4)
    assert result.totals.statuses.keys() == {200}
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]
    assert line in (bench.path / "run" / "server.log").read_text()
    logs = b"".join(one.read_bytes() for one in (bench.path / "logs").iterdir())
    assert b"noted at" in logs
    assert line.encode() not in logs
