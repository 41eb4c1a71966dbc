"""Parses SQL with sqlglot: which tables a statement reads and writes."""

from __future__ import annotations

import logging
import re
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from loadgen.core.classification import Kind, Statement

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what the next dialect may know

_PLACEHOLDER = re.compile(r"%\(\w+\)s|%s")
_UNKNOWN = Statement(Kind.EFFECT, None, None, files=True)
_BEGINS = re.compile(r"\s*(begin|start\s+transaction|savepoint|release)\b", re.IGNORECASE)
_ENDS = re.compile(r"\s*(commit|end|rollback|abort)\b", re.IGNORECASE)
_ASKS = re.compile(r"\s*(explain|show|describe)\b", re.IGNORECASE)
_SETS = re.compile(r"\s*set\s+(session\s+|local\s+)?(?!.*\brole\b)", re.IGNORECASE)
_PRAGMA = re.compile(r"\s*pragma\s+[\w.]+\s*(\(\s*[\w.'\"]*\s*\))?\s*;?\s*$", re.IGNORECASE)
_OF_THE_CONNECTION = re.compile(
    r"\s*pragma\s+(foreign_keys|busy_timeout|cache_size|synchronous|temp_store|recursive_triggers|query_only|"
    r"case_sensitive_like|defer_foreign_keys|read_uncommitted|mmap_size|threads)\s*[=(]",
    re.IGNORECASE,
)
"""Settings of SQLite that last only as long as the connection."""
_CHANGES = frozenset(
    {"nextval", "setval", "pg_notify", "lo_create", "lo_unlink", "set_config", "pg_terminate_backend",
     "load_extension", "dblink_exec", "query_to_xml", "pg_sleep"}
)  # fmt: skip
"""Functions with side effects that a query may call."""
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)


def parse(statement: str) -> Statement:
    """Return the tables of *statement*; one that cannot be parsed counts as writing all tables."""
    if _BEGINS.match(statement) or _SETS.match(statement) or _OF_THE_CONNECTION.match(statement):
        return Statement(Kind.STEP, None, None)
    if _ENDS.match(statement):
        return Statement(Kind.ENDS, None, None)
    if _PRAGMA.match(statement) or _ASKS.match(statement):
        return Statement(Kind.READ, None)
    text = _PLACEHOLDER.sub("?", statement)
    for dialect in ("sqlite", "postgres", "mysql"):
        try:
            parsed = [one for one in sqlglot.parse(text, read=dialect) if one is not None]
        except (SqlglotError, RecursionError):
            continue
        if parsed and not any(isinstance(one, exp.Command) for one in parsed):
            return _all_of(parsed)
    return _UNKNOWN


def _all_of(parsed: list[Any]) -> Statement:
    reads, writes, effect = set[str](), set[str](), False
    for one in parsed:
        named = {common.alias_or_name.lower() for common in one.find_all(exp.CTE)}
        for change in one.find_all(*_WRITES):
            effect = True
            target = (
                change.this.find(exp.Table)
                if change.this is not None and hasattr(change.this, "find")
                else None
            )
            if target is None:
                return _UNKNOWN
            writes.add(target.name.lower())
        if one.find(exp.Lock) or any(_called(function) in _CHANGES for function in one.find_all(exp.Func)):
            return _UNKNOWN
        if not effect and not isinstance(one, (exp.Query, exp.Values)):
            return _UNKNOWN
        reads |= {table.name.lower() for table in one.find_all(exp.Table)} - named
    # A trigger or a cascade may write tables that the statement does not name.
    return (
        Statement(Kind.EFFECT, frozenset(reads), None if _cascades(parsed) else frozenset(writes))
        if (effect)
        else Statement(Kind.READ, frozenset(reads))
    )


def _cascades(parsed: list[Any]) -> bool:
    return any(isinstance(one, (exp.Delete, exp.Create, exp.Drop, exp.Alter, exp.Merge)) for one in parsed)


def _called(function: exp.Func) -> str:
    return (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
