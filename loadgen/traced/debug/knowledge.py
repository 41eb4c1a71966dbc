"""What the application has seen of the outside: its calls, and what it knows of external objects.

An external object, such as a connection or a file, is empty in a replay: there is no database. What it
contains is known as far as the application has asked for it. So each call of a debugged replay is noted with
its result, and an object is shown with the calls that were made on it. At the prompt, the same question gets
the same answer; one that the application has not asked has none.
"""

from __future__ import annotations

import pprint
import reprlib
from _thread import get_ident
from collections import OrderedDict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from retracesoftware import utils

from loadgen.traced.call_log import Frame, frames
from loadgen.traced.described import EXTERNAL, HANDLE, same, shown
from loadgen.traced.installing import unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OBJECTS = 10_000
"""Number of objects whose calls are kept, the ones used last."""
CALLS = 50
"""Number of calls kept of an object, the last ones."""
ANSWERS = 100_000
"""Number of questions whose answers are kept."""
ELEMENTS = 1000
"""Number of elements of a result in which external objects are looked for."""
_PLAIN = (int, str, float, bytes, bool, type(None))
_OURS = "loadgen."
"""Calls of loadgen itself: the start of a request, a lock."""
_MISSING = object()


class NotSeenError(LookupError):
    """A question at the prompt that the application has not asked."""


class _About:
    """What is known of an external object."""

    def __init__(self) -> None:
        self.origin = ""
        self.calls: deque[str] = deque(maxlen=CALLS)


class Knowledge:
    """The calls of a replay; the gates of the engine report to it."""

    def __init__(self, system: Any) -> None:
        self._describe = system.loadgen_describe
        self._about: OrderedDict[Any, _About] = OrderedDict()
        self._answers: OrderedDict[Any, Any] = OrderedDict()
        self._kinds = set[type]()
        self._asking: int | None = None
        self._thread = system.thread_id
        self._calls: dict[int, list[tuple[list[Frame], str, str]]] = {}
        note = system.disable_for(self._note, unwrap_args=False)
        for gateway in (system.ext_gateway, system.ext_method_gateway):
            gateway.on_then = _noting(gateway.on_then, note)
            gateway.on_else = self._answering(gateway.on_else)

    @contextmanager
    def following(self, thread: int) -> Iterator[None]:
        """Keep the calls of *thread* meanwhile."""
        self._calls[thread] = []
        try:
            yield
        finally:
            del self._calls[thread]

    def calls(self, thread: int) -> list[tuple[list[Frame], str, str]]:
        """Return the calls of a followed thread: its frames, innermost first, the call, and what it got."""
        return self._calls.get(thread, [])

    # ---- what is noted ----------------------------------------------------------------------------------

    def _note(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], got: Any, how: str) -> None:
        described = same(self._describe(function, args, kwargs))
        call = shown(_numbered(described))
        if call.startswith(_OURS):
            return
        result = f"{how}{self.brief(got)}"
        on = _receiver(described)
        if on is not None:
            question = (described[0].rpartition(".")[2], *described[2:])
            self._of(on).calls.append(f"{shown(_numbered(question))} = {result}")
        if not how:
            self._keep(described, got)
            for one in [got, *(got[:ELEMENTS] if isinstance(got, list | tuple) else ())]:
                if (key := self.key(one)) not in (None, on):  # a ``with`` returns the object itself
                    self._kinds.add(one.__class__)
                    self._about.pop(key, None)  # another object had its place on the tape before
                    self._of(key).origin = call
        if (calls := self._calls.get(self._thread())) is not None:
            calls.append((frames(), call, result))

    def _of(self, key: Any) -> _About:
        about = self._about.setdefault(key, _About())
        self._about.move_to_end(key)
        if len(self._about) > OBJECTS:
            self._about.popitem(last=False)
        return about

    def _keep(self, described: Any, got: Any) -> None:
        if isinstance(got, _PLAIN) or (isinstance(got, tuple) and all(type(one) in _PLAIN for one in got)):
            self._answers.pop(described, None)
            self._answers[described] = got
            if len(self._answers) > ANSWERS:
                self._answers.popitem(last=False)

    def key(self, value: Any) -> Any:
        """Return what identifies an external object; None for any other value."""
        if type(value) in _PLAIN or isinstance(value, list | tuple | dict):
            return None
        described = self._describe.value(value)
        return described if _is_object(described) else None

    # ---- what is shown ----------------------------------------------------------------------------------

    def about(self, value: Any) -> str | None:
        """Describe an external object by what the application has seen of it; None for any other value."""
        key = self.key(value)
        if key is None or not (key in self._about or isinstance(value, utils.ExternalWrapped)):
            return None
        known = self._about.get(key) or _About()
        kind = type(value)
        kind = getattr(kind, "_loadgen_kind", kind)
        origin = f" from {known.origin}" if known.origin else ""
        calls = "; ".join(known.calls) or "nothing seen of it yet"
        number = f" {key[3]}" if key[0] == EXTERNAL else f" #{key[-1]}"
        return f"<{kind.__module__}.{kind.__qualname__}{number}{origin}: {calls}>"

    def is_external(self, kind: type) -> bool:
        """Whether calls have returned external objects of this type."""
        return kind in self._kinds

    def brief(self, value: Any) -> str:
        """Return a value as text of limited length, without calling anything of the application."""
        return _Brief().repr(value)

    def full(self, value: Any) -> str:
        """Return a value as text, with external objects as :meth:`about` describes them."""
        return _Full(self).pformat(value)

    # ---- at the prompt ----------------------------------------------------------------------------------

    def evaluate(self, do: Callable[[], Any]) -> Any:
        """Return what *do* returns, with the answers that the application has seen."""
        self._asking = get_ident()
        try:
            return do()
        finally:
            self._asking = None

    def _answering(self, live: Callable[..., Any]) -> Callable[..., Any]:
        here, seen = get_ident, self

        def call(function: Any, *args: Any, **kwargs: Any) -> Any:
            if seen._asking is None or seen._asking != here():
                return live(function, *args, **kwargs)
            seen._asking = None  # what follows is not what the person asked
            try:
                described = same(seen._describe(function, args, kwargs))
                answer = seen._answers.get(described, _MISSING)
                if answer is not _MISSING:
                    return answer
                if _receiver(described) is not None:
                    question = shown(_numbered(described))
                    raise NotSeenError(f"the application has not asked {question} before this line")
                return live(function, *args, **kwargs)
            finally:
                seen._asking = here()

        return unseen(call)


