"""A server and a client through which secrets pass, and a search for what is left of them in a folder.

The search knows nothing of :mod:`loadgen.secrets`: it unpacks and decodes whatever it can, and looks for each
secret and for each part of it that is long enough to be no accident.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import io
import json
import re
import secrets
import tarfile
import urllib.parse
import zipfile
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EACH = 5
"""Number of secrets of each kind."""
PART = 8
"""Length of the parts that are looked for."""

SERVER = """
import base64, gzip, hashlib, hmac, json, logging, os, sqlite3
from flask import Flask, Response, request, session

app = Flask(__name__)
app.secret_key = os.environ["SIGNING_KEY_0"]
logging.basicConfig(level="INFO")


def rows():
    with sqlite3.connect(os.environ["DB_FILE"]) as db:
        db.execute("create table if not exists vault (name integer, value text)")
        if not db.execute("select count(*) from vault").fetchone()[0]:
            with open("rows.json") as file:
                db.executemany("insert into vault values (?, ?)", enumerate(json.load(file)))
        return [value for (value,) in db.execute("select value from vault order by name")]


def signed(token):
    head, _, signature = token.rpartition(".")
    right = hmac.new(os.environ["SIGNING_KEY_1"].encode(), head.encode(), "sha256").digest()
    return base64.urlsafe_b64encode(right).rstrip(b"=").decode() == signature


@app.post("/login/<int:at>")
def login(at):
    given = request.get_json(silent=True) or request.form
    session["mail"] = given["mail"]
    app.logger.info("%s logs in with %s", given["mail"], given["password"])
    key = rows()[at]
    app.logger.warning("the key of this customer is %s", key)
    with sqlite3.connect(os.environ["DB_FILE"]) as db:
        db.execute("create table if not exists seen (mail text, password text)")
        db.execute("insert into seen values (?, ?)", (given["mail"], given["password"]))
    check = hmac.new(key.encode(), given["password"].encode(), "sha256").hexdigest()
    answer = Response(json.dumps({"check": check, "mail": given["mail"]}), mimetype="application/json")
    answer.set_cookie("remember", request.headers["X-Remember"])
    return answer


@app.get("/me")
def me():
    token = request.headers["Authorization"].partition(" ")[2]
    jwt = request.headers["X-Token"]
    return {
        "mail": session.get("mail"), "valid": signed(jwt), "jwt": jwt,
        "base64": base64.b64encode(("for " + token).encode()).decode(), "hex": token.encode().hex(),
        "twice": base64.b64encode(base64.b64encode(b"x" + token.encode())).decode(),
        "packed": base64.b64encode(gzip.compress(token.encode(), mtime=0)).decode(),
    }


@app.get("/stream")
def stream():
    key = request.args["api_key"]
    return Response(key[at : at + 5] for at in range(0, len(key), 5))


@app.get("/zipped")
def zipped():
    inside = {"dsn": [os.environ[f"DATABASE_URL_{at}"] for at in range(5)], "key": request.args["api_key"]}
    packed = gzip.compress(json.dumps(inside).encode(), mtime=0)
    return Response(packed, mimetype="application/json", headers={"Content-Encoding": "gzip"})


@app.post("/pay")
def pay():
    given = json.loads(request.get_data())
    app.logger.info("%s", given)
    return {"card": given["card"], "length": len(given["key"]), "env": os.environ["API_KEY_0"]}
"""

SCENARIO = """
import json
from loadgen import User, scenario

PLANTED = json.load(open("planted.json"))


@scenario
async def visit(user: User) -> None:
    at = user.rng.randrange(5)
    one = {kind: values[at] for kind, values in PLANTED.items()}
    remember = {"X-Remember": one["cookie"], "Cookie": f"tracking={one['cookie']}"}
    await user.http.post(
        f"/login/{at}", json={"mail": one["e-mail"], "password": one["password in JSON"]}, headers=remember
    )
    await user.http.get("/me", headers={"Authorization": f"Bearer {one['bearer']}", "X-Token": one["JWT"]})
    await user.http.post(
        f"/login/{at}", data={"mail": one["e-mail"], "password": one["password in a form"]}, headers=remember
    )
    await user.http.get("/stream", params={"api_key": one["API key"]})
    await user.http.get("/zipped", params={"api_key": one["API key"]})
    body = json.dumps({"card": one["card"], "key": one["private key"]}).encode()

    async def pieces():
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    await user.http.post("/pay", content=pieces(), headers={"Content-Type": "application/json"})
"""

RULES = """
[record]
seal = true
secret = ["env:SIGNING_KEY_0", "env:SIGNING_KEY_1", "regex:rowkey_[0-9a-z]+"]
"""


def planted() -> dict[str, list[str]]:
    """Return new secrets, by kind."""
    made = {
        kind: [secrets.token_hex(12) for _ in range(EACH)]
        for kind in ("password in JSON", "password in a form")
    }
    made["bearer"] = [f"tk_{secrets.token_urlsafe(18)}" for _ in range(EACH)]
    made["cookie"] = [secrets.token_hex(16) for _ in range(EACH)]
    made["API key"] = [f"sk_live_{secrets.token_hex(12)}" for _ in range(EACH)]
    made["environment"] = [secrets.token_urlsafe(20) for _ in range(EACH)]
    made["DSN"] = [secrets.token_hex(9) for _ in range(EACH)]
    made["e-mail"] = [f"{secrets.token_hex(6)}@{secrets.token_hex(5)}.example" for _ in range(EACH)]
    made["card"] = [_card() for _ in range(EACH)]
    made["private key"] = [_private_key() for _ in range(EACH)]
    made["row"] = [f"rowkey_{secrets.token_hex(11)}" for _ in range(EACH)]
    made["JWT"] = [_jwt(made["environment"][1], mail) for mail in made["e-mail"]]
    return made


def environment(made: dict[str, list[str]]) -> dict[str, str]:
    """Return the server's variables."""
    first, second, *others = made["environment"]
    return {
        "SIGNING_KEY_0": first,
        "SIGNING_KEY_1": second,
        **{f"API_KEY_{at}": value for at, value in enumerate(others)},
        **{
            f"DATABASE_URL_{at}": f"postgresql://shop:{value}@db:5432/shop"
            for at, value in enumerate(made["DSN"])
        },
    }


