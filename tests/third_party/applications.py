"""Applications that others wrote, from the package index: how each is installed, started and recorded.

``test_applications.py`` and ``benchmarks/third_party.py`` share this. Each application gets its own virtual
environment, and each recording a folder of its own as working directory and home, so that nothing is
written elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
LIMIT = 600
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Application:
    """How an application is installed and started, and what the documentation says about it.

    In texts, ``{here}`` is the folder of a recording, and ``{data}`` a folder in it that is deleted before
    the replay.
    """

    package: str
    """What is installed; more than one, separated by spaces. The first is the application."""
    about: str
    """A few words: what it is for."""
    author: str
    server: str
    """How it is started and where its data is, as the documentation says it."""
    load: str
    """What the scenario does."""
    target: tuple[str, ...]
    scenario: str
    iterations: int
    environment: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    prepare: tuple[str, ...] = ()
    """Shell commands that make its data; the application's programs are on the path."""
    fails: str = ""
    """Why a replay is not identical, if it is not."""

    @property
    def name(self) -> str:
        """Its name at the package index."""
        return self.package.split()[0].partition("[")[0]


@dataclass(frozen=True)
class Trial:
    """What came of one recording."""

    verdict: str
    """``identical``, ``diverged``, ``undetermined``; ``failed`` without a verdict."""
    requests: int
    why: str
    """The first reason or difference, or what a command printed before it failed; empty if identical."""


def install(application: Application, venv: Path) -> Path:
    """Install an application beside loadgen, in an environment of its own; return where its programs are."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [str(venv / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, str(REPOSITORY), *application.package.split()], check=True)
    return venv / "bin"


def trial(application: Application, programs: Path, here: Path, concurrency: int, seed: int) -> Trial:
    """Record and verify in the folder *here*, which is created."""
    data = here / "data"
    data.mkdir(parents=True)
    for name, content in application.files:
        (here / name).write_text(content.format(data=data, here=here))
    given = {name: value.format(data=data, here=here) for name, value in application.environment}
    path = f"{programs}:{os.environ['PATH']}"
    environment = {**os.environ, **given, "PATH": path, "HOME": str(here)}
    for line in application.prepare:
        subprocess.run(line.format(data=data, here=here), shell=True, cwd=here, env=environment, check=True)
    target = [part.format(data=data, here=here) for part in application.target]
    named = [part for name in given for part in ("--server-env", name)]
    load = ("-c", str(concurrency), "-n", str(application.iterations), "--seed", str(seed))

    def loadgen(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / "loadgen", *arguments],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )

    try:
        recorded = loadgen(
            "record", "--run", "run", "--scenario", str(HERE / application.scenario), *load, *named, *target
        )
        # An application may fail under load ("database is locked"): that is recorded, and must replay.
        if recorded.returncode not in (0, 3) or not complete(here / "run"):
            return Trial("failed", 0, f"record: {recorded.stdout}{recorded.stderr}")
        shutil.rmtree(data)
        verified = loadgen("verify", "run", "--json")
    except subprocess.TimeoutExpired as late:
        return Trial("failed", 0, f"{late.args} took more than {LIMIT} s")
    try:
        verdict = json.loads(verified.stdout)
    except ValueError:
        return Trial("failed", 0, f"verify: {verified.stdout}{verified.stderr}")
    missing = verdict["compared"] != verdict["requests"]
    if verified.returncode == 0 and not missing and verdict["requests"]:
        return Trial("identical", verdict["requests"], "")
    return Trial(verdict["verdict"], verdict["requests"], first(verdict))


def complete(run: Path) -> bool:
    """Return whether a run folder says that its recording is complete."""
    manifest = run / "run.json"
    return manifest.exists() and json.loads(manifest.read_text())["result"]["state"] == "complete"


def first(verdict: dict[str, Any]) -> str:
    """Return the first reason or difference of a verdict, as JSON."""
    found = [*verdict["reasons"], *verdict["divergences"]]
    return json.dumps(found[0])[:2000] if found else "not every answer was compared"


BEPASTY = """
SECRET_KEY = "key"
STORAGE = "filesystem"
STORAGE_FILESYSTEM_DIRECTORY = "{data}"
DEFAULT_PERMISSIONS = "create,read,delete,list,modify"
"""
ISSO = """
[general]
dbpath = {data}/comments.db
host = http://localhost:8080/
[server]
listen = http://localhost:8080
[guard]
enabled = false
"""
LEDGER = """
option "title" "Example"
option "operating_currency" "EUR"
2026-01-01 open Assets:Cash
2026-01-01 open Expenses:Food
2026-01-02 * "Shop" "Bread"
  Expenses:Food   3.50 EUR
  Assets:Cash
