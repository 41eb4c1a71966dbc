"""A file as the body of an answer: ``wsgi.file_wrapper`` of PEP 3333.

A server that has one treats such a body differently from other iterables: waitress sends its size as the
length, gunicorn sends it as one piece. So the application gets a wrapper if its server has one. Its file is
read in the trace, and the live server gets its own wrapper, of a live file with that content.
"""

from __future__ import annotations

import inspect
import io
import os
from functools import cache
from typing import Any


class FileWrapper:
    """What the application wraps a file in, to return it."""

    default = 8192
    """Size of a piece, if the application gives none."""

    def __init__(self, filelike: Any, blksize: int | None = None) -> None:
        self.filelike = filelike
        self.blksize = self.default if blksize is None else blksize
        for name in ("close", "seekable", "seek", "tell"):  # a middleware may use them
            if hasattr(filelike, name):
                setattr(self, name, getattr(filelike, name))

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> Any:
        piece = self.filelike.read(self.blksize)
        if not piece:
            raise StopIteration
        return piece

    def content(self) -> Content | None:
        """Read the rest of the file; None: a server cannot seek in it, but only iterate."""
        file = self.filelike
        if hasattr(file, "seekable"):
            seekable = file.seekable()
        else:
            seekable = hasattr(file, "seek") and hasattr(file, "tell")
        if not seekable:
            return None
        try:
            file.fileno()
            numbered = True
        except (AttributeError, OSError):
            numbered = False
        pieces = []
        while piece := file.read(1 << 20):
            pieces.append(piece)
        return Content(pieces[0][:0].join(pieces) if pieces else b"", self.blksize, numbered=numbered)


class Content:
    """The content of a file that the application has returned."""

    def __init__(self, data: Any, blksize: int, *, numbered: bool) -> None:
        """*numbered*: whether the file has a descriptor, which a server may send from."""
        self._data = data
        self._blksize = blksize
        self._numbered = numbered

    def wrapped(self, wrapper: Any) -> Any:
        """Return a live file with this content in *wrapper*, the live server's own class."""
        text = isinstance(self._data, str)  # servers fail at it, each at another place
        file: Any = io.StringIO() if text else io.BytesIO()
        if self._numbered:
            file = open(os.memfd_create("body"), "w+" if text else "w+b")  # noqa: PTH123, SIM115
        file.write(self._data)
        file.seek(0)
        return wrapper(file, self._blksize)


@cache
def wrapper_like(wrapper: Any) -> type[FileWrapper]:
    """Return a class whose files are read in pieces of the size that is the default of *wrapper*."""
    parameters = tuple(inspect.signature(wrapper).parameters.values())
    given = parameters[1].default if len(parameters) > 1 else None
    return type("FileWrapper", (FileWrapper,), {"default": given} if isinstance(given, int) else {})
