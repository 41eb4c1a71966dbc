"""Does a debugger, or measuring coverage, disturb a replay? Each session has a recording of its own.

A session in the terminal stops in a request, steps into and over lines, prints, lists the calls, goes back,
and lets the request run on. One of an editor (debugpy) steps, looks at the variables, and evaluates. One of
coverage verifies the run with ``--coverage``. What counts is the verdict on the replay in the end. Runs that
were not identical are kept.

    python benchmarks/debugging.py [--kind terminal|editor|coverage] [-c 8] [-n 5] [--sessions 20] [TARGET]
"""

import argparse
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the typist and the editor of the tests

from tests.engine.editor import Editor
from tests.engine.terminal import PROMPT, Typed

TYPED = (
    "n",
    "s",
    "n",
    "p 1 + 1",
    "calls",
    "s",
    "back",
    "n",
    "up",
    "p dir()",
    "down",
    "n",
    "calls all",
    "back 2",
)


def loadgen(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "loadgen", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def terminal(run: Path, chance: random.Random, requests: int) -> str:
    """Debug a request in the terminal; return the last line that came."""
    person = Typed(run.parent, "debug", str(run), "--request", str(chance.randint(1, requests)))
    try:
        person.until(PROMPT)
        for line in TYPED[: chance.randint(3, len(TYPED))]:
            person.type(line)
        person.press("c\n")
        _, said = person.end()
    except (AssertionError, EOFError):
        return f"ended early: {person.all[-300:]}"
    finally:
        person.close()
    return said


def editor(run: Path, chance: random.Random, requests: int) -> str:
    """Debug a request as an editor does; return the last line that came."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    which = str(chance.randint(1, requests))
    person = Typed(run.parent, "debug", str(run), "--request", which, "--dap", str(port))
    try:
        one = Editor(port)
        one.attach({})
        with suppress(EOFError):  # the request, and then the replay, may end on a step
            for step in ("next", "stepIn", "next", "stepOut", "next")[: chance.randint(1, 5)]:
                thread, frame = one.stopped()
                one.variables(frame)
                one.evaluate("sorted(locals())", frame)
                one.ask(step, threadId=thread)
            thread, _ = one.stopped()
            one.ask("continue", threadId=thread)
        _, said = person.end()
        one.close()
    except (AssertionError, EOFError, OSError) as error:
        return f"ended early: {error!r} {person.all[-300:]}"
    finally:
        person.close()
    return said


def coverage(run: Path, _chance: random.Random, _requests: int) -> str:
    """Verify the run with its coverage; return what came."""
    done = loadgen("verify", str(run), "--coverage", str(run.parent / "coverage"))
    return done.stdout + done.stderr


KINDS = {"terminal": terminal, "editor": editor, "coverage": coverage}


def main() -> None:
    """Run the sessions, and print a line for each and the counts."""
    parser = argparse.ArgumentParser(description="Does a debugger disturb a replay?")
    parser.add_argument("target", nargs="?")
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: each")
    parser.add_argument("--concurrency", "-c", type=int, default=8)
    parser.add_argument("--iterations", "-n", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=20, help="of each kind (default: 20)")
    options = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="loadgen-debugging-"))
    target = [options.target] if options.target else []
    counts: Counter[tuple[str, str]] = Counter()
    for session in range(1, options.sessions + 1):
        for kind in options.kind or KINDS:
            run = folder / f"{kind}-{session}"
            plan = ("-c", options.concurrency, "-n", options.iterations, "--seed", session, "--run", run)
            recorded = loadgen("record", *target, *map(str, plan), "--json")
            if recorded.returncode:
                sys.exit(recorded.stderr)
            requests = json.loads(recorded.stdout)["result"]["totals"]["requests"]
            said = KINDS[kind](run, random.Random(session), requests)
            outcome = "identical" if "IDENTICAL" in said else "not identical"
            counts[kind, outcome] += 1
            print(f"{kind:<10}{session:>3}  {requests} requests  {outcome}", flush=True)
            if outcome == "identical":
                shutil.rmtree(run)
            else:
                print(f"kept: {run}\n{said}", flush=True)
    release = ".".join(map(str, sys.version_info[:2]))
    for (kind, outcome), times in sorted(counts.items()):
        print(f"{kind:<10}{outcome:<15}{times:>3} of {options.sessions}  (CPython {release})")


if __name__ == "__main__":
    main()
