"""Seven kinds of clients that people have, each recorded through the gateway and verified, several times.

Not part of the check command: it needs wrk, locust, chromium and curl, and takes minutes. Run it with
``pytest -m third_party tests/clients``; ``LOADGEN_TIMES`` says how often (10), ``LOADGEN_TABLE`` a file that
gets a line for each kind. ``docs/clients.md`` has what came out.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from loadgen.core.spec import CommandTraffic, GatewaySpec
from tests.engine.conftest import Bench
from tests.engine.test_gateway import visited

pytestmark = pytest.mark.third_party

HERE = Path(__file__).parent
TIMES = int(os.environ.get("LOADGEN_TIMES", "10"))
BROWSER = (
    "d=$(mktemp -d); timeout 60 chromium --headless --no-sandbox --disable-gpu --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --user-data-dir=$d "
    "--timeout=20000 --virtual-time-budget=20000 --dump-dom {url}/ 2>/dev/null | grep -o 'got . posted .'"
)
CURL = (
    "curl -s -c jar -b jar {url}/ >/dev/null; curl -s -b jar {url}/item/1; curl -sL {url}/item/2; "
    "curl -s -H 'Expect: 100-continue' --data-binary @large {url}/item >/dev/null & curl -sI {url}/ & wait; "
    "http_proxy={url} curl -s http://site.test/item/3; curl -s -X DELETE {url}/item; curl -s --http1.0 {url}/"
)
KINDS: dict[str, tuple[str, str, str]] = {
    "a script with requests": ("", f"{sys.executable} {HERE}/shop.py {{url}}", ""),
    "eight of them at once": ("", f"{sys.executable} {HERE}/shop.py {{url}} 8", ""),
    "wrk, 8 connections, 3 s": ("", f"wrk -t1 -c8 -d3 -s {HERE}/post.lua {{url}}/api/users?x=1", "wrk"),
    "Locust, 8 users, 5 s": (
        "",
        f"locust -f {HERE}/locust_shop.py --headless -u 8 -r 8 -t 5s --only-summary -H {{url}}",
        "locust",
    ),
    "pytest with a session": ("", f"{sys.executable} -m pytest -q -p no:cacheprovider {HERE}/suite.py", ""),
    "two Chromiums": ("site.py", f"({BROWSER}) & ({BROWSER}) & wait", "chromium"),
    "curl": ("site.py", CURL, "curl"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kind(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this client did replays identically, every time."""
    server, command, needs = KINDS[kind]
    if needs and shutil.which(needs) is None:
        pytest.fail(f"{needs} is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large").write_bytes(b"x" * 2_000_000)
    bench = Bench(tmp_path)
    target = (str(HERE / server),) if server else ()
    found, requests, most = Counter[str](), list[int](), list[int]()
    for number in range(TIMES):
        gateway = GatewaySpec(proxy_for=("site.test",))
        run = f"run-{number}"
        recorded = visited(bench, CommandTraffic(client=command), *target, run=run, gateway=gateway)
        requests.append(recorded.totals.requests)
        most.append(recorded.manifest.concurrency)
        verified = bench.verify(run, timeout=60)
        found[verified.verdict.judgement.value] += 1
    line = (
        f"| {kind} | {min(requests)}-{max(requests)} | {max(most)} | {found['identical']} of {TIMES} |"
        f" {dict(found) if found['identical'] < TIMES else ''} |\n"
    )
    if table := os.environ.get("LOADGEN_TABLE"):
        with Path(table).open("a", encoding="utf-8") as file:
            file.write(line)
    assert found == {"identical": TIMES}, line
