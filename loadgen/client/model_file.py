"""A user's model of the service: a Python file with an initial state, a step, and optionally a key.

::

    initial = 0                                 # the state before the first request, of each key

    def key(request):                           # optional; by default all requests share one state
        return request.path if request.method == "POST" else None       # None: not modelled

    def step(total, request, answer):           # one request at a time: asserts what the answer is
        total += 1
        if answer is not None:                  # None: the outcome is unknown
            assert answer.json["total"] == total
        return total                            # the state afterwards

A failed assertion means that the service does not give this answer in this state; any other exception is an
error of the model. A state must be hashable: a number, a string, a tuple, a frozenset.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from loadgen.client.python_file import execute, mistake
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from types import ModuleType

    from loadgen.core.exchange import Headers, Request, Response

EXAMPLE = """A model has its initial state, and a step:
    initial = 0
    def step(total, request, answer):
        if answer is not None:  # None: the outcome is unknown
            assert answer.json["total"] == total + 1
        return total + 1"""
HASHABLE = "A state must be hashable: a number, a string, a tuple, a frozenset."


class _Message:
    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @cached_property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class ModelRequest(_Message):
    """A request, as a model sees it."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.headers, request.body)
        self.method = request.method
        self.path, _, query = request.target.partition("?")
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        self.user = request.user
        """Number of the virtual user, from 0."""

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of an HTML form in its body."""
        return dict(parse_qsl(self.text, keep_blank_values=True))


class ModelAnswer(_Message):
    """An answer, as a model sees it."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.headers, answer.body)
        self.status = answer.status


class ModelFile:
    """The model in a file."""

    def __init__(self, file: Path, module: ModuleType) -> None:
        self.name = file.name
        self._file = file
        try:
            self.initial: Hashable = module.initial
            self._step: Callable[..., Any] = module.step
        except AttributeError as error:
            raise UsageError(f"the model {file} has no {error.name}", advice=EXAMPLE) from None
        self._key: Callable[[ModelRequest], Hashable] = getattr(module, "key", lambda _: True)
        self._hashed(self.initial, "initial")

    def key(self, request: Request) -> Hashable:
        """Return the key of a request."""
        try:
            key = self._key(ModelRequest(request))
        except Exception as error:
            raise mistake(self._file, error) from error
        return self._hashed(key, f"the key of {request}")

    def step(self, request: Request, answer: Response | None) -> Callable[[Hashable], tuple[Hashable, ...]]:
        """Return a function from a state to the next one, if there is one."""
        asked, answered = ModelRequest(request), None if answer is None else ModelAnswer(answer)

        def take(state: Hashable) -> tuple[Hashable, ...]:
            try:
                after = self._step(state, asked, answered)
            except AssertionError:
                return ()
            except Exception as error:
                raise mistake(self._file, error) from error
            return (self._hashed(after, f"the state after {request}"),)

        return take

    def _hashed(self, value: Hashable, what: str) -> Hashable:
        try:
            hash(value)
        except TypeError:
            kind = type(value).__name__
            raise UsageError(
                f"{self._file}: {what} is a {kind}, which is not hashable", advice=HASHABLE
            ) from None
        return value


def load(given: str) -> ModelFile:
    """Return the model in the file *given*.

    Raises:
        UsageError: the file or model does not exist, or has an error; the message says where.
    """
    file = Path(given)
    return ModelFile(file, execute(file, "model"))
