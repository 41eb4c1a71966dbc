"""The request boundary: where a live request enters the traced application.

The HTTP server is live and untraced in both phases. A request with a sequence number enters the trace as one
logical thread of the tape, named by that number, on its own OS thread (the engine records a switch of threads
only when the OS thread changes). So the order in which connections are accepted, their reuse and the server's
own threads do not matter: in a replay, a request that arrives early waits for its turn.

Requests without a number would change the application's state without being recorded. They are refused,
except on the health path, which is served outside the trace in both phases.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
from array import array
from contextlib import nullcontext
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loadgen import protocol
from loadgen.traced import debug, liveness, reached, schedule, settings
from loadgen.traced.aligned import AlignedTape
from loadgen.traced.call_log import CallLogging
from loadgen.traced.connections import READ, PromptThread
from loadgen.traced.errors import without_frames
from loadgen.traced.file_body import wrapper_like
from loadgen.traced.gaps.collector import after_start_up, collect_at_fixed_points
from loadgen.traced.gaps.replaying import shown
from loadgen.traced.input import bounded, has_chunks, input_like, read_again
from loadgen.traced.passing import Passing
from loadgen.traced.routes import prepare
from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.tape import ENTER, FINISH, Diverged, LiveLock, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]

_SEQ = f"HTTP_{protocol.SEQ_HEADER.upper().replace('-', '_')}"

_ADDED_LIVE = frozenset({"date", "server", "connection", "keep-alive", "transfer-encoding"})
"""Headers that a live server adds to an answer; the boundary reports which of them the application set."""

_PIECE = 10_000
"""Number of steps of the order that are objects at one time."""

_SERVED_LIVE = ("SERVER_", "REMOTE_", "wsgi.")
"""Prefixes of WSGI variables set by the live server; a replayed application gets the recorded values."""
_SCALARS = (str, int, tuple)
_CALLED_LIVE = ("waitress.client_disconnected", "wsgi.early_hints")
"""WSGI variables that are functions of the live server; what they return is on the tape."""


class Boundary:
    """A WSGI application that runs *application* in one logical thread per request."""

    def __init__(
        self, application: Callable[..., Iterable[bytes]], system: Any, drops: frozenset[str] = frozenset()
    ) -> None:
        """*drops* are headers, in lower case, that the live server replaces by its own."""
        self.application = application
        self.added_live = _ADDED_LIVE - drops
        self.system = system
        self.mode: str = system.retrace_mode
        self.tape: TapeTurns | None = getattr(TapeTurns, "current", None)
        """The dispatcher of a replay; None while recording, and with the engine's own dispatcher."""
        reached.follow(self.tape)
        # In a replay, a turn of the tape orders our notes. While recording, a lock makes writing a checkpoint
        # and noting it one step, so that the notes are in tape order.
        self.turn: AbstractContextManager[Any] = self.tape or (
            LiveLock() if self.mode == protocol.RECORD else nullcontext()
        )
        self.order = array("q")
        """Numbers of requests as they enter, negative as they finish."""
        self.diverged: dict[int, dict[str, Any]] = {}
        """How requests left the tape, in that order; see :func:`_departure`."""
        self._used = _Numbers()
        self._open: set[int] = set()
        self._served: dict[int, tuple[tuple[str, Any], ...]] = {}
        self._passing: dict[int, Passing] = {}
        self._inputs: dict[int, Any] = {}
        """The streams from which an application may read more than the boundary has read."""
        self._functions: dict[tuple[int, str], Callable[..., Any]] = {}
        self._released = False
        """Whether all clients have ended: a request that comes now was given up before it was read."""

        def given(seq: int) -> tuple[tuple[tuple[str, Any], ...], bool]:
            return self._served[seq], bool(self.collections and self.collections.next())

        def passed_on(seq: int) -> bool:
            return self._passing[seq].taken()

        def called(seq: int, name: str, *args: Any) -> Any:
            return self._functions[seq, name](*args)

        def received(seq: int, method: str, size: int) -> bytes:
            content: bytes = getattr(self._inputs[seq], method)(size)
            return content

        given.__module__, given.__qualname__ = "loadgen", "request"  # as it is shown
        passed_on.__module__, passed_on.__qualname__ = "loadgen", "client"
        received.__module__, received.__qualname__ = "loadgen", "body"
        called.__module__, called.__qualname__ = "loadgen", "server"
        self.given: Callable[[int], tuple[tuple[tuple[str, Any], ...], bool]] = system.patch_function(given)
        """The WSGI variables from the live server, and whether the end of the request collects garbage."""
        self.passed_on: Callable[[int], bool] = system.patch_function(passed_on)
        """Blocks until the live server has passed on the last piece, and says whether it wants more."""
        self.received: Callable[[int, str, int], bytes] = system.patch_function(received)
        """Reads from the live server's stream what is behind a body with a valid length."""
        self.called: Callable[..., Any] = system.patch_function(called)
        """Calls a function of the live server."""
        self.routes = prepare(application)
        self.collections = (
            None if collect_at_fixed_points.__name__ in settings.CURRENT.without else after_start_up()
        )
        liveness.when_released(self._release)
        schedule.outside(system)  # the calling thread goes on to serve, which is not traced

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one live request."""
        path = environ.get("PATH_INFO", "")
        number = environ.get(_SEQ, "")
        if path.startswith(protocol.CONTROL):
            return self._control(path.removeprefix(protocol.CONTROL), start_response)
        if not number:
            if path == settings.CURRENT.health_path:
                return self.application(environ, start_response)
            return self._refuse(
                start_response,
                f"This server is under {self.mode} by loadgen. A request without an "
                f"{protocol.SEQ_HEADER} header is refused: it would change the application's state off the "
                f"tape. Only {settings.CURRENT.health_path} is served without one.",
            )
        if not number.isascii() or not number.isdigit() or (seq := int(number)) in self._used:
            return self._refuse(
                start_response, f"{protocol.SEQ_HEADER} {number!r} is not a number, or was used before."
            )
        if self._released:
            return self._refuse(start_response, "The session has ended: nobody waits for this answer.")
        self._used.add(seq)
        return Request(self, seq, environ).answer(start_response)

    def reading(self, seq: int, *, in_chunks: bool) -> Callable[[str, int], bytes]:
        """Return what reads from the live server's stream of a request, whose body may come *in_chunks*."""
        read = partial(self.received, seq)
        if self.mode != protocol.REPLAY:
            return read
        return read_again(self.system, read, self._inputs[seq], in_chunks=in_chunks)

    def with_ours(self, headers: Any, *, is_over: bool) -> Any:
        """Return an application's headers with loadgen's; those that a live server refuses, as they are."""
        try:
            own = [(name.lower(), text) for name, text in headers if name.lower() in self.added_live]
            more = [(protocol.OWN_HEADER, json.dumps(own))] if own else []
            if is_over:
                more.append((protocol.OVER_HEADER, "1"))
            return headers + type(headers)([(protocol.SERVED_HEADER, self.mode), *more])
        except (AttributeError, TypeError, ValueError):
            return headers

    def _release(self) -> None:
        """Let the live server continue without answers that clients gave up: a stop does not wait."""
        self._released = True
        finished = {-step for step in self.order}
        for seq, passing in tuple(self._passing.items()):
            if seq not in finished:
                passing.give_up()

    def _refuse(self, start_response: StartResponse, why: str) -> list[bytes]:
        refused = (protocol.OUTCOME_HEADER, protocol.REFUSED)
        start_response("409 Conflict", [("Content-Type", "text/plain"), refused])
        return [why.encode() + b"\n"]

    def _control(self, name: str, start_response: StartResponse) -> list[bytes]:
        if name == protocol.ORDER:
            steps = (self.order[at : at + _PIECE] for at in range(0, len(self.order), _PIECE))
            body = f"[{','.join(json.dumps(piece.tolist())[1:-1] for piece in steps)}]"
        elif name == protocol.ALL_SENT:
            if self.tape is not None:
                self.tape.all_sent()
            body = "null"
        elif name == protocol.ROUTES:
            paths = self.routes()
            body = json.dumps([path for path in paths if path != settings.CURRENT.health_path])
        elif name.startswith(protocol.LOG_CALLS) and self.mode == protocol.REPLAY:
            seq = int(name.removeprefix(protocol.LOG_CALLS))
            TapeTurns.current.call_logging = CallLogging(FIRST_THREAD + seq, shown)
            body = "null"
        elif name == protocol.ALIGNMENT and isinstance(self.tape, AlignedTape):
            body = json.dumps(self.tape.told())
        elif name == protocol.REACHED and reached.CURRENT:
            body = json.dumps(reached.CURRENT[0].told())
        elif name == protocol.CALL_LOG and self.mode == protocol.REPLAY:
            logging = TapeTurns.current.call_logging
            body = json.dumps(logging and logging.told())
        else:
            state = {
                "protocol": protocol.VERSION,
                "mode": self.mode,
                "open": sorted(self._open),
                "steps": len(self.order),
                "diverged": self.diverged,
                "tape": self.tape.state() if self.tape else None,
                "first_thread": FIRST_THREAD,
                "database": os.path.exists(os.environ.get("DB_FILE", "")),  # noqa: PTH110 - outside the trace
                "modules": _libraries(),
                "on_loop": getattr(self.application, "on_loop", False),
            }
            body = json.dumps(state)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body.encode()]


