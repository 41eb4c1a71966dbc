"""Which files are on the tape."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from retracesoftware.install import pathpredicate

from loadgen.traced import settings
from loadgen.traced.gaps import files, imports
from loadgen.traced.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def on_the_tape(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | str], Callable[[str], bool]]:
    """Return what says whether a file is on the tape, given the application's folder."""

    def asked(application: Path | str) -> Callable[[str], bool]:
        monkeypatch.setattr(pathpredicate, "load_patterns", pathpredicate.load_patterns)
        monkeypatch.setattr(pathpredicate, "make_pathpredicate", pathpredicate.make_pathpredicate)
        monkeypatch.setattr(settings, "CURRENT", Settings(application=str(application)))
        imports.read_code_live()
        files.take_files_from_the_tape()
        return pathpredicate.make_pathpredicate(pathpredicate.load_patterns())  # type: ignore[no-any-return]

    return asked


def test_what_is_no_code_is_on_the_tape(
    tmp_path: Path, on_the_tape: Callable[[Path], Callable[[str], bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is the folder of the application itself, and files anywhere else."""
    monkeypatch.chdir(tmp_path)
    asked = on_the_tape(tmp_path)
    recorded = (".", "a", str(tmp_path), f"{tmp_path}/data/a.txt", "/srv/data/log", "/var/lib/shop/shop.db",
                "/dev/urandom", "/proc/meminfo", "/etc/hostname", "/tmp", "/tmp/a", "/home/a")  # fmt: skip
    code = (f"{tmp_path}/app.py", f"{tmp_path}/__pycache__/app.pyc", f"{tmp_path}/templates/a.html",
            f"{tmp_path}/.venv/lib/python3.11/site-packages/certifi/cacert.pem", "/usr/share/zoneinfo/UTC",
            f"{sys.base_prefix}/lib/python3/pydoc_data/topics", f"{sys.prefix}/lib/x")  # fmt: skip
    assert [name for name in (*recorded, *code) if asked(name)] == [*recorded]


@pytest.mark.parametrize("given", ["here", "link"])
def test_the_application_may_be_among_libraries(
    tmp_path: Path,
    on_the_tape: Callable[[Path], Callable[[str], bool]],
    monkeypatch: pytest.MonkeyPatch,
    given: str,
) -> None:
    """As ``/usr/src/app`` is; by each name of its folder."""
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.setattr(imports, "_SYSTEM", (str(tmp_path),))
    asked = on_the_tape(tmp_path / given)
    assert asked(f"{tmp_path}/{given}/data")
    assert asked(f"{tmp_path}/here/data")
    assert not asked(f"{tmp_path}/here/site-packages/a")
