"""Files of an application: a replay takes them from the recording, and touches none of them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement
from tests.engine.conftest import Bench, visiting

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.scenario import User


pytestmark = pytest.mark.engine

SERVER = """
    import json, logging, os, shutil, threading, time
    import words
    from pathlib import Path
    from flask import Flask, jsonify, render_template, request, send_file

    HERE = Path(__file__).parent
    ELSEWHERE = HERE.with_name(HERE.name + "-elsewhere")
    (ELSEWHERE / "started.txt").write_text(str(time.time()))
    app = Flask(__name__)
    lock = threading.Lock()
    logging.basicConfig(filename="app.log", level=logging.INFO)
    CONFIG = json.loads((HERE / "config.json").read_text())

    @app.get("/health")
    def health():
        return "ok"

    @app.post("/notes/<name>")
    def write(name):
        folder = HERE / "notes" / name
        folder.mkdir(parents=True, exist_ok=True)
        with open(f"notes/{name}/{time.time_ns()}.txt", "wb") as file:
            file.write(request.get_data())
        with open(ELSEWHERE / "all.txt", "ab") as file:
            file.write(request.get_data())
        app.logger.info("wrote %s", name)
        return jsonify(sorted(os.listdir(folder)), sorted(one.read_text() for one in folder.iterdir()))

    @app.post("/count")
    def count():
        with lock:
            path = Path("count.json")
            number = json.loads(path.read_text())["n"] + 1 if path.exists() else 1
            path.with_suffix(".new").write_text(json.dumps({"n": number}))
            os.replace("count.new", "count.json")
            shutil.copyfile(HERE / "count.json", HERE / f"copy-{number}.json")
        return jsonify(number, os.stat(f"copy-{number}.json").st_mtime_ns)

    @app.delete("/notes/<name>")
    def remove(name):
        folder = HERE / "notes" / name
        for path in folder.glob("*.txt"):
            path.unlink()
        return jsonify(os.path.isdir(folder), len(list(folder.iterdir())))

    @app.get("/page")
    def page():
        return render_template("page.html", title=CONFIG["title"], words=list(words.WORDS))

    @app.get("/download")
    def download():
        return send_file(HERE / "config.json")

    app.run()
"""

WORDS = """
    WORDS = {"title", "code", "hash", "email", "text"}  # iterated in another order when read from bytecode
"""


def elsewhere(bench: Bench) -> Path:
    """Return the folder of the server's data that is neither beside it nor where it is started."""
    return bench.path.with_name(f"{bench.path.name}-elsewhere")


async def _use(user: User) -> None:
    for _ in range(2):
        await user.http.post(f"/notes/{user.id}", content=f"note {user.rng.random()}")
        await user.http.post("/count")
    await user.http.delete(f"/notes/{user.id}")
    await user.http.get("/page")
    await user.http.get("/download")