def _noting(stock: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    @unseen
    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            got = stock(function, *args, **kwargs)
        except Exception as error:
            note(function, args, kwargs, error, "raises ")
            raise
        note(function, args, kwargs, got, "")
        return got

    return call


def _receiver(described: Any) -> Any:
    """Return what identifies the object that a call is made on; None if it is none on the tape."""
    first: Any = described[1] if isinstance(described, tuple) and len(described) > 1 else None
    return first if _is_object(first) else None


def _numbered(described: Any) -> Any:
    """Leave out the threads of external objects, whose numbers say enough in one request."""
    if not isinstance(described, tuple):
        return described
    if described[:1] == (EXTERNAL,):
        return (EXTERNAL, described[1], described[3])
    return tuple(map(_numbered, described))


def _is_object(described: Any) -> bool:
    return isinstance(described, tuple) and described[:1] in ((HANDLE,), (EXTERNAL,))


class _Brief(reprlib.Repr):
    """Shows plain values, and the types of all others."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100
        self.maxlist = self.maxtuple = self.maxdict = 6

    def repr_Row(self, x: Any, level: int) -> str:  # noqa: N802 - named after the type
        """Show a row of SQLite by its values."""
        if type(x).__module__ != "sqlite3":
            return self.repr_instance(x, level)
        return f"<sqlite3.Row {self.repr_dict(dict(x), level)}>"

    def repr_instance(self, x: Any, level: int) -> str:
        """Show an object that is no plain value."""
        kind = type(x)
        if isinstance(x, BaseException):
            return f"{kind.__name__}: {', '.join(self.repr1(one, level) for one in x.args)}"
        if kind.__module__ in {"builtins", "datetime", "decimal", "uuid"}:
            return super().repr_instance(x, level)
        kind = getattr(kind, "_loadgen_kind", kind)
        return f"a {kind.__module__}.{kind.__qualname__}"


class _Full(pprint.PrettyPrinter):
    """Shows values with external objects by what was seen of them."""

    def __init__(self, seen: Knowledge) -> None:
        super().__init__(width=100, sort_dicts=False)
        self._seen = seen

    def format(self, object: Any, context: Any, maxlevels: int, level: int) -> Any:  # noqa: A002
        """Show one value; see :class:`pprint.PrettyPrinter`."""
        about = self._seen.about(object)
        return super().format(object, context, maxlevels, level) if about is None else (about, True, False)
