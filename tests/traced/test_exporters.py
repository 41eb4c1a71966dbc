"""Which objects are buffers, and what they contain."""

from __future__ import annotations

import array
import ctypes
import mmap
import pickle

import pytest

from loadgen.traced.exporters import content_of, exports


class _Numbers(array.array):  # type: ignore[type-arg]
    pass


class _Pair(ctypes.Structure):
    _fields_ = (("one", ctypes.c_uint8), ("two", ctypes.c_uint8))


class _Named(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p),)


@pytest.mark.parametrize(
    ("buffer", "content"),
    [
        (b"ab", b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        (array.array("b", [1, 2]), b"\1\2"),
        (_Numbers("b", [3]), b"\3"),
        (_Pair(4, 5), b"\4\5"),
        (mmap.mmap(-1, 2), b"\0\0"),
        (pickle.PickleBuffer(b"p"), b"p"),
        (_Named(b"name"), None),  # an address
    ],
)
def test_buffers(buffer: object, content: bytes | None) -> None:
    """Objects whose memory can be read are buffers, and contain what is there, but for addresses."""
    assert exports(type(buffer))
    assert content_of(buffer) == content


def test_a_closed_one_has_no_content() -> None:
    """It is still one."""
    closed = mmap.mmap(-1, 2)
    closed.close()
    assert exports(type(closed))
    assert content_of(closed) is None


@pytest.mark.parametrize("other", ["text", 1, None, [b""], object(), _Pair, test_buffers, BytesWarning()])
def test_others(other: object) -> None:
    """Objects without memory that can be read are no buffers."""
    assert not exports(type(other))
