"""What all tests share: how many examples a property gets, the event loop, and the garbage collector."""

from __future__ import annotations

import gc
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


def pytest_sessionstart() -> None:
    """Collect no garbage while modules are imported and tests are collected: there is none."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, without looking at all modules and tests each time."""
    gc.freeze()
    gc.enable()
