"""Senders other than virtual users, and the options that do not work with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

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
        ({"topology": RecordTopology(runtime=Runtime.DOCKER)}, "--runtime docker"),
        ({"mode": ModeName.CLIENT}, "--trace client"),
        ({"gateway": GatewaySpec(user_by="path:x")}, "--user-by"),
    ],
)
def test_options_that_make_no_sense(spec: RunSpec, change: dict[str, object], says: str) -> None:
    """Options that the client decides, or that are impossible, are refused by name."""
    with pytest.raises(UsageError, match=says):
        decide(replace(spec, **change))


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
