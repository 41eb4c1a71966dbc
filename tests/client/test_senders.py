"""Senders other than virtual users, and the options that do not work with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from loadgen.client.gateway.command import program
from loadgen.client.plan import decided, plan
from loadgen.client.senders import address_of
from loadgen.core.pacing import Shape
from loadgen.core.spec import (
    CommandTraffic,
    FileTraffic,
    GatewaySpec,
    ListenTraffic,
    Load,
    ModeName,
    RecordTopology,
    RunSpec,
    Runtime,
)
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = RunSpec(traffic=CommandTraffic(client="curl {url}"))
DOCKER = RecordTopology(runtime=Runtime.DOCKER)
LISTEN = RunSpec(traffic=ListenTraffic(listen="8080"))


def decide(spec: RunSpec) -> RunSpec:
    scenario, _ = plan(spec.traffic)
    return decided(spec, scenario)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8080", "127.0.0.1", 8080),
        ("0", "127.0.0.1", 0),
        ("localhost:1", "localhost", 1),
        (":80", "0.0.0.0", 80),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("[::1]:80", "::1", 80),
    ],
)
def test_address(text: str, host: str, port: int) -> None:
    """A port alone means this machine; everything else is used as given."""
    assert address_of(text) == (host, port)


@pytest.mark.parametrize("text", ["", "host", "host:", "1:x", "::1:80", "1.2.3.4:70000", "x:-1", "x:\xb2"])
def test_no_address(text: str) -> None:
    """An invalid address is refused before anything is started."""
    with pytest.raises(UsageError, match="not an address") as raised:
        decide(replace(LISTEN, traffic=ListenTraffic(listen=text)))
    assert "HOST:PORT" in raised.value.advice


@pytest.mark.parametrize("spec", [COMMAND, LISTEN], ids=["client", "listen"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"load": Load(concurrency=3)}, "--concurrency"),
        ({"load": Load(iterations=3)}, "--iterations"),
        ({"load": Load(shape=Shape(10, 1))}, "--ramp-up"),
        ({"load": Load(shape=Shape(10, 0, 5))}, "--rate"),
        ({"gateway": GatewaySpec(user_by="path:x")}, "--user-by"),
    ],
)
def test_options_that_make_no_sense(spec: RunSpec, change: dict[str, object], says: str) -> None:
    """Options that the client decides, or that are impossible, are refused by name."""
    with pytest.raises(UsageError, match=says):
        decide(replace(spec, **change))


@pytest.mark.parametrize("change", [{"topology": DOCKER}, {"mode": ModeName.CLIENT}])
def test_an_open_port_is_only_here(change: dict[str, object]) -> None:
    """A program can be traced, and can run in the container; who comes to a port can do neither."""
    decide(replace(COMMAND, **change))
    with pytest.raises(UsageError, match=r"--runtime docker|--trace client"):
        decide(replace(LISTEN, **change))


@pytest.mark.parametrize(
    "command", ["python a.py | tee b", "cd x && python a.py", "python 'a", "A=1", "a > b"]
)
def test_a_traced_client_is_one_program(command: str) -> None:
    """A shell's line is refused, before anything is started."""
    traffic = CommandTraffic(client=command)
    with pytest.raises(UsageError, match="--client"):
        decide(replace(COMMAND, traffic=traffic, mode=ModeName.CLIENT))
    decide(replace(COMMAND, traffic=traffic))


def test_variables_of_a_program() -> None:
    """They come before its words, as in a shell."""
    assert program("A=1 B='x y' python a.py C=2") == (["A=1", "B=x y"], ["python", "a.py", "C=2"])


def test_a_duration() -> None:
    """A port can be open for a time; a command ends by itself."""
    load = Load(shape=Shape(10))
    assert decide(replace(LISTEN, load=load)).load.shape.duration == 10
    with pytest.raises(UsageError, match="--duration"):
        decide(replace(COMMAND, load=load))


def test_concurrency_is_known_at_the_end() -> None:
    """Before the session nothing is claimed about how many clients there are."""
    assert decide(COMMAND).load.concurrency == 0


@pytest.mark.parametrize("gateway", [GatewaySpec(user_by="cookie:a"), GatewaySpec(proxy_for=("x",))])
def test_gateway_options_need_the_gateway(gateway: GatewaySpec) -> None:
    """They apply only to clients of the gateway."""
    with pytest.raises(UsageError, match="needs --client or --listen"):
        RunSpec(gateway=gateway)


def test_a_run_is_of_one_server(tmp_path: Path) -> None:
    """Hosts choose among the servers of a HAR file; with a run there is nothing to choose."""
    with pytest.raises(UsageError, match="--host"):
        plan(FileTraffic(file=str(tmp_path), hosts=("shop.test",)))


def test_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    """It is refused at once."""
    with pytest.raises(UsageError, match=r"no run\.json"):
        plan(FileTraffic(file=str(tmp_path)))
