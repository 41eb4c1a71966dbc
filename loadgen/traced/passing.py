"""Passes an answer from the traced application to the live, untraced server.

The live server sees the application as it is: the same calls, pieces and errors, and an iterable with a
length if the application's has one. The application sees the server as it is: it is asked for the next piece
when the previous one has been passed on, and it is closed when the client has disconnected. Both are on the
tape, so a replay repeats them, whatever its client does.

Only the part that completes the answer waits until the end of the request is on the tape. So an answer that a
client has seen completely is recorded completely, and an answer is complete in a replay only if the request
followed the tape to its end.
"""

from __future__ import annotations

from _queue import SimpleQueue
from collections import deque
from collections.abc import Sized
from types import NoneType
from typing import TYPE_CHECKING, Any

from loadgen.traced.file_body import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loadgen.traced.file_body import Content

    Headers = Any
    """A list of pairs, if the application keeps to WSGI."""
    Event = tuple[str, Any, bool]
    """Kind of event, its value, and whether the application waits until it has been passed on."""

_ASIDE = frozenset(("start", "write"))
"""Kinds of events that pass beside the iterable."""
_NO_BODY = ("1", "204", "304")
"""Prefixes of statuses whose answers have no body."""


class Passing:
    """One answer: its traced half is :meth:`respond`, its live half :meth:`pass_on`."""

    def __init__(self, system: Any, wait: Callable[[], bool]) -> None:
        """*wait* calls :meth:`taken` on the tape."""
        events: SimpleQueue[list[Event]] = SimpleQueue()
        self._come = events.get
        self._arrived: deque[Event] = deque()
        self._tell = system.disable_for(events.put, unwrap_args=False)
        self._put = events.put
        self._untold: list[Event] = []
        """Events that are of no use to the live server before the next piece, or the end: it is woken once
        for all of them."""
        self._taken: SimpleQueue[bool] = SimpleQueue()
        self._given_up = False
        self._wait = wait
        self._has_body = True
        self._length: int | None = None
        """The answer's ``Content-Length``."""
        self._single = False
        self._started = False
        self._begun = False
        """Whether the live server has got a piece."""
        self._sent = 0
        self._held: tuple[str, bytes | Content] | None = None
        """The event that completes the answer."""
        self._live_write: Callable[[bytes], object] | None = None
        self.is_over = False
        """Whether the live half has all of the answer, and its end."""
        self.at_close: BaseException | None = None
        """The error that the application raised when it was closed, after its last piece."""
        self.left = False
        """Whether the client disconnected during the answer; in a replay, whether it did so while
        recording."""

    def taken(self) -> bool:
        """Wait until the live server has passed on the last piece, and say whether it wants more."""
        return not self._given_up and self._taken.get()

    # ---- traced -----------------------------------------------------------------------------------------

    def respond(self, application: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> None:
        """Drive the application as a WSGI server does."""
        self._has_body = environ["REQUEST_METHOD"] != "HEAD"
        body = application(environ, self._start_response)
        try:
            self._send_all(body)
        except BaseException:
            _close(body)
            raise
        try:
            _close(body)
        except BaseException as error:  # noqa: BLE001 - for the live server, which closes the answer after its end
            self.at_close = error

    def _send_all(self, body: Iterable[bytes]) -> None:
        if isinstance(body, FileWrapper) and (content := body.content()) is not None:
            self._held = "file", content
            return
        length = _length(body)
        self._single = length == 1
        self._untold.append(("iterable", length, False))
        for chunk in body:
            if not self._send("chunk", chunk):
                break

    def release(self, *, ends: bool) -> None:
        """Release the part that completes the answer, because the end of the request is on the tape.

        With *ends*, pass its end as well: the thread of the request may wait for another turn, in which its
        finalizers run. Not that of an answer that an error may still break off.
        """
        self.is_over = ends and self._length is not None and not self.left and self.at_close is None
        passes = self.is_over or self._held is not None
        if self._held is not None:
            self._untold.append((*self._held, False))
            self._held = None
        if self.is_over:
            self._untold.append(("end", None, False))
        if passes:
            self._tell(self._all_untold())

    def end(self, error: BaseException | None) -> None:
        """Signal the end of the answer to the live half, if it does not have it."""
        if self.is_over:
            return
        if error is None and self.left:
            error = ConnectionAbortedError("the client left here while this was recorded")
        self._put([*self._all_untold(), ("end", error, False)])

    def _all_untold(self) -> list[Event]:
        """Return the events; some servers read the headers only now, as the application has left them."""
        untold, self._untold = self._untold, []
        return [
            (kind, (*value[:-1], _as_they_are(value[-1])) if kind == "start" else value, waits)
            for kind, value, waits in untold
        ]

    def _start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """WSGI's ``start_response``."""
        if exc_info is None and self._started:
            raise AssertionError("headers already set: start_response was called before")
        if exc_info is not None and self._sent:
            raise exc_info[1].with_traceback(exc_info[2])
        given_error = exc_info and (exc_info[0], exc_info[1], None)
        head = (status, _as_they_are(headers), given_error, headers)
        if not self._pass_head(head, replaces=exc_info is not None):
            raise exc_info[1].with_traceback(exc_info[2])
        self._started = True
        self._has_body = self._has_body and not str(status).startswith(_NO_BODY)
        self._length = _announced(headers)
        return self._write

    def _pass_head(self, head: tuple[str, Headers, Any, Headers], *, replaces: bool) -> bool:
        """Pass on a head. Behind empty pieces the live server may refuse it: return whether it takes it."""
        if replaces and self._held is not None:
            (kind, held), self._held = self._held, None
            self._hand_over(kind, held)
        if self._begun and replaces:
            self._untold.append(("start", head, True))
            self._tell(self._all_untold())
            return self._wait()
        self._untold.append(("start", head, False))
        return True

    def _write(self, chunk: bytes) -> None:
        """WSGI's ``write``."""
        if not self._send("write", chunk):
            raise ConnectionResetError("the client has left")

    def _send(self, kind: str, chunk: bytes) -> bool:
        """Pass a piece to the live half; return whether the live server wants more."""
        if self._held is not None:
            (_, held), self._held = self._held, None
            if not self._hand_over("chunk", held):
                return False
        self._sent += len(chunk) if isinstance(chunk, Sized) else 0
        at_end = self._single if self._length is None else self._sent >= self._length
        if kind == "chunk" and (at_end or not self._has_body):
            self._held = "chunk", _copied(chunk)
            return True
        return self._hand_over(kind, chunk)

    def _hand_over(self, kind: str, chunk: Any) -> bool:
        self._begun = True
        self._untold.append((kind, chunk, True))
        self._tell(self._all_untold())
        self.left = not self._wait()
        return not self.left

    # ---- live -------------------------------------------------------------------------------------------

    def give_up(self) -> None:
        """Let the live server continue, because no client waits for the answer."""
        self._given_up = True
        self._taken.put(False)
        self._put([("end", ConnectionAbortedError("the client has left"), False)])

    def _next(self) -> Event:
        """Wait for the next event."""
        while not self._arrived:
            self._arrived.extend(self._come())
        return self._arrived.popleft()

    def pass_on(
        self,
        start: Callable[[str, Headers, Any, Headers], Callable[[bytes], object]],
        failed: Callable[[Any], list[bytes]],
        wrapper: Any = None,
    ) -> Iterable[bytes]:
        """Pass on the answer; if the application failed before it began, return the result of *failed*.

        *wrapper* is the live server's ``wsgi.file_wrapper``.
        """
        heads: list[Event] = []
        length: int | Exception | None = None
        while True:
            event = kind, value, waits = self._next()
            if kind == "start" and not waits:  # more than once, if the application replaces the status
                heads.append(event)
                continue
            if kind == "iterable":
                length = value
                continue
            if kind == "end" and value is not None and self._live_write is None:
                return failed(value)
            try:
                while heads:
                    self._pass_aside(heads.pop(0), start)
                if kind not in _ASIDE:
                    break
                self._pass_aside(event, start)
            except BaseException:
                if waits:
                    self._taken.put(False)
                if kind != "end":
                    self._drain()
                raise
        return self._body(event, length, wrapper, lambda event: self._pass_aside(event, start))

    def _pass_aside(self, event: Event, start: Callable[..., Callable[[bytes], object]]) -> None:
        """Pass on what is no piece of the iterable: a head, or what is written."""
        kind, value, waits = event
        if kind == "write":
            assert self._live_write is not None
            self._live_write(value)
        else:
            try:
                self._live_write = start(*value)
            except BaseException:
                if not waits:
                    raise
                self._taken.put(False)  # the application raises its error again, or not
                return
        if waits:
            self._taken.put(True)

    def _body(
        self,
        first: Event,
        length: int | Exception | None,
        wrapper: Any,
        pass_aside: Callable[[Event], None],
    ) -> Iterable[bytes]:
        """Return the iterable that begins with the event *first*."""
        if first[0] == "file":
            return first[1].wrapped(wrapper)  # type: ignore[no-any-return]
        body = _Body(self._next, self._taken.put, self._drain, self._raise_at_close, pass_aside, first)
        return body if length is None else _Sized(body, length)

    def _drain(self) -> None:
        """Request that the application is closed, and wait until it is."""
        while True:
            kind, _, waits = self._next()
            if kind == "end":
                return
            if waits:
                self._taken.put(False)

    def _raise_at_close(self) -> None:
        """Fail, once, as the application did when it was closed."""
        error, self.at_close = self.at_close, None
        if error is not None:
            raise error


def _announced(headers: Any) -> int | None:
    """Return the answer's ``Content-Length``, if it has a valid one."""
    pairs = headers if isinstance(headers, (list, tuple)) else ()
    given = [str(pair[1]) for pair in pairs if len(pair) > 1 and str(pair[0]).lower() == "content-length"]
    return int(given[-1]) if given and given[-1].isascii() and given[-1].isdigit() else None


def _as_they_are(headers: Any) -> Any:
    """Return a copy of *headers*; what is no list is for the server to refuse, or to take."""
    if isinstance(headers, (tuple, dict, NoneType)):
        return headers
    return list(headers)


def _length(body: object) -> int | Exception | None:
    """Return the length of *body*, if it has one; an error is for the live servers that ask for it."""
    if not isinstance(body, Sized):
        return None
    try:
        return len(body)
    except Exception as error:  # noqa: BLE001 - of the application
        return error.with_traceback(None)


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _copied(chunk: Any) -> Any:
    """Return a copy of a piece that the application may change later; what is no piece is for the server."""
    if isinstance(chunk, memoryview):
        return memoryview(bytes(chunk))
    return bytearray(chunk) if isinstance(chunk, bytearray) else chunk


class _Body:
    """The iterable that the live server gets."""

    def __init__(
        self,
        following: Callable[[], Event],
        taken: Callable[[bool], None],
        drain: Callable[[], None],
        closed: Callable[[], None],
        pass_aside: Callable[[Event], None],
        first: Event,
    ) -> None:
        self._following = following
        self._taken = taken
        self._drain = drain
        self._closed = closed
        self._pass_aside = pass_aside
        self._first: Event | None = first
        self._waits = False
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        if self._waits:
            self._waits = False
            self._taken(True)
        event, self._first = self._first or self._following(), None
        while event[0] in _ASIDE:  # a generator may write, too
            try:
                self._pass_aside(event)
            except BaseException:
                if event[2]:
                    self._taken(False)
                raise
            event = self._following()
        kind, value, self._waits = event
        if kind == "chunk":
            return value  # type: ignore[no-any-return]
        self._ended = True
        if value is not None:
            raise value
        raise StopIteration

    def close(self) -> None:
        """Called by the live server when it wants no more pieces."""
        if not self._ended:
            self._ended = True
            if self._waits or (self._first is not None and self._first[2]):
                self._taken(False)
            if self._first is None or self._first[0] != "end":
                self._drain()
        self._closed()


class _Sized:
    """An iterable with a length, from which some servers make a ``Content-Length``."""

    def __init__(self, body: _Body, length: int | Exception) -> None:
        self._body = body
        self._length = length
        self.close = body.close

    def __len__(self) -> int:
        if isinstance(self._length, Exception):
            raise self._length
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)
