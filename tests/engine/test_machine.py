"""Limits of this machine: too many users are refused before anything runs, by the limit's name."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from loadgen.engine import machine
from loadgen.engine.machine import SPARE, check_room
from loadgen.errors import MachineFault

if TYPE_CHECKING:
    from pathlib import Path


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each user has a connection: as many as there are descriptors for, and not one more."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100 + SPARE, 4096))
    monkeypatch.setattr(machine, "_free_tasks", lambda *_: None)
    check_room(100)
    with pytest.raises(
        MachineFault, match=f"101 virtual users need {101 + SPARE} open files, .* {100 + SPARE} "
    ):
        check_room(101)


def test_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest room of the control groups around this process counts."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    (tmp_path / "self").write_text("0::/outer/inner\n")
    inner = tmp_path / "cgroup" / "outer" / "inner"
    inner.mkdir(parents=True)
    for folder, most, now in ((inner, "max", 7), (inner.parent, str(200 + SPARE + 9), 9)):
        (folder / "pids.max").write_text(f"{most}\n")
        (folder / "pids.current").write_text(f"{now}\n")
    free = machine._free_tasks(tmp_path / "self", tmp_path / "cgroup")
    assert free == 200 + SPARE
    monkeypatch.setattr(machine, "_free_tasks", lambda *_: free)
    check_room(100)
    with pytest.raises(MachineFault, match=r"101 virtual users need .* threads, .* \(pids.max\)"):
        check_room(101)


@pytest.mark.parametrize("membership", ["", "1:cpu:/here\n", "0::/not/there\n"])
def test_no_known_limit(membership: str, tmp_path: Path) -> None:
    """Where there are no such control groups, nobody is refused."""
    (tmp_path / "self").write_text(membership)
    assert machine._free_tasks(tmp_path / "self", tmp_path / "cgroup") is None
