"""Reads JSON and YAML; PyYAML comes with an extra."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

YAML = frozenset({".yaml", ".yml"})


def looks_like_json(content: bytes) -> bool:
    """Whether *content* begins as JSON does."""
    return content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}


def parsed(file: Path, content: bytes) -> Any:
    """Return what *content* of *file* holds.

    Raises:
        UsageError: it is neither JSON nor YAML.
    """
    if looks_like_json(content):
        try:
            return json.loads(content.decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            if file.suffix.lower() not in YAML:  # which has braces, too
                raise UsageError(f"{file}, line {error.lineno}: not JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{file} is not JSON: {error}") from error
    try:
        import yaml  # noqa: PLC0415 - it comes with an extra
    except ImportError:
        raise UsageError(
            f"{file} is YAML, and PyYAML is not installed", advice="Install it: pip install pyyaml"
        ) from None
    try:
        return json.loads(json.dumps(yaml.safe_load(content), default=str))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not YAML: {error}") from error
