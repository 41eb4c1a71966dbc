"""JSON files that contain a digest of their own content, so that damage is detected.

The seal is the SHA-256 of the rest of the file in canonical form: keys sorted, no spaces. Indentation and the
order of keys may change; keys and values may not. It detects damage and careless edits. It is not a
signature: anybody who edits a file deliberately can seal it again.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from loadgen.errors import RecordingFault
from loadgen.store.files import read_regular, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SEAL = "seal"
_DAMAGED = "The file was changed or damaged. Restore it, or record again: loadgen record"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return *content* with a new seal, replacing any previous one."""
    bare = {key: value for key, value in content.items() if key != SEAL}
    return {**bare, SEAL: _seal(bare)}


def encode(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of the file that holds *content*."""
    return (json.dumps(sealed(content), indent=2) + "\n").encode()


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write *content* and its seal to *path*, as a whole."""
    write_bytes(path, encode(content))


def read(path: Path, wanted: str) -> dict[str, Any]:
    """Return the content of the file at *path*, which must be of the format *wanted*, without its seal.

    Raises:
        RecordingFault: it cannot be read, is of another format, or is not what was sealed.
    """
    try:
        content = json.loads(read_regular(path).decode())
    except OSError as error:
        raise RecordingFault(
            f"{path} cannot be read: {error.strerror or error}",
            advice="Make it readable, restore it, or record again: loadgen record",
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecordingFault(f"{path} cannot be read: {error}", advice=_DAMAGED) from error
    if not isinstance(content, dict):
        raise RecordingFault(f"{path} is damaged: it is not a JSON object", advice=_DAMAGED)
    _check_format(path, content, wanted)
    seal = content.pop(SEAL, None)
    if seal is None:
        raise RecordingFault(f"{path} is damaged: it has no seal", advice=_DAMAGED)
    try:
        fits = seal == _seal(content)
    except RecursionError:
        fits = False
    if not fits:
        raise RecordingFault(
            f"{path} is not what was written: its content does not match its seal", advice=_DAMAGED
        )
    return content


def _seal(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()


def _check_format(path: Path, content: Mapping[str, Any], wanted: str) -> None:
    """Refuse a different format or version, and name the loadgen version that made the file."""
    found = content.get("format")
    if found == wanted:
        return
    name, _, number = wanted.partition("/")
    versions = content.get("versions")
    maker = versions.get("loadgen") if isinstance(versions, dict) else None
    by = f" (loadgen {maker})" if isinstance(maker, str) else ""
    kind, _, theirs = found.partition("/") if isinstance(found, str) else ("", "", "")
    if kind == name and theirs.isdecimal() and len(theirs) < len(number) + 3:
        age = "an older" if int(theirs) < int(number) else "a newer"
        raise RecordingFault(
            f"{path} was made by {age} loadgen{by} and cannot be read: its format is {found!r}, "
            f"this loadgen reads {wanted!r}",
            advice="Verify it with the loadgen that recorded it, or record again: loadgen record",
        )
    what = "it does not say its format" if found is None else f"its format is {str(found)[:80]!r}"
    raise RecordingFault(
        f"{path} is damaged: {what}, and this loadgen reads {wanted!r}",
        advice=_DAMAGED,
    )


def lacks_only(read: Any, written: Any) -> bool:
    """Return whether *read* is what loadgen would write, or lacks fields that were added since.

    Any other difference is damage.
    """
    if isinstance(read, dict) and isinstance(written, dict):
        return all(name in written and lacks_only(one, written[name]) for name, one in read.items())
    if isinstance(read, list) and isinstance(written, list):
        return len(read) == len(written) and all(map(lacks_only, read, written))
    return type(read) is type(written) and bool(read == written)
