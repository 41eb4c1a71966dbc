"""What calls write into memory of the application is on the tape, and recording changes none of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement
from loadgen.traced.gaps.buffers import fill_buffers_from_the_tape
from loadgen.traced.gaps.files import keep_live_descriptors_live
from tests.engine.conftest import Bench, visiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.client.scenario import User

pytestmark = pytest.mark.engine

SERVER = """
    import array, ctypes, io, json, mmap, os, pickle, shutil, socket, sqlite3, ssl, sys, tempfile
    from contextlib import closing
    from flask import Flask, jsonify

    app = Flask(__name__)
    CONTENT = bytes(range(256)) * 40
    LIVE = json.__file__  # off the tape, as all libraries

    def temporary(content):
        file = tempfile.NamedTemporaryFile()
        file.write(content)
        file.flush()
        return file

    def refused(*calls):
        found = []
        for call in calls:
            try:
                call()
            except Exception as error:
                found.append(type(error).__name__)
        return found

    @app.get("/vectors")
    def vectors():
        one, numbers, long, part = bytearray(7), array.array("i", [0] * 3), bytearray(50), bytearray(9)
        with temporary(CONTENT[:40]) as file:
            fd = os.open(file.name, os.O_RDONLY)
            counts = [os.readv(fd, [one, numbers, long]), os.readv(fd, [one]),
                      os.preadv(fd, [bytearray(2), memoryview(part)[2:6]], 11), os.preadv(fd, (part,), 36, 0)]
            wrong = refused(lambda: os.readv(fd, [b"read only"]))
            os.close(fd)
        r, w = os.pipe()
        os.write(w, b"piped")
        counts.append(os.readv(r, [long]))
        os.close(r), os.close(w)
        wrong += refused(lambda: os.readv(1 << 20, [one]))
        return jsonify(counts, one.hex(), numbers.tolist(), long.hex(), part.hex(), wrong)

    @app.get("/file")
    def file():
        buffer = bytearray(5)
        with temporary(CONTENT) as file, open(file.name, "rb") as other:
            other.readinto(buffer)
        return buffer.hex()

    @app.get("/sockets")
    def sockets():
        a, b = socket.socketpair()
        a.send(CONTENT[:40])
        one, numbers, long = bytearray(4), array.array("i", [0] * 2), bytearray(10)
        counts = [b.recv_into(one), b.recv_into(numbers), b.recv_into(long, 3)]
        counts.append(b.recv_into(memoryview(long)[8:]))
        counts += [b.recvfrom_into(long, 2)[0], b.recvmsg_into([memoryview(long)[4:6], bytearray(3)])[0]]
        wrong = refused(lambda: b.recv_into(long, 11), lambda: b.recv_into(long, -1),
                        lambda: b.recv_into(b"no"), lambda: b.recvfrom_into(long, 99))
        a.close()
        rest = b.makefile("rb").read()
        b.close()
        return jsonify(counts, one.hex(), numbers.tolist(), long.hex(), wrong, rest.hex())

    @app.get("/mapped")
    def mapped():
        found = []
        with temporary(CONTENT) as file:
            with open(file.name, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
                found += [len(m), m.size(), m[:3].hex(), m.find(b"xyz"), isinstance(m, mmap.mmap)]
            with open(file.name, "r+b") as f:
                with mmap.mmap(f.fileno(), 4096, offset=4096) as m:
                    m[:4] = b"abcd"
                    m.flush()
                    found += [len(m), m.size(), m[2:9].hex()]
                f.seek(4096)
                found.append(f.read(6).hex())
                with mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as m:
                    found.append(m[4094:4100].hex())
            os.truncate(file.name, 0)
            with open(file.name, "rb") as f:
                found += refused(lambda: mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))
        with mmap.mmap(-1, 9) as m:
            m.write(b"memory")
            found.append(m[:].hex())
        return jsonify(found)

    @app.get("/live")
    def live():
        found = []
        with open(LIVE, "rb") as f, tempfile.TemporaryDirectory() as folder:
            number, size = f.fileno(), os.path.getsize(LIVE)
            found += [os.fstat(number).st_size == size, os.stat(number).st_size == size]
            found.append(os.pread(number, 9, 3).hex())
            buffer = bytearray(5)
            os.preadv(number, [buffer], 4)
            with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as m:
                found += [buffer.hex(), len(m) == size, m[:9].hex()]
            shutil.copyfile(LIVE, f"{folder}/copy")
            found.append(open(f"{folder}/copy", "rb").read() == open(LIVE, "rb").read())
            a, b = socket.socketpair()
            found.append(a.sendfile(f, count=50))
            a.close()
            found.append(b.makefile("rb").read().hex())
            b.close()
        return jsonify(found)

    @app.get("/calls")
    def calls():
        r, w = os.pipe2(os.O_CLOEXEC)
        os.write(w, b"piped")
        event, memory = os.eventfd(3), os.memfd_create("some")
        os.write(memory, b"memory")
        found = [os.read(r, 9).decode(), os.eventfd_read(event), os.pread(memory, 9, 0).decode()]
        with temporary(CONTENT) as file, temporary(b"") as other:
            found += [os.copy_file_range(file.fileno(), other.fileno(), 100), os.path.getsize(other.name)]
        for fd in (r, w, event, memory):
            os.close(fd)
        return jsonify(found, sorted(os.sched_getaffinity(0)))

    class Pair(ctypes.Structure):
        _fields_ = [("one", ctypes.c_int), ("two", ctypes.c_int)]

    class Numbers(array.array):
        pass

    def given():
        mapped = mmap.mmap(-1, 4)
        mapped.write(b"mmap")
        return [array.array("i", [1, 2]), Numbers("b", [3]), Pair(4, 5), (ctypes.c_char * 2)(b"c", b"h"),
                mapped, io.BytesIO(b"view").getbuffer(), pickle.PickleBuffer(b"pickle"),
                type("Raw", (bytes,), {})(b"raw")]

    @app.get("/given")
    def written():
        a, b = socket.socketpair()
        received = b.makefile("rb")
        with temporary(b"") as file, open(file.name, "r+b", buffering=0) as raw:
            for one in given():
                file.writelines([one, one])
                counts = [raw.write(one), os.write(raw.fileno(), one), os.writev(raw.fileno(), [one])]
                counts += [a.send(one), a.sendmsg([one, b"end"]), a.sendall(one)]
            file.flush()
            raw.seek(0)
            found = [counts, raw.read().hex()]
        socket.send_fds(a, [b"descriptors"], [1])  # in an array
        a.close()
        found.append(received.read().hex())
        received.close(), b.close()
        with closing(sqlite3.connect(":memory:")) as db:
            db.create_function("made", 0, lambda: array.array("b", [7]))
            found += [db.execute("select hex(?), hex(made())", (one,)).fetchone() for one in given()]
        return jsonify(found)

    if __name__ == "__main__":
        with app.test_client() as client:
            if sys.argv[1:]:
                print(json.dumps([client.get(path).get_json() for path in sys.argv[1:]]))
            else:
                app.run()
