"""Kinds of calls: effect, read, step, or ambient; and the table that assigns them.

- An *effect* changes something outside, and must be made again: a statement that writes, bytes sent, a file
  written or removed, a process started.
- A *read* asks for something that an effect may change.
- An *end* (commit, rollback) is an effect only if something was written before.
- A *step* belongs to another question and asks nothing itself: a cursor, its rows, a connection, its address.
- An *ambient* call returns time, random numbers, or properties of the process.

The first row that matches the callable's name counts, a user's own rows first; a call without a row is an
effect. A parser determines the kind of a statement.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Kind(enum.StrEnum):
    """The kind of a call."""

    EFFECT = "effect"
    READ = "read"
    ENDS = "ends"
    STEP = "step"
    AMBIENT = "ambient"
    STATEMENT = "statement"
    """Only in the table: the statement determines the kind."""


Row = tuple[str, Kind]
"""A pattern for the full name of a callable, and the kind of its calls."""

TABLE: tuple[Row, ...] = (
    (r"loadgen\..*|gc\..*|logging\..*", Kind.AMBIENT),
    (r"(cryptography|OpenSSL\.crypto|bcrypt|nacl|uuid_utils|fastuuid)\..*|_ssl\.RAND_\w+", Kind.AMBIENT),
    (r"time\.(tzset|clock_settime(_ns)?)|_locale\.setlocale", Kind.EFFECT),
    (r"time\..*|_thread\..*|threading\..*|resource\.getrusage|_locale\..*", Kind.AMBIENT),
    (r"_?random\..*|Random\..*|_uuid\..*|.*datetime\.(now|utcnow|today)", Kind.AMBIENT),
    (r"posix\.(urandom|getrandom|get(p|pp|u|eu|g|eg)id|getpgid|uname|times|getloadavg)", Kind.AMBIENT),
    (r"posix\.(cpu_count|getcwd|getcwdb|sched_(get\w+|yield)|getpriority|sysconf|confstr)", Kind.AMBIENT),
    (r"posix\.(isatty|get_terminal_size|ttyname|[gs]et_inheritable|[gs]et_blocking)", Kind.AMBIENT),
    (r"posix\.(f?pathconf|device_encoding)", Kind.AMBIENT),
    (r"_socket\.(gethostname|getdefaulttimeout|setdefaulttimeout)", Kind.AMBIENT),
    (r".*\.(execute|executemany|executescript|callproc|exec_params|exec_|send_query\w*)", Kind.STATEMENT),
    (r".*(Connection|connection|PGconn)\.(commit|rollback|__exit__)", Kind.ENDS),
    (r".*\.(fetch\w*|__next__|__iter__|description|rowcount|lastrowid|close|closed|cursor)", Kind.STEP),
    (r".*\.(connect|connect_ex|_connect|recv\w*|read|readline|readlines|readinto\w*)", Kind.STEP),
    (r".*\.(seek|tell|flush|fileno|detach|shutdown|__enter__|__exit__|__init__|__getattr\w*)", Kind.STEP),
    (r".*\.(readable|writable|seekable|isatty|peek|readall)", Kind.STEP),
    (r".*\.([gs]ettimeout|[gs]etsockopt|getpeername|getsockname|setblocking)", Kind.STEP),
    (r".*\.(select|poll|register|unregister|modify|get_\w+)", Kind.STEP),
    (r"(_?sqlite3|psycopg\w*|PGconn|MySQLdb|_mysql|_ssl|select)\.(.*\.)?(set|create)_\w+", Kind.STEP),
    (r".*\.(total_changes|in_transaction|row_factory|text_factory|isolation_level|autocommit)", Kind.STEP),
    (r".*\.(row_factory|text_factory|cursor_factory|arraysize)\.__set__", Kind.STEP),
    (r".*\.(status|server_version|info|encoding|dsn|notices|backend_pid|waitpid|wait)", Kind.STEP),
    (r"_sqlite3\.(connect|adapt)|.*\.(Column|Xid|Diagnostics|ConnectionInfo|Row)\.\w+", Kind.STEP),
    (r"posix\.(stat|lstat|fstat|listdir|scandir|access|readlink|statvfs|getxattr)", Kind.READ),
    (r"posix\.(read|pread|close|dup|pipe|pipe2)", Kind.READ),
    (r"_io\.open_code|builtins\.(getattr|iter|next|len)|method\.__?\w+", Kind.READ),
    (r"_socket\.(getaddrinfo|gethostby\w+|getnameinfo|getserv\w+|getproto\w+|if_\w+)", Kind.STEP),
    (r"_socket\.(socket|socketpair|dup|close|socket\.__init__)|select\..*|_ssl\..*", Kind.READ),
    (r"(pwd|grp)\..*", Kind.READ),
)


_TO_WRITE = re.compile(r"[,=] ?'[rbtU]*[wax+][bt+]*'")
"""The mode of a file that is opened for writing."""


_ONLY_ASKS = re.compile(r"posix\.lseek\(\d+, 0, 1\)|_locale\.setlocale\(\d+(, None)?\)")
"""Calls that change something only with other arguments."""


_FILES = re.compile(r"posix\.(stat|lstat|listdir|scandir|access|readlink|statvfs|getxattr)|_io\.open(_code)?")
_SENDS = re.compile(r"_socket\.|_ssl\.|select\.")
"""Calls that change no file of this machine."""
_WRITES_FILES = re.compile(r"_?io\.")
"""Calls that write files, and change no table."""
_STORES_NO_FUNCTIONS = re.compile(r"sqlite3\.")
"""A function that only the application knows is its own code, of which the calls are recorded."""
_OUTSIDE = re.compile(r"posix\.|_?io\.|_socket\.|_ssl\.|select\.|_posixsubprocess\.")
"""Calls that belong to no transaction of a database."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The tables that a statement reads and writes, as far as it could be parsed."""

    kind: Kind
    reads: frozenset[str] | None = frozenset()
    """The tables that it reads; None if unknown."""
    writes: frozenset[str] | None = frozenset()
    files: bool = False
    """Whether a read asks for the state of a file; whether an effect may change one."""
    calls: bool = False
    """Whether it calls a function that is not known: one that a database stores may write."""


