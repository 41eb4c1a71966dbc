"""Parses SQL with sqlglot: which tables a statement reads and writes."""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import Any

import sqlglot
from sqlglot import Dialect, exp
from sqlglot.errors import SqlglotError

from loadgen.core.classification import Kind, Statement

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what the next dialect may know

_PLACEHOLDER = re.compile(r"%\(\w+\)s|%s")
_UNKNOWN = Statement(Kind.EFFECT, None, None, files=True)
_SEVERAL = re.compile(r";\s*\S")
"""Also of one with this in a text, which is parsed for that."""
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
_DIALECTS = ("sqlite", "postgres", "mysql")
_ASKS_ONLY = re.compile(
    r"abs|age|bm25|ceiling|changes|char|clock_timestamp|col_description|concat(_ws)?|connection_id|crosstab|currval|"
    r"current_(database|schemas?|setting|user)|database|date(time|_part|_trunc|_add|_sub|_format|diff)?|decode|digest|"
    r"encode|format(_type)?|found_rows|gen_random_uuid|glob|has_\w+_privilege|hex|highlight|hmac|if|ifnull|iif|"
    r"inet6?_[an]to[an]|instr|jsonb?(_(agg|array\w*|build\w*|contains\w*|each\w*|extract\w*|group_\w+|insert|keys|"
    r"length|object\w*|patch|path\w*|populate_\w+|pretty|quote|remove|replace|search|set|strip_nulls|to_record\w*|"
    r"tree|type|typeof|unquote|valid|value))?|julianday|last(_insert_(id|rowid)|val)|last_value|length|like|likelihood|"
    r"likely|make_(date|interval|time|timestamp|timestamptz)|match(info)?|md5|now|obj_description|offsets|"
    r"pg_(backend_pid|column_size|database_size|encoding_to_char|get_\w+|indexes_size|is_in_recovery|\w+_is_visible|"
    r"relation_size|size_pretty|table_size|total_relation_size|typeof)|position|pragma_\w+|printf|quote(_\w+)?|"
    r"random(blob)?|rank|regexp_(like|matche?s?|replace|split_to_\w+|substr)|round|row_number|row_to_json|rtreecheck|"
    r"set_(bit|byte|masklen)|sha[12]|shobj_description|sign|similarity|snippet|soundex|sqlite_\w+|"
    r"(statement|transaction)_timestamp|st_\w+|strftime|string_(agg|to_array)|strpos|substr(ing)?|time(diff)?|"
    r"to_(char|date|jsonb?|number|reg\w+|timestamp|tsquery|tsvector)|(phraseto|plainto|websearch_to)_tsquery|total|"
    r"total_changes|trunc|ts_(delete|filter|headline|rank|rank_cd|rewrite)|txid_current|typeof|unaccent|unicode|"
    r"unixepoch|unlikely|upper|lower|uuid\w*|version|word_similarity|zeroblob"
)
"""Functions of databases that change nothing, besides those that sqlglot knows."""
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)


def parse(statement: str) -> Statement:
    """Return the tables of *statement*; one that cannot be parsed counts as writing all tables."""
    if _SEVERAL.search(statement):
        return _parsed(statement)
    if _BEGINS.match(statement) or _SETS.match(statement) or _OF_THE_CONNECTION.match(statement):
        return Statement(Kind.STEP, None, None)
    if _ENDS.match(statement):
        return Statement(Kind.ENDS, None, None)
    if _PRAGMA.match(statement) or _ASKS.match(statement):
        return Statement(Kind.READ, None)
    return _parsed(statement)


def _parsed(statement: str) -> Statement:
    text = _PLACEHOLDER.sub("?", statement)
    for dialect in _DIALECTS:
        try:
            parsed = [one for one in sqlglot.parse(text, read=dialect) if one is not None]
        except (SqlglotError, RecursionError):
            continue
        if parsed and not any(isinstance(one, exp.Command) for one in parsed):
            return _all_of(parsed)
    return _UNKNOWN


def _all_of(parsed: list[Any]) -> Statement:
    reads, writes, effect, calls = set[str](), set[str](), False, False
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
        calls = calls or any(not _is_known(function) for function in one.find_all(exp.Anonymous))
        if not effect and not isinstance(one, (exp.Query, exp.Values)):
            return _UNKNOWN
        reads |= {table.name.lower() for table in one.find_all(exp.Table)} - named
    # A trigger or a cascade may write tables that the statement does not name.
    return (
        Statement(Kind.EFFECT, frozenset(reads), None if _cascades(parsed) else frozenset(writes))
        if (effect)
        else Statement(Kind.READ, frozenset(reads), calls=calls)
    )


@cache
def _known() -> frozenset[str]:
    """Return the functions that sqlglot knows: of any dialect, whichever could parse the statement."""
    return frozenset(
        name.lower() for each in _DIALECTS for name in Dialect.get_or_raise(each).parser_class.FUNCTIONS
    )


def _is_known(function: exp.Func) -> bool:
    name = _called(function)
    return name in _known() or bool(_ASKS_ONLY.fullmatch(name))


def _cascades(parsed: list[Any]) -> bool:
    return any(isinstance(one, (exp.Delete, exp.Create, exp.Drop, exp.Alter, exp.Merge)) for one in parsed)


def _called(function: exp.Func) -> str:
    return (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
