"""Removes the temporary folders, containers, networks and volumes that killed sessions left behind.

Resources of running sessions stay, as do those created from other machines that share the Docker engine:
only those machines know whether they are still needed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loadgen.containers.daemon import Daemon, quietly
from loadgen.containers.image import REPOSITORY
from loadgen.engine import scratch
from loadgen.engine.owner import LABEL, abandoned
from loadgen.errors import MachineFault


@dataclass(slots=True)
class Cleaned:
    """The resources found, each as ``kind name``."""

    removed: list[str] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)
    """Resources of running sessions, or of other machines."""
    not_asked: str = ""
    """Why nothing was looked for in Docker, if that is so."""


async def clean(*, images: bool) -> Cleaned:
    """Remove what killed sessions left behind; with *images*, also all images built by loadgen.

    Raises:
        MachineFault: no Docker engine answers, and *images* are asked for.
    """
    cleaned = Cleaned()
    for folder, is_abandoned in scratch.folders():
        if is_abandoned:
            shutil.rmtree(folder, ignore_errors=True)
        (cleaned.in_use if folder.exists() else cleaned.removed).append(f"folder {folder}")
    try:
        daemon = await Daemon.connect()
    except MachineFault as fault:
        if images:
            raise
        cleaned.not_asked = fault.message
        return cleaned
    for kind, what, labels, remove in await daemon.call(_found):
        if abandoned(labels.get(LABEL, "")):
            await quietly(daemon, remove)
            cleaned.removed.append(f"{kind} {what}")
        else:
            cleaned.in_use.append(f"{kind} {what}")
    if images:
        for name in await daemon.call(_images):
            if await quietly(daemon, partial(_remove_image, name)):
                cleaned.removed.append(f"image {name}")
            else:
                cleaned.in_use.append(f"image {name}")
    return cleaned


def _found(client: Any) -> list[tuple[str, str, dict[str, str], Any]]:
    """List the resources of all sessions, in an order in which they can be removed."""
    ours = {"label": LABEL}
    found = [
        ("container", one.name, one.labels, lambda _, one=one: one.remove(force=True, v=True))
        for one in client.containers.list(all=True, filters=ours, ignore_removed=True)
    ]
    found += [
        ("network", one.name, one.attrs["Labels"], lambda _, one=one: one.remove())
        for one in client.networks.list(filters=ours)
    ]
    found += [
        ("volume", one.name, one.attrs["Labels"], lambda _, one=one: one.remove(force=True))
        for one in client.volumes.list(filters=ours)
    ]
    return found


def _remove_image(name: str, client: Any) -> None:
    client.images.remove(name)


def _images(client: Any) -> list[str]:
    return [tag for one in client.images.list(REPOSITORY) for tag in one.tags]