"""
RADICALE = """
[auth]
type = none
[storage]
filesystem_folder = {data}
[rights]
type = authenticated
"""
SUPYSONIC = """
[base]
database_uri = sqlite:///{data}/s.db
[webapp]
cache_dir = {data}/cache
"""
WAGTAIL = """
from mysite.settings.base import *
SECRET_KEY = "key"
DEBUG = False
ALLOWED_HOSTS = ["*"]
DATABASES["default"] |= {{"NAME": "{data}/db", "OPTIONS": {{"timeout": 30}}}}
STORAGES["staticfiles"] = {{"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
"""
SPIRIT = """
from mysite.settings.base import *
ST_SITE_URL = "http://localhost/"
SECRET_KEY = "key"
DEBUG = False
ALLOWED_HOSTS = ["*"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{data}/db"}}}}
DATABASES["default"]["OPTIONS"] = {{"timeout": 30}}
HAYSTACK_CONNECTIONS["default"]["PATH"] = "{data}/index"
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
"""
SUPERUSER = (
    "DJANGO_SUPERUSER_PASSWORD=secret "
    "python manage.py createsuperuser --noinput --username root --email r@r.io"
)
LUTE = """
ENV: prod
DBNAME: lute.db
DATAPATH: {data}
"""
OTTERWIKI = """
REPOSITORY = "{data}/repo"
SQLALCHEMY_DATABASE_URI = "sqlite:///{data}/wiki.db"
SECRET_KEY = "sixteen letters!"
"""
APPLICATIONS = (
    Application(
        "ihatemoney",
        "shared expenses",
        "spiral-project",
        "`ihatemoney.run:create_app`, Flask's own server; Flask-SQLAlchemy, history tables on SQLite",
        "projects, members and bills over its JSON API, signed requests, a wrong password, a page",
        ("ihatemoney.run:create_app",),
        "ihatemoney_scenario.py",
        1,
        (("IHATEMONEY_SETTINGS_FILE_PATH", str(HERE / "ihatemoney_settings.py")),),
    ),
    Application(
        "sqlite-web",
        "a database in the browser",
        "Charles Leifer",
        "`sqlite_web --no-browser some.db`; peewee on SQLite",
        "tables made, filled, listed and queried in pages and forms; `random()` in SQL",
        ("--", "sqlite_web", "--no-browser", "{data}/some.db"),
        "sqlite_web_scenario.py",
        3,
    ),
    Application(
        "lute3",
        "reading with a dictionary",
        "Jeff Zohrab",
        "`python -m lute.main`, waitress; Flask-SQLAlchemy on SQLite, a backup scheme, YAML",
        "books, pages, terms, tables; some answers are unhandled exceptions, in both phases",
        ("--", "python", "-m", "lute.main", "--local", "--config", "lute.yml"),
        "lute_scenario.py",
        2,
        files=(("lute.yml", LUTE),),
    ),
    Application(
        "httpbin",
        "requests, echoed",
        "Kenneth Reitz, PSF",
        "`httpbin:app`, Flask's own server",
        "random bytes, identifiers, delays, streams, compression, cookies, digest authentication, uploads",
        ("httpbin:app",),
        "httpbin_scenario.py",
        2,
    ),
    Application(
        "moto[server]",
        "a stand-in for AWS",
        "Steve Pulec",
        "`moto_server`, Werkzeug; in memory",
        "buckets and objects of S3, queues of SQS",
        ("--", "moto_server", "-p", "5555"),
        "moto_scenario.py",
        2,
    ),
    Application(
        "isso",
        "comments",
        "Martin Zimmermann",
        "`isso -c isso.cfg run`, Werkzeug; SQLite",
        "comments written, read, liked, edited, removed; edits without their cookie are refused",
        ("--", "isso", "-c", "isso.cfg", "run"),
        "isso_scenario.py",
        3,
        files=(("isso.cfg", ISSO),),
    ),
    Application(
        "bepasty",
        "a pastebin",
        "Thomas Waldmann",
        "`bepasty.wsgi:application`; files",
        "texts pasted, listed, downloaded, removed",
        ("bepasty.wsgi:application",),
        "bepasty_scenario.py",
        3,
        (("BEPASTY_CONFIG", "{here}/bepasty.conf"),),
        (("bepasty.conf", BEPASTY),),
    ),
    Application(
        "updog",
        "a file server",
        "sc0tfree",
        "`updog -d folder`; files",
        "files uploaded, listed, fetched",
        ("--", "updog", "-d", "{data}", "-p", "9090"),
        "updog_scenario.py",
        3,
    ),
    Application(
        "fava",
        "accounts",
        "Jakob Schnitzer, Dominik Aumayr",
        "`fava.application:create_app([...], poll_watcher=True)`; a parser in C",
        "reports, journals, entries added to the file",
        ("fava.application:create_app(['{data}/ledger.beancount'], poll_watcher=True)",),
        "fava_scenario.py",
        2,
        files=(("data/ledger.beancount", LEDGER),),
    ),
    Application(
        "flaskcode",
        "a code editor",
        "Sujeet Kumar",
        "`flaskcode folder`; files",
        "files opened, made, changed; fetching one is a 500 with today's Flask, in both phases",
        ("--", "flaskcode", "{data}", "-p", "5001"),
        "flaskcode_scenario.py",
        3,
        files=(("data/a.txt", "one"),),
    ),
    Application(
        "klaus",
        "git repositories",
        "Jonas Haag",
        "`klaus repo`, Flask's own server; dulwich, `git` in subprocesses",
        "history, files, blame, archives",
        ("--", "klaus", "--port", "8080", "{data}/repo"),
        "klaus_scenario.py",
        2,
        prepare=(
            "git init -q {data}/repo",
            "cd {data}/repo; echo 1 > a.txt; git add a.txt",
            "cd {data}/repo; git -c user.name=n -c user.email=a@b commit -qm first",
        ),
    ),
    Application(
        "supysonic",
        "a music server",
        "Alban Féron",
        "`supysonic.web:create_application`; peewee on SQLite",
        "the Subsonic API, random songs, playlists, logins",
        ("supysonic.web:create_application",),
        "supysonic_scenario.py",
        2,
        files=(("supysonic.conf", SUPYSONIC),),
        prepare=("supysonic-cli user add alice -p word",),
    ),
    Application(
        "radicale waitress",
        "calendars",
        "Guillaume Ayoub, Unrud",
        "`waitress-serve radicale:application`; files and locks",
        "calendars and events over CalDAV",
        ("--", "waitress-serve", "radicale:application"),
        "radicale_scenario.py",
        2,
        (("RADICALE_CONFIG", "{here}/radicale.conf"),),
        (("radicale.conf", RADICALE),),
    ),
    Application(
        "pypiserver",
        "a package index",
        "Ralf Schmitt",
        "`pypi-server run --server wsgiref`; Bottle, files",
        "packages uploaded, listed, downloaded",
        ("--", "pypi-server", "run", "--server", "wsgiref", "-p", "8080", "-a", ".", "-P", ".", "{data}"),
        "pypiserver_scenario.py",
        3,
        files=(("data/some-1.0.tar.gz", "content"),),
    ),
    Application(
        "snappass fakeredis setuptools<81",
        "passwords that are read once",
        "Pinterest",
        "`snappass.main:app`; encrypted, in `fakeredis`",
        "passwords stored, previewed, fetched, refused the second time",
        ("snappass.main:app",),
        "snappass_scenario.py",
        3,
        (("MOCK_REDIS", "1"),),
    ),
    Application(
        "wsgidav cheroot",
        "files over WebDAV",
        "Martin Wendt, Ho Chun Wei",
        "`wsgidav --server wsgiref`; files",
        "collections and files made, listed, copied, locked, unlocked, removed",
        (
            *("--", "wsgidav", "--auth", "anonymous", "--root", "{data}", "--port", "8080"),
            *("--server", "wsgiref", "--no-config"),
        ),
        "wsgidav_scenario.py",
        2,
    ),
    Application(
        "otterwiki",
        "a wiki on git",
        "Ralph Thesen",
        "`otterwiki.server:app`; Flask-SQLAlchemy, GitPython",
        "pages edited, saved, read, listed with their history; at concurrency 8 some requests end in 500 or "
        "hang for 30 s, without loadgen too (`index.lock` could not be obtained)",
        ("otterwiki.server:app",),
        "otterwiki_scenario.py",
        1,
        (("OTTERWIKI_SETTINGS", "{here}/otterwiki.cfg"),),
        (("otterwiki.cfg", OTTERWIKI),),
        ("git init -q {data}/repo",),
    ),
    Application(
        "trac waitress setuptools<81",
        "tickets and a wiki",
        "Edgewall",
        "`waitress-serve trac.web.main:dispatch_request`; SQLite, plug-ins by entry points",
        "tickets made, listed, searched; pages of the wiki",
        ("--", "waitress-serve", "trac.web.main:dispatch_request"),
        "trac_scenario.py",
        1,
        (("TRAC_ENV", "{here}/env"),),
        (),
        (
            "trac-admin {here}/env initenv some sqlite:{data}/trac.db",
            "trac-admin {here}/env permission add anonymous TICKET_CREATE",
        ),
    ),
    Application(
        "wagtail",
        "a content management system on Django",
        "Torchbox",
        "`mysite.wsgi:application` of `wagtail start`; Django's ORM on SQLite",
        "the site read and searched; editors log in, read its history, add and publish pages, list them",
        ("--cwd", "{here}/site", "mysite.wsgi:application"),
        "wagtail_scenario.py",
        1,
        (("DJANGO_SETTINGS_MODULE", "recorded"),),
        (("recorded.py", WAGTAIL),),
        (
            "mkdir site && wagtail start mysite site && cp recorded.py site/",
            f"cd site && python manage.py migrate -v 0 && {SUPERUSER}",
        ),
    ),
    Application(
        "django-spirit",
        "a forum on Django",
        "Esteban Castro Borsani",
        "`mysite.wsgi:application` of `spirit startproject`; Django's ORM on SQLite",
        "members log in, publish topics, comment, read",
        ("--cwd", "{here}/mysite", "mysite.wsgi:application"),
        "spirit_scenario.py",
        1,
        (("DJANGO_SETTINGS_MODULE", "recorded"),),
        (("recorded.py", SPIRIT),),
        (
            "spirit startproject mysite && cp recorded.py mysite/",
            f"cd mysite && python manage.py spiritinstall -v 0 && {SUPERUSER}",
        ),
    ),
    Application(
        "oidc-provider-mock",
        "logins with OpenID Connect",
        "Thomas Scholtes",
        "`oidc-provider-mock`, uvicorn in front of Flask; RSA keys of `cryptography`, in memory",
        "keys, clients, users, codes, signed tokens, and a code that is used twice",
        ("--", "oidc-provider-mock"),
        "oidc_scenario.py",
        1,
    ),
    Application(
        "pandas matplotlib",
        "with Matplotlib, in a server of tables and pictures, `tests/third_party/numerical_server.py`",
        "pandas and Matplotlib developers",
        "Flask's own server; temporary files",
        "groups, samples, clocks, CSV, pickles, PNG, SVG and PDF",
        (str(HERE / "numerical_server.py"),),
        "numerical_scenario.py",
        2,
    ),
    Application(
        "pymongo apscheduler argon2-cffi arrow babel cachetools diskcache faker fakeredis filelock "
        "flask-caching flask-limiter humanize loguru mongomock msgpack nanoid networkx openpyxl orjson "
        "passlib pendulum pillow polars pony portalocker prometheus-client pyarrow pydantic pyjwt "
        "python-docx python-ulid qrcode reportlab sentry-sdk shortuuid structlog tenacity tinydb whoosh "
        "xlsxwriter",
        "`bson`, in a server with 40 other libraries, `tests/third_party/libraries_server.py`",
        "many",
        "Flask's own server; files, SQLite, a scheduler's threads, pools",
        "caches, stores, documents, identifiers, secrets, clocks, logs, metrics, locks, limits",
        (str(HERE / "libraries_server.py"),),
        "libraries_scenario.py",
        2,
    ),
)