def write(folder: Path, made: dict[str, list[str]]) -> None:
    """Write the server, its rows and its client into *folder*."""
    (folder / "shop.py").write_text(SERVER, encoding="utf-8")
    (folder / "visit.py").write_text(SCENARIO, encoding="utf-8")
    (folder / "rows.json").write_text(json.dumps(made["row"]), encoding="utf-8")
    (folder / "planted.json").write_text(json.dumps(made), encoding="utf-8")
    (folder / "loadgen.toml").write_text(RULES, encoding="utf-8")


def left_in(folder: Path, made: dict[str, list[str]]) -> list[str]:
    """Return what is left of the secrets in the files of *folder*, in their names too."""
    parts = {
        part: f"{kind} {value[:40]!r}"
        for kind, values in made.items()
        for value in values
        for part in _parts(kind, value)
    }
    found = []
    for path in sorted(folder.rglob("*")):
        contents = [
            str(path.relative_to(folder)).encode(),
            *(_every(path.read_bytes()) if path.is_file() else ()),
        ]
        for content in contents:
            grams = {content[at : at + PART] for at in range(len(content) - PART + 1)}
            found += [f"{path}: {parts[part]}, as {part!r}" for part in grams & parts.keys()]
    return found


def _parts(kind: str, value: str) -> Iterator[bytes]:
    plain = value.encode()
    if kind == "private key":  # not its frame
        plain = b"".join(plain.splitlines()[1:-1])
    if kind in {"API key", "row"}:  # not the prefix
        plain = plain.rpartition(b"_")[2]
    if kind == "JWT":  # its head is the same in all of them
        plain = plain.partition(b".")[2]
    if kind == "card":
        yield plain.replace(b" ", b"")[8:]
        plain = plain[-9:]
    yield from (plain[at : at + PART] for at in range(len(plain) - PART + 1))


def _every(content: bytes, depth: int = 4) -> Iterator[bytes]:
    """Yield *content*, and all that is compressed or encoded in it."""
    yield content
    if not depth:
        return
    for inner in {*_unpacked(content), *_decoded(content)}:
        yield from _every(inner, depth - 1)


_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError)
"""What is raised where bytes only begin like an archive."""


def _unpacked(content: bytes) -> Iterator[bytes]:
    for start in (found.start() for found in re.finditer(rb"\x1f\x8b\x08|x[\x01\x5e\x9c\xda]", content)):
        with suppress(zlib.error):
            yield zlib.decompressobj(47).decompress(content[start:])
    with suppress(*_DAMAGED), zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield from map(archive.read, archive.namelist())
    with suppress(*_DAMAGED), tarfile.open(fileobj=io.BytesIO(content)) as archive:
        yield from (opened.read() for one in archive if (opened := archive.extractfile(one)))


def _decoded(content: bytes) -> Iterator[bytes]:
    for run in {*re.findall(rb"[A-Za-z0-9+/_-]{11,}", content)}:
        for skip in range(4):
            with suppress(ValueError):
                yield base64.b64decode(run[skip:].translate(bytes.maketrans(b"-_", b"+/")) + b"===")
    for run in {*re.findall(rb"(?:[0-9a-fA-F]{2}){8,}", content)}:
        yield bytes.fromhex(run.decode())
    if b"%" in content:
        yield urllib.parse.unquote_to_bytes(content)
    if b"\\" in content:
        yield content.replace(b"\\n", b"\n").replace(b'\\"', b'"').replace(b"\\\\", b"\\")


def _card() -> str:
    digits = [4, *(secrets.randbelow(10) for _ in range(14))]
    total = sum(sum(divmod(2 * one, 10)) if at % 2 == 0 else one for at, one in enumerate(digits))
    number = "".join(map(str, [*digits, -total % 10]))
    return " ".join(number[at : at + 4] for at in range(0, 16, 4))


def _private_key() -> str:
    inside = base64.b64encode(secrets.token_bytes(180)).decode()
    lines = [inside[at : at + 64] for at in range(0, len(inside), 64)]
    return "\n".join(("-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"))


def _jwt(key: str, mail: str) -> str:
    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    head = ".".join(part(json.dumps(one).encode()) for one in ({"alg": "HS256"}, {"sub": mail}))
    return f"{head}.{part(hmac.new(key.encode(), head.encode(), hashlib.sha256).digest())}"


def hidden(value: bytes) -> bytes:
    """Return *value* encoded and compressed, for a test of the search itself."""
    return b"..." + base64.b64encode(gzip.compress(base64.urlsafe_b64encode(b"a" + value))) + b"..."
