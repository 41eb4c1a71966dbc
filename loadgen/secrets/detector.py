"""The detector of detect-secrets, and its measure of entropy for tokens that no pattern knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loadgen.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.secrets.finding import Detect

INSTALL = "Install what it needs: pip install cryptography detect-secrets"
_LEFT_OUT = frozenset(
    {"Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector", "IPPublicDetector"}
)
"""Entropy is measured of whole tokens, and :mod:`loadgen.secrets.finding` knows the names of fields."""
_TOKEN = re.compile(r"[\w+-]{20,}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F-]{32,}")
_HEX_LIMIT, _LIMIT = 3.0, 4.0
"""Bits per character from which a token is random."""


def detector() -> Detect:
    """Return a function that finds the secrets in a text.

    Raises:
        MachineFault: detect-secrets is not installed.
    """
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # noqa: PLC0415
        from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString  # noqa: PLC0415
    except ImportError as error:
        raise MachineFault("detect-secrets is not installed, which --seal needs", advice=INSTALL) from error
    kinds: list[Any] = list(get_mapping_from_secret_type_to_class().values())
    plugins = [one() for one in kinds if one.__name__ not in _LEFT_OUT]
    entropy = Base64HighEntropyString().calculate_shannon_entropy

    def detect(text: str) -> Iterator[tuple[str, str]]:
        if len(text) < _SHORT:
            return
        for plugin in plugins:
            for found in plugin.analyze_string(text):
                yield plugin.secret_type, _token_of(found, text)
        for token in _TOKEN.findall(text):
            digits = sum(one.isdigit() for one in token)
            mixed = digits >= _DIGITS and digits < len(token) and token.lower() != token
            limit = _HEX_LIMIT if _HEX.fullmatch(token) and digits else _LIMIT if mixed else None
            if limit is not None and entropy(token) >= limit:
                yield "high entropy", token.strip("-")

    return detect


_SHORT = 8
"""Shorter texts hold nothing that it knows."""
_DIGITS = 2


def _token_of(found: str, text: str) -> str:
    """Return the token that *found* is in: some patterns give its beginning only."""
    whole = re.search(rf"[\w.+/=-]*{re.escape(found)}[\w.+/=-]*", text, re.ASCII)
    return whole[0] if whole and len(found) < _SHORT else found