class Request:
    """One sequenced request: its live half (:meth:`answer`) and its traced half (:meth:`run`)."""

    def __init__(self, boundary: Boundary, seq: int, environ: Environ) -> None:
        self.boundary = boundary
        self.seq = seq
        self.passing = Passing(boundary.system, lambda: bool(boundary.passed_on(seq)))
        stream, length = environ["wsgi.input"], bounded(environ)
        body = b"" if length is None else stream.read(length)
        if len(body) == length:
            environ[READ] = True
        if length != -1:  # more may be read
            boundary._inputs[seq] = stream
        text = {
            key: value
            for key, value in environ.items()
            if isinstance(value, _SCALARS) and (key.isupper() or key.startswith("wsgi."))
        }
        text.pop(_SEQ)
        boundary._served[seq] = tuple(
            sorted((key, text.pop(key)) for key in tuple(text) if key.startswith(_SERVED_LIVE))
        )
        self.asked = text
        in_chunks = has_chunks(environ)
        rest = boundary.reading(seq, in_chunks=in_chunks) if seq in boundary._inputs else None
        self.environ: Environ = {
            **text,
            "wsgi.input": input_like(stream, body, rest),
            "wsgi.errors": sys.stderr,
        }
        for name in _CALLED_LIVE:
            if name in environ:
                boundary._functions[seq, name] = environ[name]
                self.environ[name] = partial(boundary.called, seq, name)
        self.file_wrapper = environ.get("wsgi.file_wrapper")
        if self.file_wrapper is not None:
            self.environ["wsgi.file_wrapper"] = wrapper_like(self.file_wrapper)
        self.body_digest = hashlib.sha256(body).digest()
        self.debugged: AbstractContextManager[Any] = nullcontext()

    # ---- live -------------------------------------------------------------------------------------------

    def answer(self, start_response: StartResponse) -> Iterable[bytes]:
        """Start the traced half and pass on what it sends."""
        boundary = self.boundary
        boundary._open.add(self.seq)
        boundary._passing[self.seq] = self.passing
        PromptThread(target=self.trace, name=f"loadgen-{self.seq}", daemon=True).start()

        def start(status: str, given: Any, exc_info: Any, changed: Any) -> Callable[[bytes], object]:
            is_over = self.passing.is_over
            headers = boundary.with_ours(given, is_over=is_over)
            write = start_response(status, headers, *((exc_info and (exc_info,)) or ()))
            if isinstance(headers, list) and given != changed:  # the live server may read them later
                headers[:] = boundary.with_ours(changed, is_over=is_over)
            return write  # type: ignore[no-any-return]

        def failed(error: BaseException) -> list[bytes]:
            if self.seq not in boundary.diverged:
                raise error  # the live server answers such an error itself
            body = json.dumps({"seq": self.seq, **boundary.diverged[self.seq]}).encode()
            headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
            start_response(
                "500 Internal Server Error", [*headers, (protocol.OUTCOME_HEADER, protocol.DIVERGED)]
            )
            return [body]

        return self.passing.pass_on(start, failed, self.file_wrapper)

    # ---- traced -----------------------------------------------------------------------------------------

    def trace(self) -> None:
        """Run the logical thread of this request, on its own OS thread."""
        system, thread = self.boundary.system, FIRST_THREAD + self.seq
        system._thread_id.set(thread)
        schedule.announce(system, thread, str(self.asked["REQUEST_METHOD"]), str(self.asked["PATH_INFO"]))
        error: BaseException | None = None
        what = f"request {self.seq}  {self.asked['REQUEST_METHOD']} {self.asked['PATH_INFO']}"
        try:
            with reached.request(self.seq), debug.following(system, self.seq, what) as self.debugged:
                system.gate.apply_with("internal", system.thread_wrapper(self.run))()
        except BaseException as caught:  # noqa: BLE001 - handed to the live half, which raises it
            error = caught
            if self.boundary.tape:
                self.boundary.tape.leave()
            if isinstance(caught, Diverged):
                first = _first(caught)
                if first.code == protocol.ALREADY_LEFT and self.boundary.tape:
                    first = self.boundary.tape.first() or first
                left = _departure(first, tuple(self.boundary.diverged))
                self.boundary.diverged[self.seq] = left
                where = f", at {left['stack'][0]}" if left["stack"] else ""
                sys.stderr.write(f"{protocol.LOG_LEFT}request {self.seq}: {left['why']}{where}\n")
            traceback.print_exception(caught)
            error = (
                ConnectionAbortedError("the request left the tape")
                if isinstance(caught, Diverged)
                else without_frames(caught)
            )
        if self.passing.at_close is not None:
            traceback.print_exception(self.passing.at_close)
            without_frames(self.passing.at_close)
        del self.boundary._served[self.seq], self.boundary._passing[self.seq]
        self.boundary._inputs.pop(self.seq, None)
        for name in _CALLED_LIVE:
            self.boundary._functions.pop((self.seq, name), None)
        self.boundary._open.discard(self.seq)
        self.passing.end(error)

    def run(self) -> None:
        """Run the application on the tape, between the two checkpoints of this request."""
        boundary = self.boundary
        asked = (
            self.asked.pop("REQUEST_METHOD"),
            self.asked.pop("PATH_INFO"),
            self.asked.pop("QUERY_STRING", ""),
            hashlib.sha256(repr(sorted(self.asked.items())).encode()).digest(),
            self.body_digest,
        )
        with boundary.turn:
            try:
                boundary.system.checkpoint((ENTER, self.seq, *asked))
            except Diverged as left:
                raise _not_the_recorded(left) from left
            boundary.order.append(self.seq)
        served, collects = boundary.given(self.seq)
        self.environ.update(served)
        error: BaseException | None = None
        try:
            with self.debugged:
                self.passing.respond(boundary.application, self.environ)
        except Diverged:
            raise
        except BaseException as caught:  # noqa: BLE001 - the application's own: the tape goes on to its end
            error = caught
        self.environ = {}  # frees what the application stored there now, not when the live half is done
        if collects and boundary.collections:
            boundary.collections.collect()
        if boundary.tape:
            boundary.tape.expect_finish()
        with boundary.turn:
            try:
                boundary.system.checkpoint((FINISH, self.seq))
            except Diverged as left:
                what = f"the request ended before its recording did: {left}"
                raise Diverged(_more_than(left, protocol.ENDED_EARLY), what, lost=left.lost) from left
            boundary.order.append(-self.seq)
        if boundary.tape:
            boundary.tape.finished()
        self.passing.release(ends=error is None and boundary.mode == protocol.REPLAY)
        if error is not None:
            raise error


