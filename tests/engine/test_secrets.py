"""Sealed runs: no secret is left in the run folder, and the replay is as exact as any other."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from loadgen.store.run_folder import RunFolder
from tests.engine import planted_secrets
from tests.engine.test_command_line import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]


def recorded(folder: Path, made: dict[str, list[str]]) -> None:
    """Record a sealed run with the planted secrets."""
    planted_secrets.write(folder, made)
    given = [f"--server-env={name}={value}" for name, value in planted_secrets.environment(made).items()]
    words = ("record", "shop:app", "--scenario", "visit.py", "-c", "8", "-n", "4", "--run", "sealed")
    code, out, err = run(folder, *words, *given)
    assert code == 0, out + err


def test_planted_secrets_are_not_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty secrets pass through a server: verify is identical, and nothing of them is in the folder.

    With changed code, and without the key, nothing of them is in the evidence either.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = planted_secrets.planted()
    assert sum(map(len, made.values())) == 60
    recorded(tmp_path, made)
    code, out, err = run(tmp_path, "verify", "sealed")
    assert code == 0, out + err
    assert "All 192 answers are the same" in " ".join(out.split())

    shop = tmp_path / "shop.py"
    shop.write_text(shop.read_text(encoding="utf-8").replace('"env":', '"key":'), encoding="utf-8")
    code, out, err = run(
        tmp_path, "verify", "sealed", "--junit", "sealed/junit.xml", "--summary", "sealed/summary.md"
    )
    (tmp_path / "sealed" / "out.txt").write_text(out + err, encoding="utf-8")
    assert code == 1, out + err
    assert run(tmp_path, "report", "sealed")[0] == 0

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    code, out, err = run(tmp_path, "verify", "sealed")
    assert (code, "is sealed with the key" in err) == (3, True)
    assert planted_secrets.left_in(tmp_path / "sealed", made) == []


def test_the_search_finds_what_is_hidden(tmp_path: Path) -> None:
    """The search of the test above is able to fail."""
    made = planted_secrets.planted()
    for kind, values in made.items():
        (tmp_path / "file").write_bytes(planted_secrets.hidden(values[3].encode()))
        assert any(kind in one for one in planted_secrets.left_in(tmp_path, made)), kind


def test_a_sealed_run_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sealed part that is missing or changed is undetermined, and nothing private is left behind."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    recorded(tmp_path, planted_secrets.planted())
    vault = tmp_path / "sealed" / "sealed.bin"
    content = vault.read_bytes()
    for damaged in (b"", content[:-1], bytes([content[0] ^ 1]) + content[1:]):
        vault.write_bytes(damaged)
        assert run(tmp_path, "verify", "sealed")[0] == 3
    vault.unlink()
    assert run(tmp_path, "verify", "sealed")[0] == 3
    _, manifest = RunFolder.open(tmp_path / "sealed")
    assert manifest.sealed is not None
    shutil.rmtree(tmp_path / "sealed")
