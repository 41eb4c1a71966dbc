"""What all tests share: how many examples of each property are tried, and the event loop."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None, max_examples=8)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Return the event loop of all asynchronous tests: the one that loadgen runs on."""
    return "asyncio"