@pytest.fixture
def recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Record an application that works with files of its own, beside it and where it is started."""
    monkeypatch.chdir(bench.path)
    (bench.path / "templates").mkdir()
    (bench.path / "templates" / "page.html").write_text("<title>{{ title }}</title>{{ words }}")
    bench.script(WORDS, "words.py")
    elsewhere(bench).mkdir()
    (bench.path / "config.json").write_text('{"title": "first"}')
    result = bench.record(bench.script(SERVER), Scenario("files", "uses files", _use), iterations=2)
    assert not result.end.failed, result.end.errors
    assert result.totals.statuses.keys() == {200}
    return bench


def content(folder: Path) -> dict[str, str]:
    """Return what is in the files of a folder, but for those of its run."""
    return {
        str(path): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and "run" not in path.relative_to(folder).parts[0]
    }


def test_files_come_from_the_recording(recorded: Bench) -> None:
    """What has become of the files since then does not matter to a replay, and stays what it is."""
    (recorded.path / "config.json").write_text('{"title": "second"}')
    (recorded.path / "count.json").write_text('{"n": 1000}')
    (recorded.path / "app.log").write_text("precious")
    for path in recorded.path.glob("copy-*"):
        path.unlink()
    shutil.rmtree(elsewhere(recorded))
    before = content(recorded.path)
    verdict = recorded.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]
    assert content(recorded.path) == before
    assert not elsewhere(recorded).exists()


def test_templates_are_code(recorded: Bench) -> None:
    """A template that was changed is seen, as changed code is."""
    (recorded.path / "templates" / "page.html").write_text("<h1>{{ title }}</h1>")
    verdict = recorded.verify().verdict
    assert verdict.judgement is Judgement.DIVERGED
    assert {one.target for one in verdict.divergences} == {"/page"}


def test_without_it_a_replay_writes(recorded: Bench) -> None:
    """Stock, files outside of /tmp are live: this bench's are when it is left open, and a replay writes."""
    stock = ["take_files_from_the_tape", "read_code_live"]
    again = Bench(recorded.path, without=stock)
    again.record(str(again.path / "serve.py"), Scenario("files", "uses files", _use), run="again-run")
    (recorded.path / "count.json").write_text('{"n": 1000}')
    before = content(recorded.path)
    again.verify("again-run", timeout=3)
    assert content(recorded.path) != before


def test_what_a_file_is(bench: Bench) -> None:
    """Recorded, an open file has the attributes and the kind that it has unrecorded; libraries ask."""
    script = bench.script("""
        import io
        from flask import Flask, jsonify

        app = Flask(__name__)
        SOME = __file__ + ".some"
        KINDS = (io.IOBase, io.RawIOBase, io.BufferedIOBase, io.TextIOBase)

        @app.get("/kinds")
        def kinds():
            found = []
            for mode, buffering in (("w", -1), ("wb", -1), ("rb", 0), ("r+", -1)):
                with open(SOME, mode, buffering) as file:
                    kind = [issubclass(type(file), one) and isinstance(file, one) for one in KINDS]
                    found.append([getattr(file, "mode", None), kind, hasattr(file, "nothing")])
            with open(SOME) as file:
                file.own = 3
                found.append(file.own)
            return jsonify(found)

        if __name__ == "__main__":
            app.run()
    """)
    answers = []

    async def ask(user: User) -> None:
        answers.append((await user.http.get("/kinds")).json())

    bench.record(script, Scenario("asking", "asks", ask), concurrency=2, iterations=1)
    text, buffered, raw = [True, False, False, True], [True, False, True, False], [True, True, False, False]
    opened = [["w", text, False], ["wb", buffered, False], ["rb", raw, False], ["r+", text, False], 3]
    assert answers == [opened, opened]
    assert bench.verify().verdict.judgement is Judgement.IDENTICAL


def test_what_is_read_into_buffers(bench: Bench) -> None:
    """Whoever reads into a buffer of its own, in Python or C, gets what was recorded."""
    script = bench.script("""
        import io, os, pickle
        from flask import Flask, jsonify

        app = Flask(__name__)

        @app.get("/read")
        def read():
            name = f"{__file__}.{os.urandom(8).hex()}"
            with open(name, "wb") as file:
                file.write(os.urandom(40) + pickle.dumps(os.urandom(100_000), 5))
            found = []
            with open(name, "rb") as file:
                buffer = bytearray(20)
                found.append([file.readinto(buffer), buffer.hex()])
                found.append([file.readinto1(memoryview(buffer)[5:25]), buffer.hex()])
                file.seek(40)
                found.append(pickle.load(file).hex()[:20])
                found.append([file.readinto(bytearray(5)), buffer.hex()])
            with open(name, "rb", buffering=0) as file:
                buffer = memoryview(bytearray(16)).cast("I")
                found.append([file.readinto(buffer), buffer.tolist()])
                found.append(io.BufferedReader(file).read(10).hex())
            return jsonify(found)

        if __name__ == "__main__":
            app.run()
    """)
    recorded = bench.record(script, visiting("/read"), concurrency=4, iterations=2)
    assert recorded.totals.statuses == {200: 8}
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:2]
