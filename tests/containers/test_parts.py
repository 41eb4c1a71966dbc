"""The parts of a session in containers that need no Docker."""

from __future__ import annotations

import io
import os
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from loadgen.cli.load import shape as chosen_shape
from loadgen.client.builtin import find
from loadgen.client.scenario_file import load
from loadgen.client.session import Outcome
from loadgen.client.traffic.call import Call
from loadgen.client.traffic.playing import playing
from loadgen.containers import attached, blame, carry, image, layout, owner, place
from loadgen.containers.daemon import Ended
from loadgen.containers.events import Listener, Teller
from loadgen.containers.session import Ends
from loadgen.core.comparison import Difference
from loadgen.core.pacing import AT_ONCE, Shape
from loadgen.core.verdict import Divergence, Judgement, Reason, Verdict
from loadgen.errors import EngineFault, HarnessFault, Interrupted, ServerFault
from loadgen.record import Recorded, Watcher
from loadgen.traced import lifeline

if TYPE_CHECKING:
    from pathlib import Path


class Watched(Watcher):
    """Keeps what it sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def stage(self, what: str) -> None:
        self.seen.append(f"stage {what}")

    def say(self, line: str) -> None:
        self.seen.append(f"say {line}")


def test_both_ends_of_the_lifeline_speak_the_same() -> None:
    """The server's half may not be imported by the driver's, so they are compared here."""
    assert (attached.STOP, attached.COMPLETE) == (lifeline.STOP, lifeline.COMPLETE)


def test_a_load_and_its_scenario_are_named_in_the_containers(tmp_path: Path) -> None:
    """What the load generator inside is asked for is, once it is read there, what was asked for here."""
    shape = Shape(90.5, 0.25, 100 / 60)
    settings = SimpleNamespace(shape=shape, iterations=3)
    options = place._load(settings)  # type: ignore[arg-type]
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given.keys() == {"--duration", "--ramp-up", "--rate"}
    again = chosen_shape(given["--duration"], given["--ramp-up"], given["--rate"], None)
    assert list(again.schedule()) == pytest.approx(list(shape.schedule()))
    assert place._load(SimpleNamespace(shape=AT_ONCE, iterations=3)) == ["--iterations", "3"]  # type: ignore[arg-type]

    (tmp_path / "shop.py").write_text("from loadgen import scenario\n@scenario\nasync def buy(user): ...\n")
    assert carry.scenario(find("mixed")) == ("--scenario", "mixed")
    for name in ("", ":buy"):
        chosen = load(f"{tmp_path / 'shop.py'}{name}")
        assert carry.scenario(chosen) == ("--scenario", f"/loadgen/scenarios/shop.py{name}")
    played = playing(tmp_path / "calls.txt", [Call("GET", "/", ())])
    assert carry.scenario(played) == ("--from", "/loadgen/scenarios/calls.txt")


def test_what_is_told_is_heard() -> None:
    """Every event survives the way through a container's log; an error keeps its kind."""
    out = io.StringIO()
    reader, writer = os.pipe()

    def tell() -> None:
        with Teller(out, reader) as teller:
            teller.stage("one")
            teller.say("two")
            outcome = Outcome(3, 1, {"E: x": 1})
            teller.recorded(Recorded(None, None, outcome, interrupted=True))  # type: ignore[arg-type]
            raise ServerFault("three", advice="four")

    with pytest.raises(ServerFault):
        tell()
    watched = Watched()
    listener = Listener(watched)
    for line in ("noise", '{"event": "unknown"}', "[]", *out.getvalue().splitlines()):
        listener.hear(line)
    assert watched.seen == ["stage one", "say two"]
    assert listener.outcome == Outcome(3, 1, {"E: x": 1})
    assert listener.interrupted
    assert isinstance(listener.error, ServerFault)
    assert (listener.error.message, listener.error.advice) == ("three", "four")
    del writer  # closing it would interrupt this process, as it should


@pytest.mark.parametrize(
    ("ends", "kind", "words"),
    [
        (Ends(Ended(137, out_of_memory=True), Ended(3, out_of_memory=False)), ServerFault, "out of memory"),
        (Ends(Ended(137, out_of_memory=False), Ended(3, out_of_memory=False)), ServerFault, "SIGKILL"),
        (Ends(Ended(1, out_of_memory=False), None), ServerFault, "exit code 1"),
        (Ends(Ended(0, out_of_memory=False), Ended(137, out_of_memory=False)), HarnessFault, "SIGKILL"),
        (Ends(Ended(0, out_of_memory=False), None), EngineFault, "before anyone could talk to it"),
    ],
)
def test_blame(tmp_path: Path, ends: Ends, kind: type[Exception], words: str) -> None:
    """The container that did not leave by itself is to blame, with the end of its log."""
    (tmp_path / "log").write_text("last words\n")
    error = blame.fault(
        ends, None, phase="record", memory="512m", log=tmp_path / "log", driver_log=tmp_path / "log"
    )
    assert isinstance(error, kind)
    assert words in error.message


def test_a_driver_that_we_interrupted_is_not_quoted(tmp_path: Path) -> None:
    """It was ended because its server was gone: that is what is told."""
    ends = Ends(Ended(137, out_of_memory=False), Ended(130, out_of_memory=False))
    error = blame.fault(
        ends,
        Interrupted("interrupted"),
        phase="replay",
        memory="1g",
        log=tmp_path / "no",
        driver_log=tmp_path,
    )
    assert isinstance(error, EngineFault)
    assert "interrupted" not in error.message


def test_an_image_is_named_after_its_content(tmp_path: Path) -> None:
    """The same content has the same digest, any other content another; what is no code is left out."""
    (tmp_path / "serve.py").write_text("1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")
    recipe = image.Recipe("base", None, tmp_path)

    def pack(base: str = "sha256:1") -> tuple[str, set[str]]:
        file = io.BytesIO()
        digest = image._pack(recipe, base, file)
        file.seek(0)
        return digest, set(tarfile.open(fileobj=file).getnames())

    first, names = pack()
    assert pack() == (first, names)
    assert pack("sha256:2")[0] != first
    assert {"app/serve.py", "pyproject.toml", "compose/Dockerfile", "loadgen/__init__.py"} <= names
    assert not any(".git" in name or name.endswith(".pyc") for name in names)
    (tmp_path / "serve.py").write_text("2")
    assert pack()[0] != first


def test_only_dead_processes_of_this_machine_abandon_what_they_made() -> None:
    """A number that was used again, or another machine's process, is not taken for a dead one."""
    mine = owner.mine()
    host, pid, _ = mine.split("/")
    assert not owner.abandoned(mine)
    assert owner.abandoned(f"{host}/{pid}/1")
    assert owner.abandoned(f"{host}/{2**22 + 1}/1")
    assert not owner.abandoned(f"elsewhere/{pid}/1")
    assert not owner.abandoned("")


def test_more_users_may_have_more_threads() -> None:
    """The limit never stops the concurrency that was asked for."""
    assert layout.pids(8) == layout.PIDS
    assert layout.pids(1024) > 2 * 1024


def test_a_verdict_survives_its_file() -> None:
    """What comes out of a container is shown in the same words."""
    one = Divergence(1, 0, "GET", "/", (Difference("status", "200", "500"),), "left", ("frame",), 3)
    verdict = Verdict(
        Judgement.DIVERGED, [Reason("engine", "why")], requests=2, compared=2, diverged=1, divergences=[one],
        order=one, order_steps=4, client_order_same=True, facts={"run": "x"},
    )  # fmt: skip
    assert Verdict.from_json(verdict.to_json()) == verdict