"""
PATHS = ("/vectors", "/sockets", "/mapped", "/live", "/calls", "/given")


def test_buffers(bench: Bench) -> None:
    """Recorded, answers are the same as unrecorded; replayed, they are those of the recording."""
    script, answers = bench.script(SERVER), []
    command = [sys.executable, script, *PATHS]
    plain = subprocess.run(command, capture_output=True, text=True, check=True)

    async def ask(user: User) -> None:
        answers.append([(await user.http.get(path)).json() for path in PATHS])

    bench.record(script, Scenario("asking", "gets each path", ask), concurrency=2, iterations=3)
    assert answers == [json.loads(plain.stdout)] * 6
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.divergences


@pytest.mark.parametrize(
    ("gap", "path"),
    [(fill_buffers_from_the_tape, "/file"), (keep_live_descriptors_live, "/live")],
)
def test_each_gap_is_one(bench: Bench, gap: Callable[[], None], path: str) -> None:
    """Without what closes it, a replay differs."""
    bench.without = [gap.__name__]
    bench.record(bench.script(SERVER), visiting(path), concurrency=1, iterations=1)
    assert bench.verify(timeout=5).verdict.judgement is Judgement.DIVERGED


def test_a_buffer_that_has_changed_is_another_argument(bench: Bench) -> None:
    """The content of an array that is written is compared, like that of ``bytes``."""
    server = """
        import array, tempfile
        from flask import Flask

        app = Flask(__name__)

        @app.get("/")
        def written():
            with tempfile.TemporaryFile() as file:
                return str(file.write(array.array("b", [1, 2])))

        app.run()
    """
    script = bench.script(server)
    bench.record(script, visiting("/"), concurrency=1, iterations=1)
    assert bench.verify().verdict.judgement is Judgement.IDENTICAL
    bench.script(server.replace("[1, 2]", "[1, 3]"))
    assert bench.verify().verdict.judgement is Judgement.DIVERGED
