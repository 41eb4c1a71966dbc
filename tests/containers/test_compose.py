"""``compose/`` and the Docker SDK make equal containers: both follow :mod:`loadgen.containers.layout`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.containers import layout

FILE = Path(__file__).parents[2] / "compose" / "docker-compose.yml"


def read() -> dict[str, Any]:
    """Return the compose file with every variable at its default."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", FILE.read_text())
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@pytest.fixture(params=layout.SERVICES, ids=lambda service: service.name)
def both(request: pytest.FixtureRequest) -> tuple[dict[str, Any], layout.Service]:
    """A service of the compose file, and of the layout."""
    return read()["services"][request.param.name], request.param


def test_the_services_are_the_same() -> None:
    """No container runs one way that does not the other way."""
    assert list(read()["services"]) == [service.name for service in layout.SERVICES]


def test_hardening_is_the_same(both: tuple[dict[str, Any], layout.Service]) -> None:
    """Every option of the layout is in the compose file, with the same value, and nothing weakens it."""
    composed, _ = both
    expected = layout.hardening()
    expected["tmpfs"] = [f"{path}:{options}" for path, options in expected["tmpfs"].items()]
    assert {name: composed[name] for name in expected} == expected
    assert not {"privileged", "cap_add", "ports", "devices", "env_file", "environment", "pid", "ipc"} & set(
        composed
    )


def test_the_topology_is_the_same(both: tuple[dict[str, Any], layout.Service]) -> None:
    """The same command in the same folder, on the same network, with the same right to the volume."""
    composed, service = both
    assert tuple(composed["command"][: len(service.command)]) == service.command
    assert composed["working_dir"] == service.workdir
    assert composed["volumes"] == [f"run:{layout.HOME}" + (":ro" if service.volume == "ro" else "")]
    if service.network == "record":
        assert composed["networks"] == ["record"]
        assert {name: composed[name] for name in layout.NAMES} == layout.NAMES
        assert "network_mode" not in composed
    else:
        assert composed["network_mode"] == service.network
        assert "networks" not in composed


def test_the_recording_network_is_internal() -> None:
    """It has no way out."""
    assert read()["networks"] == {"record": {"internal": True}}


def test_the_client_waits_for_a_healthy_server() -> None:
    """And never shares the server's container."""
    services = read()["services"]
    for client, server in (("record", "flask-record"), ("replay", "flask-replay")):
        assert services[client]["depends_on"] == {server: {"condition": "service_healthy"}}
        assert f":{layout.HTTP_PORT:04X} " in services[server]["healthcheck"]["test"][-2]


def test_the_image_has_the_user_and_the_volume_of_the_layout() -> None:
    """A named volume takes the owner of the image's folder, so that must be the containers' user."""
    dockerfile = (FILE.parent / "Dockerfile").read_text()
    assert f"USER {layout.USER}" in dockerfile
    assert f"chown {layout.USER} {layout.HOME}" in dockerfile
