"""The vault: what was packed comes back with the same key only, and keys are made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.errors import MachineFault, RecordingFault
from loadgen.secrets import vault

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a configuration folder of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(vault.VARIABLE, raising=False)
    return tmp_path


def test_the_key_is_made_once_and_private(home: Path) -> None:
    """Without a key there is none until one is needed; its file is the user's alone."""
    assert vault.key() is None
    made = vault.key(create=True)
    assert made is not None
    assert made == vault.key() == vault.key(create=True)
    file = home / "config" / "loadgen" / "secrets.key"
    assert (file.stat().st_mode & 0o777, file.read_text().strip()) == (0o600, made.text)


def test_the_variable_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CI job gives the key by a variable; what is no key is refused with its place."""
    made = vault.key(create=True)
    assert made is not None
    monkeypatch.setenv(vault.VARIABLE, "not a key")
    with pytest.raises(MachineFault, match=vault.VARIABLE):
        vault.key()
    monkeypatch.setenv(vault.VARIABLE, f"{made.text}\n")
    given = vault.key()
    assert given is not None
    assert (given.name, given.place) == (made.name, f"${vault.VARIABLE}")


def test_only_the_same_key_opens(home: Path) -> None:
    """Packed files come back; with another key, or changed, they do not."""
    (home / "a").write_bytes(b"one" * 1000)
    key = vault.Key(vault._fernet().generate_key().decode(), "here")
    other = vault.Key(vault._fernet().generate_key().decode(), "there")
    packed = vault.pack([("bodies/a", home / "a")], [("b", b"two")], key)
    assert b"one" not in packed
    vault.unpack(packed, key, home / "out")
    assert (home / "out" / "bodies" / "a").read_bytes() == b"one" * 1000
    assert (home / "out" / "b").read_bytes() == b"two"
    for content, wrong in ((packed, other), (packed[:-8], key), (b"", key)):
        with pytest.raises(RecordingFault, match="another key"):
            vault.unpack(content, wrong, home / "no")