class _Numbers:
    """A set of numbers from 1 on that are added nearly in order; it does not grow with them.

    The live server's threads add to it at the same time.
    """

    def __init__(self) -> None:
        self._all_below = 1
        self._above: set[int] = set()
        self._mutex = LiveLock()

    def __contains__(self, number: int) -> bool:
        with self._mutex:
            return number < self._all_below or number in self._above

    def add(self, number: int) -> None:
        """Add *number*."""
        with self._mutex:
            self._above.add(number)
            while self._all_below in self._above:
                self._above.discard(self._all_below)
                self._all_below += 1


def _libraries() -> list[str]:
    """Return the top-level names of imported library modules."""
    found = set[str]()
    for name, module in tuple(sys.modules.items()):
        file = vars(module).get("__file__") if type(module) is ModuleType else None
        if isinstance(file, str) and "-packages/" in file:
            found.add(name.partition(".")[0])
    return sorted(found)


def _departure(left: Diverged, before: tuple[int, ...]) -> dict[str, Any]:
    """Return the report on a request that *left* the tape after the requests *before* had left it."""
    lost = None if left.lost is None else left.lost - FIRST_THREAD
    return {
        "code": left.code,
        "why": str(left),
        "stack": left.stack,
        "after": before[0] if before else None,
        "lost": lost if lost is None or lost > 0 else None,
    }


def _more_than(left: Diverged, code: str) -> str:
    """Return *code*, unless *left* says that the tape failed rather than the request."""
    return code if left.code == protocol.ANOTHER_CALL else left.code


def _not_the_recorded(left: Diverged) -> Diverged:
    """Say in which part a live request differs from the recorded one with the same number."""
    if not (isinstance(left.recorded, tuple) and isinstance(left.replayed, tuple)):
        return Diverged(left.code, str(left), lost=left.lost)
    names = ("event", "number", "method", "path", "query", "headers", "body")
    parts = zip(names, left.recorded, left.replayed, strict=True)
    differing = [(name, before, after) for name, before, after in parts if before != after]
    shown = "; ".join(
        f"not the recorded {name}"
        if name in {"headers", "body"}
        else f"{name} {after!r}, recorded {before!r}"
        for name, before, after in differing
    )
    return Diverged(protocol.NOT_THE_RECORDED_REQUEST, f"the live request is not the recorded one: {shown}")


def _first(error: Diverged) -> Diverged:
    """Return the error with which the request left the tape: further ones are raised while it unwinds."""
    first, context = error, error.__context__
    while context is not None and first.__cause__ is None:
        if isinstance(context, Diverged):
            first = context
        context = context.__context__
    return first