class Parser(Protocol):
    """Parses statements."""

    def __call__(self, statement: str) -> Statement:
        """Return the tables that *statement* reads and writes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, as reported by the boundary."""

    name: str
    text: str
    """Its first argument that is text or bytes, such as a statement."""
    shown: str
    """The whole call, as source text."""


@dataclass(frozen=True, slots=True)
class Classified:
    """A call with its kind."""

    asked: Asked
    statement: Statement
    is_statement: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of the call."""
        return self.statement.kind

    @property
    def is_transactional(self) -> bool:
        """Whether it may belong to a transaction, if it is an effect."""
        return not _OUTSIDE.match(self.asked.name)


class Classifier:
    """Classifies calls by the rows of a table, and statements by a *parser*."""

    def __init__(self, parser: Parser, rows: Sequence[Row] = TABLE) -> None:
        self._rows = [(re.compile(name), kind) for name, kind in rows]
        self._parser = parser
        self._names: dict[str, Kind] = {}
        self._statements: dict[str, Statement] = {}

    def __call__(self, asked: Asked) -> Classified:
        """Return a call with its kind."""
        kind = self._names.get(asked.name)
        if kind is None:
            kind = next((kind for row, kind in self._rows if row.fullmatch(asked.name)), Kind.EFFECT)
            self._names[asked.name] = kind
        if asked.name == "_io.open" and not _TO_WRITE.search(asked.shown):
            kind = Kind.READ
        if kind is Kind.EFFECT and _ONLY_ASKS.fullmatch(asked.shown):
            kind = Kind.READ
        if kind is not Kind.STATEMENT:
            files = bool(_FILES.fullmatch(asked.name)) if kind is Kind.READ else not _SENDS.match(asked.name)
            tables = frozenset[str]() if _WRITES_FILES.match(asked.name) else None
            return Classified(asked, Statement(kind, None, tables, files))
        statement = self._statements.get(asked.text)
        if statement is None:
            statement = self._statements[asked.text] = self._parser(asked.text)
        if statement.calls and not _STORES_NO_FUNCTIONS.match(asked.name):
            statement = Statement(Kind.EFFECT, None, None, files=True)
        return Classified(asked, statement, is_statement=True)


def table(own: Iterable[str] = ()) -> tuple[Row, ...]:
    """Return the table, preceded by a user's *own* rows, each given as ``PATTERN=KIND``.

    Raises:
        UsageError: a row is not valid.
    """
    rows = []
    for text in own:
        pattern, equals, kind = text.rpartition("=")
        if not equals or not pattern or kind not in list(Kind):
            raise UsageError(
                f"--call {text}: it is not PATTERN=KIND",
                advice=f"The kinds are: {', '.join(Kind)}. Example: --call 'mydriver\\.query=read'",
            )
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"--call {text}: {pattern!r} is not a regular expression: {error}") from error
        rows.append((pattern, Kind(kind)))
    return (*rows, *TABLE)


def may_change(effect: Statement, read: Statement) -> bool:
    """Whether *effect* may change the result of *read*."""
    if read.files:
        return effect.files
    if effect.writes is None or read.reads is None:
        return True
    return bool(effect.writes & read.reads)
