"""HTTP servers run live and untraced, on loadgen's socket; only the application behind them is traced.

Each function is a ``system_wrap`` of the overlay: it gets the server's entry point and the engine's
``system``, and returns the replacement that the application will call. Configured addresses are replaced by
loadgen's socket. While recording, a server has its configured number of threads. In a replay it has one for
each open request, because a request may have to wait for a later one. Configurations with several processes
or without plain HTTP are refused; a reloader and a debugger are switched off, and the log says so.
"""

from __future__ import annotations

import inspect
import os
import sys
from functools import partial, wraps
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from loadgen.traced import connections, settings, stopping
from loadgen.traced.boundary import Boundary
from loadgen.traced.refusal import refuse
from loadgen.traced.schedule import outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PLENTY = 4096
"""Limit of threads and connections in a replay: more than there are open requests."""
BACKLOG = 1024
IDLE = 3600
"""Seconds that a connection may be idle: longer than loadgen's clients keep it."""


def run_simple(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """``werkzeug.serving.run_simple``: Flask's ``app.run()`` and ``flask run``."""
    werkzeug = sys.modules[target.__module__]
    parameters = inspect.signature(target)
    replaying = system.retrace_mode == "replay"

    def listen(application: Any, given: dict[str, Any]) -> None:
        _let_our_header_not_count()
        socket = _listener()
        host, port = socket.getsockname()
        server = inspect.unwrap(werkzeug.make_server)(
            host,
            port,
            application,
            threaded=replaying or given["threaded"],
            request_handler=_handler(given, werkzeug, replaying=replaying),
            passthrough_errors=given["passthrough_errors"],
            fd=socket.fileno(),
        )
        _prepared(server).serve_forever()

    live = system.disable_for(listen, unwrap_args=False)

    def serve(*args: Any, **kwargs: Any) -> None:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        _check_werkzeug(given["ssl_context"], given["processes"], given["hostname"])
        _left_out(name for name in ("use_reloader", "use_debugger") if given[name])
        if given["static_files"]:
            refuse("it serves static_files beside the application", "let the application serve them")
        live(Boundary(given["application"], system), given)

    return serve


def werkzeug_make_server(target: Callable[..., Any], system: Any) -> Callable[..., Any]:
    """``werkzeug.serving.make_server``: a server that the application itself runs, perhaps in a thread."""
    werkzeug = sys.modules[target.__module__]
    parameters = inspect.signature(target)
    replaying = system.retrace_mode == "replay"

    def make(given: dict[str, Any]) -> Any:
        _let_our_header_not_count()
        socket = _listener()
        host, port = socket.getsockname()
        more = {"host": host, "port": port, "fd": socket.fileno()}
        more["request_handler"] = _handler(given, werkzeug, replaying=replaying)
        if replaying:
            more["threaded"] = True
        return _prepared(target(**{**given, **more}))

    @wraps(target)
    def make_server(*args: Any, **kwargs: Any) -> Any:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        _check_werkzeug(given["ssl_context"], given["processes"], given["host"])
        given["app"] = Boundary(given["app"], system)
        return _run_by_the_application(system.disable_for(make, unwrap_args=False)(given), system)

    return make_server


def _handler(given: dict[str, Any], werkzeug: Any, *, replaying: bool) -> Any:
    handler = given["request_handler"]
    return connections.lasting(handler, werkzeug) if replaying else handler


def wsgiref(target: Callable[..., Any], system: Any) -> Callable[..., Any]:
    """``wsgiref.simple_server.make_server``, also with a server class of the application."""
    parameters = inspect.signature(target)
    replaying = system.retrace_mode == "replay"

    def make(given: dict[str, Any]) -> Any:
        from socketserver import ThreadingMixIn  # noqa: PLC0415 - a module that the engine shall know

        _let_our_header_not_count()
        kind = given["server_class"]
        if replaying and not issubclass(kind, ThreadingMixIn):  # a request may wait for a later one
            kind = type(kind.__name__, (ThreadingMixIn, kind), {"daemon_threads": True})
        return _on_our_socket(kind, given["handler_class"], given["app"], given["host"], replaying=replaying)

    @wraps(target)
    def make_server(*args: Any, **kwargs: Any) -> Any:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        given["app"] = Boundary(given["app"], system)
        return _run_by_the_application(system.disable_for(make, unwrap_args=False)(given), system)

    return make_server


def _on_our_socket(kind: Any, handler_class: Any, application: Any, host: str, *, replaying: bool) -> Any:
    """Return a server of the class *kind*, one of wsgiref's, on our socket, with the name of *host*."""
    import socket  # noqa: PLC0415 - what is imported before the engine starts is not traced

    listener = _listener()
    if replaying:  # on a kept connection, the body would wait until the client has confirmed the head
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = kind(listener.getsockname(), handler_class, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name = host if replaying else socket.getfqdn(host)  # a replay asks no name server
    server.server_port = listener.getsockname()[1]
    server.setup_environ()
    server.set_app(application)
    return _prepared(server)


def django(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """Django's ``runserver``, also that of ``django.contrib.staticfiles``."""
    basehttp = sys.modules[target.__module__]
    parameters = inspect.signature(target)
    replaying = system.retrace_mode == "replay"

    def listen(application: Any, *, host: str, threading: bool, kind: Any) -> None:
        from socketserver import ThreadingMixIn  # noqa: PLC0415 - a module that the engine shall know

        _let_our_header_not_count()
        if threading or replaying:
            kind = type("WSGIServer", (ThreadingMixIn, kind), {"daemon_threads": True})
        handler = basehttp.WSGIRequestHandler
        _on_our_socket(kind, handler, application, host, replaying=replaying).serve_forever()

    live = system.disable_for(listen, unwrap_args=False)

    def run(*args: Any, **kwargs: Any) -> None:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        live(
            Boundary(given["wsgi_handler"], system),
            host=given["addr"],
            threading=given["threading"],
            kind=given.get("server_cls", basehttp.WSGIServer),
        )

    return run


def django_without_reloader(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """``django.utils.autoreload.run_with_reloader``: it would serve in another process."""
    del target, system

    def run_with_reloader(serve: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        _left_out(("reloader",))
        registry = sys.modules["django.core.checks.registry"].registry
        registry.registered_checks = _InOrder(registry.registered_checks)
        serve(*args, **kwargs)

    return run_with_reloader


class _InOrder(set[Any]):
    """Functions in the order of their names.

    Libraries are imported off the tape, so a set of their functions is in the order of addresses. Django runs
    its checks in that order, and they take locks and look for files.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=lambda one: (one.__module__, one.__qualname__)))


def uvicorn(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """``uvicorn.run``, also as a command: its application, served on an event loop of its own."""
    del system
    parameters = inspect.signature(target)

    def run(*args: Any, **kwargs: Any) -> None:
        from loadgen.traced import asgi, wsgi  # noqa: PLC0415 - a part of the application, imported in the trace

        given = parameters.bind(*args, **kwargs).arguments
        if given.get("app_dir") is not None:
            sys.path.insert(0, given["app_dir"])
        kind = sys.modules["uvicorn.config"].Config
        known = inspect.signature(kind).parameters
        config = kind(**{name: value for name, value in given.items() if name in known})
        if config.uds:
            _refuse_unix_socket()
        if config.is_ssl:
            refuse("it speaks TLS", "loadgen speaks plain HTTP: start it without a certificate")
        if config.workers > 1:
            refuse(f"uvicorn has {config.workers} workers", "one process is recorded: start it with one")
        _left_out(name for name in ("reload",) if config.reload)
        if config.interface == "wsgi":  # what it would load is a wrapper for asyncio
            named = sys.modules["uvicorn.importer"].import_from_string(config.app)
            wsgi.serve(named() if config.factory else named)
            return
        config.load()
        asgi.serve(config.loaded_app, config.root_path)

    return run


def asgi(target: Callable[..., Any], system: Any) -> Callable[..., None]:
    """Refuse another server of ASGI applications."""
    del system
    name = target.__module__.partition(".")[0]

    def run(*_args: Any, **_kwargs: Any) -> None:
        refuse(
            f"{name} is not known to loadgen",
            "give its application, which loadgen serves itself: loadgen record package.module:app",
        )

    return run


def _prepared(server: Any) -> Any:
    """Let *server*, one of socketserver's, keep its threads, and stop although a request caught the stop."""
    return stopping.not_lost(connections.kept(server))


def _run_by_the_application(
    server: Any,
    system: Any,
    runs: tuple[str, ...] = ("serve_forever", "handle_request"),
    stops: tuple[str, ...] = ("shutdown", "server_close"),
) -> Any:
    """Run *server* live, whichever of its methods the application calls, and from any thread."""
    for name in runs:
        live = system.disable_for(getattr(server, name), unwrap_args=False)

        def run(*args: Any, _live: Callable[..., Any] = live, **kwargs: Any) -> Any:
            outside(system)
            return _live(*args, **kwargs)

        setattr(server, name, run)
    for name in stops:
        setattr(server, name, system.disable_for(getattr(server, name), unwrap_args=False))
    return server


def _check_werkzeug(ssl_context: object, processes: int, host: object) -> None:
    if ssl_context is not None:
        refuse("it speaks TLS", "loadgen speaks plain HTTP: start it without a certificate")
    if processes > 1:
        refuse(f"it has {processes} processes", "one process is recorded: start it with threads")
    if str(host).startswith("unix://"):
        _refuse_unix_socket()


def waitress(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """``waitress.serve``: by itself, and as ``waitress-serve``."""

    def listen(application: Any, given: dict[str, Any]) -> None:
        target(application, **_as_waitress_listens(given, system))

    live = system.disable_for(listen, unwrap_args=False)

    def serve(application: Any, **given: Any) -> None:
        live(Boundary(application, system), given)

    return serve


def waitress_create_server(target: Callable[..., Any], system: Any) -> Callable[..., Any]:
    """``waitress.create_server``: a server that the application itself runs, perhaps in a thread."""

    def make(application: Any, given: dict[str, Any]) -> Any:
        return target(application, **_as_waitress_listens(given, system))

    live = system.disable_for(make, unwrap_args=False)

    @wraps(target)
    def create_server(application: Any, *args: Any, **given: Any) -> Any:
        if isinstance(application, Boundary):  # by ``waitress.serve``
            return target(application, *args, **given)
        made = live(Boundary(application, system), given)
        return _run_by_the_application(made, system, ("run",), ("close",))

    return create_server


def _as_waitress_listens(given: dict[str, Any], system: Any) -> dict[str, Any]:
    """Return settings for waitress, with our socket in place of those that are *given*."""
    if given.get("unix_socket"):
        _refuse_unix_socket()
    replaced = {"host", "port", "listen", "ipv4", "ipv6", "sockets", "unix_socket", "unix_socket_perms"}
    more: dict[str, Any] = {"sockets": [_listener()]}
    if system.retrace_mode == "replay":
        more |= {"_dispatcher": _growing(), "connection_limit": PLENTY, "asyncore_use_poll": True}
        more["channel_timeout"] = IDLE
    return {name: value for name, value in given.items() if name not in {*replaced, *more}} | more


def _growing() -> Any:
    """Return a dispatcher for waitress with one thread per task."""

    class Growing(sys.modules["waitress.server"].ThreadedTaskDispatcher):  # type: ignore[misc]
        def add_task(self, task: Any) -> None:
            super().add_task(task)
            with self.lock:
                wanted = self.active_count + len(self.queue)
            self.set_thread_count(wanted)

    return Growing()


def gunicorn(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """Gunicorn's ``Arbiter.run``: run its only worker in this process."""
    del target
    replaying = system.retrace_mode == "replay"
    threaded = ("gunicorn.workers.gthread", "gunicorn.workers.sync")

    def listen(arbiter: Any, worker_class: Any, *, answers: bool) -> None:
        listener = _listener()
        make = sys.modules["gunicorn.sock"].TCPSocket
        own = [make(listener.getsockname(), arbiter.cfg, arbiter.log, fd=listener.detach())]
        worker = worker_class(1, os.getppid(), own, arbiter.app, arbiter.timeout, arbiter.cfg, arbiter.log)
        worker.pid = os.getpid()
        # It asks the open files of all loggers, which are on the tape, and this process executes no other.
        arbiter.log.close_on_exec = lambda: None
        worker.init_signals = partial(_stop_worker_too, worker)
        if worker_class.__module__ == threaded[0]:
            _fit(worker, in_place_of_sync=answers, replaying=replaying)
        arbiter.cfg.post_fork(arbiter, worker)
        try:
            worker.init_process()
        except KeyboardInterrupt:
            worker.alive = False

    live = system.disable_for(listen, unwrap_args=False)
    worker_class_of = system.disable_for(attrgetter("worker_class"), unwrap_args=False)

    def run(arbiter: Any) -> None:
        config, worker_class = arbiter.cfg, arbiter.worker_class
        if config.workers != 1:
            refuse(
                f"gunicorn has {config.workers} workers",
                "one process is recorded: add --workers 1 --threads 8 behind gunicorn",
            )
        if worker_class.__module__ not in threaded:
            refuse(
                f"gunicorn's worker is {config.worker_class_str}",
                "threads are recorded: add --worker-class gthread --threads 8 behind gunicorn",
            )
        if config.is_ssl:
            refuse("it speaks TLS", "loadgen speaks plain HTTP: start it without a certificate")
        if any(not isinstance(address, tuple) for address in config.address):
            _refuse_unix_socket()
        _left_out(name for name in ("reload", "max_requests") if getattr(config, name))
        config.set("reload", False)
        config.set("max_requests", 0)
        sync = worker_class.__module__ == threaded[1]
        _keep_connections(config, keeps=not sync)
        if replaying:
            config.set("worker_class", "gthread")
            worker_class = worker_class_of(config)  # off the tape: only a replay imports it
            config.set("threads", PLENTY)
            config.set("worker_connections", 2 * PLENTY)
        arbiter.pid = os.getpid()
        _let_our_header_not_count(config)
        config.on_starting(arbiter)
        drops = frozenset(sys.modules["gunicorn.util"].hop_headers)
        arbiter.app.callable = Boundary(arbiter.app.wsgi(), system, drops)
        config.when_ready(arbiter)
        live(arbiter, worker_class, answers=sync)

    return run


def _fit(worker: Any, *, in_place_of_sync: bool, replaying: bool) -> None:
    """Fit a threaded worker for one process that is recorded, or replayed *in place of* a *sync* one."""
    worker.handle = _outliving(worker, answers=in_place_of_sync)
    stock = worker.get_thread_pool

    def get_thread_pool() -> Any:
        if not in_place_of_sync:
            stock()  # pools without a name are numbered, and the next one is the application's
        return connections.Pool()

    if replaying:
        worker.get_thread_pool = get_thread_pool


def _outliving(worker: Any, *, answers: bool) -> Callable[[Any], Any]:
    """Return a threaded worker's ``handle`` that survives what is no ``Exception``, such as ``SystemExit``.

    Unrecorded, the worker ends without an answer, and gunicorn starts another one, in which the application
    begins anew; one process is recorded. A sync worker *answers* such an error like any other.
    """
    stock = worker.handle

    def handle(connection: Any) -> Any:
        try:
            return stock(connection)
        except Exception:
            raise
        except BaseException as error:  # noqa: BLE001 - of the application: the stop is for the main thread
            if answers:
                worker.handle_error(None, connection.sock, connection.client, error)
            else:
                _left_out((f"the end of gunicorn's worker by {type(error).__name__}",))
            return False

    return handle


def _keep_connections(config: Any, *, keeps: bool) -> None:
    """Keep connections, if the recorded worker *keeps* them: the worker of a replay would, in any case."""
    if not keeps:
        config.set("keepalive", 0)
    elif (
        config.keepalive
    ):  # it closes idle connections, and a client that is about to use one would get no answer
        config.set("keepalive", IDLE)
        _close_behind_what_is_short()


def _close_behind_what_is_short() -> None:
    """Close a connection after an answer that is shorter than its length, so that the client sees the end.

    Unrecorded, that is when the connection has been idle.
    """
    response = sys.modules["gunicorn.http.wsgi"].Response
    stock, stock_sendfile = response.close, response.sendfile

    def sendfile(answer: Any, wrapper: Any) -> bool:
        if not stock_sendfile(answer, wrapper):
            return False
        number = wrapper.filelike.fileno()  # the position in the file is where it was before
        answer.sent += os.fstat(number).st_size - os.lseek(
            number, 0, os.SEEK_CUR
        )  # stock counts what it writes
        return True

    def close(answer: Any) -> None:
        stock(answer)
        has_body = answer.req.method != "HEAD" and answer.status_code not in (204, 304)
        if has_body and answer.response_length is not None and answer.sent < answer.response_length:
            answer.force_close()

    response.close, response.sendfile = close, sendfile


def _stop_worker_too(worker: Any) -> None:
    """Keep our signal handlers instead of the worker's, so that the recording is completed.

    They raise an exception, which a sync worker that is handling a request would treat as one of the request.
    """

    def stop() -> None:
        worker.alive = False

    stopping.also(stop)


def _let_our_header_not_count(gunicorn: Any = None) -> None:
    """Raise the limit on a request's headers by one, for the header with its number."""
    import http.client  # noqa: PLC0415 - what is imported before the engine starts is not traced

    class Limit(int):
        """Prints as the original limit, in an error page."""

        def __lt__(self, other: int) -> bool:
            return int(self) + 1 < other

    if gunicorn is None:
        http.client._MAXHEADERS = Limit(http.client._MAXHEADERS)  # type: ignore[attr-defined]
    elif gunicorn.limit_request_fields:
        gunicorn.set("limit_request_fields", gunicorn.limit_request_fields + 1)


def _listener() -> Any:
    """Return the listening socket: the one that was passed, or a new one at the address that was passed."""
    import socket  # noqa: PLC0415 - what is imported before the engine starts is not traced

    here = settings.CURRENT
    if here.socket_fd >= 0:
        return socket.socket(fileno=here.socket_fd)
    return socket.create_server(here.bind or ("127.0.0.1", 0), backlog=BACKLOG)


def _refuse_unix_socket() -> None:
    refuse("it listens on a Unix socket", "loadgen's virtual users come by TCP: give it a port")


def _left_out(names: Iterable[str]) -> None:
    for name in names:
        print(f"loadgen: left out: {name}", file=sys.stderr)  # noqa: T201 - the server's log
