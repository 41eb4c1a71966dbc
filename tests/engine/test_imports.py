"""What is drawn while modules are imported: by libraries, which are not traced, and by the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario_file import load
from loadgen.core.spec import ModeName
from loadgen.core.verdict import Judgement
from tests.engine.conftest import visiting

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

LIBRARY = """
    import datetime, os, random, secrets, socket, tempfile, time, uuid
    from pathlib import Path
    from . import inner
    import plugin

    ALL = [
        os.urandom(8).hex(), random.Random().random(), random.random(), random.sample(range(100), 3),
        time.time(), time.monotonic(), time.perf_counter_ns(), str(uuid.uuid4()), str(uuid.uuid1()),
        os.getpid(), str(datetime.datetime.now()), str(datetime.datetime.utcnow()),
        str(datetime.date.today()), str(datetime.datetime.now(datetime.UTC)), secrets.token_hex(4),
        socket.gethostname(), inner.KEY, inner.RANDOM,
    ]
    os.kill(os.getpid(), 0)  # of a replay's process, whose number is another one
    PROC = Path(f"/proc/{os.getpid()}")
    (PROC / "stat").read_text()
    SAME_PROCESS = os.getpid() == inner.PROCESS and os.path.isdir(str(PROC))
    FOLDER = tempfile.mkdtemp()  # which a replay finds, and makes another one
    os.rmdir(FOLDER) if os.urandom(1) < b"a" else None
"""
INNER = """
    import os, secrets
    import numpy  # whose functions are patched: steps within the import of a library

    KEY = secrets.token_bytes(4).hex()
    PROCESS = os.getpid()
    RANDOM = float(numpy.random.default_rng().random())
"""
PLUGIN = """
    import os, time

    SECRET, AT = os.urandom(4).hex(), time.time()  # of the application, in the middle of a library's import
"""
SERVER = """
    import os, sys
    from pathlib import Path
    sys.path.insert(0, str(Path(__file__).parent / "site-packages"))
    from flask import Flask, jsonify
    import drawing
    import plugin

    app = Flask(__name__)

    @app.get("/drawn")
    def drawn():
        return jsonify(drawing.ALL, plugin.SECRET, plugin.AT)

    @app.get("/process")
    def process():
        return jsonify(drawing.SAME_PROCESS, drawing.inner.PROCESS == os.getpid())

    if __name__ == "__main__":
        app.run()
"""


@pytest.fixture
def drawing(bench: Bench) -> Bench:
    """Return a bench with an application, and a library that draws while it is imported."""
    library = bench.path / "site-packages" / "drawing"
    library.mkdir(parents=True)
    bench.script(LIBRARY, "site-packages/drawing/__init__.py")
    bench.script(INNER, "site-packages/drawing/inner.py")
    bench.script(PLUGIN, "plugin.py")
    bench.script(SERVER, "server.py")
    return bench


@pytest.mark.parametrize("target", ["python server.py", "server:app"])
def test_what_imports_draw_replays(drawing: Bench, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """A secret, the time and the process's number that a library keeps are those of the recording."""
    monkeypatch.chdir(drawing.path)
    recorded = drawing.record(target.split(), visiting("/drawn", "/process"), concurrency=2, iterations=1)
    assert recorded.totals.statuses.keys() == {200}
    verdict = drawing.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import drawing", "import colorsys, drawing"),
        ("import drawing", "import another, drawing"),
        ("import another, drawing", "import drawing, another"),
        ("import another, drawing", "import drawing"),
    ],
    ids=["a module of Python's", "another library", "another order", "a library less"],
)
def test_imports_change(drawing: Bench, before: str, after: str) -> None:
    """Other imports give a library that is still there what it drew."""
    drawing.script("import os\nKEY = os.urandom(8)", "site-packages/another.py")
    source = SERVER.replace("import drawing", before)
    drawing.record(drawing.script(source, "server.py"), visiting("/drawn"), concurrency=1, iterations=1)
    drawing.script(SERVER.replace("import drawing", after), "server.py")
    verdict = drawing.verify(strict=False).verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]


def test_scenarios_import_modules(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traced client with a module beside its scenario, which draws, and imports a library that does."""
    monkeypatch.chdir(bench.path)
    bench.script("import os, time\nimport another\nKEY = os.urandom(4).hex()\nAT = time.time()", "helper.py")
    (bench.path / "site-packages").mkdir()
    bench.script("import os\nKEY = os.urandom(4).hex()", "site-packages/another.py")
    scenario = bench.script(
        """
        import sys
        from pathlib import Path
        sys.path.insert(0, str(Path(__file__).parent / "site-packages"))
        import helper
        from loadgen import User, scenario

        @scenario
        async def ask(user: User) -> None:
            await user.http.get(f"/?key={helper.KEY}&at={helper.AT}&other={helper.another.KEY}")
        """,
        "load.py",
    )
    bench.record((), load(scenario), concurrency=2, iterations=1, mode=ModeName.CLIENT)
    verdict = bench.verify(mode=ModeName.CLIENT).verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]


INSPECTING = """
    import inspect, sys, threading
    from flask import Flask

    app, here = Flask(__name__), inspect.getframeinfo(sys._getframe()).lineno

    @app.get("/frames")
    def frames():
        return f"{here} {inspect.getframeinfo(sys._getframe()).lineno} {len(inspect.stack()) > 3}"

    @app.get("/source")
    def source():
        return inspect.getsource(frames)

    @app.get("/threads")
    def threads():
        started = threading.Thread(target=ended.wait, name="started")
        started.start()
        names = [one.name for one in threading.enumerate()]
        assert threading.active_count() == len(names)
        assert threading.current_thread() in threading.enumerate() and started in threading.enumerate()
        ended.set()
        started.join()
        assert started not in threading.enumerate()
        return names

    ended = threading.Event()
    app.run()
"""


def test_what_depends_on_all_modules_and_threads(bench: Bench) -> None:
    """A replay has others than its recording: where a frame is, and how many threads there are."""
    visits = visiting("/frames", "/source", "/threads")
    bench.record(bench.script(INSPECTING), visits, concurrency=4, iterations=3)
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]
