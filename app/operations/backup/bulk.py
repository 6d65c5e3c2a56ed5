"""Bulk reads and writes of whole tables, in constant memory.

SQL text contains only names from our tables; values are parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

import psycopg
import pymysql
from alembic.migration import MigrationContext
from pymysql.cursors import SSCursor
from sqlalchemy import Connection, Integer, Table, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from ...errors import DatabaseRefused, DatabaseUnavailable, StepkeepError
from ...store import tables
from ...store.drivers import sqlite
from .replay_check import RowPass, SessionRows, pair_with_history
from .row_format import KEYS, TABLES, Row, chunks, column_names, is_time, portable_time

Key = Sequence[Any]
"""A prefix of the key's values."""

SESSIONS_A_PAGE = 250


class BulkDatabase(ABC):
    """A database in one transaction, which the caller ends."""

    kind: str

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._raw: Any = connection.connection.driver_connection
        self._quote = connection.dialect.identifier_preparer.quote

    def revision(self) -> str | None:
        return MigrationContext.configure(self.connection).get_current_revision()

    def count(self, table: Table) -> int:
        return cast("int", self.connection.execute(select(func.count()).select_from(table)).scalar())

    def count_all(self) -> int:
        return sum(map(self.count, TABLES))

    def occupied(self) -> list[str]:
        """Return the tables with rows, except those that a starting server fills."""
        return [table.name for table in TABLES if table not in _FILLED_AT_START and self._has_rows(table)]

    def last_key(self, table: Table) -> Row | None:
        names = ", ".join(f"{self._quote(name)} DESC" for name in KEYS[table.name])
        keys = [table.c[name] for name in KEYS[table.name]]
        row = self.connection.execute(select(*keys).order_by(text(names)).limit(1)).first()
        return None if row is None else tuple(row)

    def rows(self, table: Table, after: Key = (), up_to: Key = (), limit: int | None = None) -> Iterator[Row]:
        """Yield a table's rows in key order; only one such iteration may be open.

        Args:
            after, up_to: exclusive lower, inclusive upper bound; may be prefixes of the key.

        Raises:
            DatabaseUnavailable, DatabaseRefused: as ``translate_errors``.
        """
        above, above_values = self._above(table, after)
        below, below_values = self._below(table, up_to)
        where = " AND ".join(filter(None, (above, below)))
        statement = (
            f"SELECT {', '.join(self._read(column) for column in table.c)} FROM {self._from(table)}"  # noqa: S608
            f"{f' WHERE {where}' if where else ''} ORDER BY {self._join(KEYS[table.name])}"
            f"{f' LIMIT {limit}' if limit else ''}"
        )
        with translate_errors(table):
            yield from self._select(table, statement, (*above_values, *below_values))

    def session_rows(self, pass_sessions: RowPass, pass_history: RowPass) -> SessionRows:
        """Yield sessions with their history; memory holds one page of sessions."""
        last: Key = ()
        while page := list(pass_sessions(self.rows(tables.sessions, last, limit=SESSIONS_A_PAGE))):
            previous, last = last, page[-1][:2]
            yield from pair_with_history(page, pass_history(self.rows(tables.session_history, previous, last)))
        yield from pair_with_history((), pass_history(self.rows(tables.session_history, last)))

    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows.

        Raises:
            DatabaseUnavailable, DatabaseRefused: as ``translate_errors``.
        """
        with translate_errors(table):
            self._insert(table, rows)

    def clear(self, table: Table) -> None:
        with translate_errors(table):
            self.connection.exec_driver_sql(f"DELETE FROM {self._quote(table.name)}")  # noqa: S608 - our name

    def lock(self) -> None:  # noqa: B027 - SQLite's transaction is a lock, MariaDB's delete takes one
        """Block other writers until the transaction ends, if possible."""

    def reset_sequences(self) -> None:  # noqa: B027 - only PostgreSQL needs it
        """Continue automatic ids after the inserted ones."""

    @abstractmethod
    def _select(self, table: Table, statement: str, values: Sequence[Any]) -> Iterator[Row]: ...

    @abstractmethod
    def _insert(self, table: Table, rows: Iterable[Row]) -> None: ...

    _placeholder = "%s"

    def _read(self, column: Any) -> str:  # noqa: ANN401 - a column
        return self._quote(column.name)

    def _from(self, table: Table) -> str:
        return self._quote(table.name)

    def _join(self, names: Iterable[str]) -> str:
        return ", ".join(map(self._quote, names))

    def _into(self, table: Table) -> str:
        return f"{self._quote(table.name)} ({self._join(column_names(table))})"

    def _has_rows(self, table: Table) -> bool:
        return self.connection.execute(select(*table.primary_key).limit(1)).first() is not None

    def _above(self, table: Table, key: Key) -> tuple[str, list[Any]]:
        """Return a condition that every database answers from the key's index."""
        return self._bound(KEYS[table.name][: len(key)], key, ">", is_strict=True)

    def _below(self, table: Table, key: Key) -> tuple[str, list[Any]]:
        return self._bound(KEYS[table.name][: len(key)], key, "<", is_strict=False)

    def _bound(self, names: Sequence[str], key: Key, sign: str, *, is_strict: bool) -> tuple[str, list[Any]]:
        if not key:
            return "", []
        name, mark = self._quote(names[0]), self._placeholder
        if len(key) == 1:
            return f"{name} {sign}{'' if is_strict else '='} {mark}", [key[0]]
        inner, values = self._bound(names[1:], key[1:], sign, is_strict=is_strict)
        return f"{name} {sign}= {mark} AND ({name} {sign} {mark} OR ({inner}))", [key[0], key[0], *values]


class Sqlite(BulkDatabase):
    """SQLite: a cursor."""

    kind = "sqlite"
    _placeholder = "?"

    def _select(self, table: Table, statement: str, values: Sequence[Any]) -> Iterator[Row]:
        times = [place for place, column in enumerate(table.c) if is_time(column)]
        for raw in self._raw.execute(statement, values):
            row = list(raw)
            for place in times:
                row[place] = portable_time(row[place])
            yield tuple(row)

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        placeholders = ", ".join("?" * len(table.c))
        self._raw.executemany(f"INSERT INTO {self._into(table)} VALUES ({placeholders})", rows)  # noqa: S608 - our names


class Postgresql(BulkDatabase):
    """PostgreSQL: COPY in both directions."""

    kind = "postgresql"

    def _read(self, column: Any) -> str:  # noqa: ANN401 - a column
        name = self._quote(column.name)
        return f"to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')" if is_time(column) else name

    def _select(self, table: Table, statement: str, values: Sequence[Any]) -> Iterator[Row]:
        kinds = ["int8" if isinstance(column.type, Integer) else "text" for column in table.c]
        query = f"COPY ({statement}) TO STDOUT"
        with self._raw.cursor() as cursor, cursor.copy(query, values or None) as copy:
            copy.set_types(kinds)
            yield from copy.rows()

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        with self._raw.cursor() as cursor, cursor.copy(f"COPY {self._into(table)} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def lock(self) -> None:
        with translate_errors(None):
            self.connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
            self.connection.exec_driver_sql(f"LOCK TABLE {self._join(t.name for t in TABLES)} IN ACCESS EXCLUSIVE MODE")

    def clear(self, table: Table) -> None:
        names = {table.name, *(t.name for t in TABLES if any(k.column.table is table for k in t.foreign_keys))}
        with translate_errors(table):
            self.connection.exec_driver_sql(f"TRUNCATE {self._join(sorted(names))}")

    def reset_sequences(self) -> None:
        for table in TABLES:
            column = table.autoincrement_column
            if column is None or not isinstance(column.type, Integer):
                continue
            newest = f"SELECT max({self._quote(column.name)}) FROM {self._quote(table.name)}"  # noqa: S608 - our names
            self.connection.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "
                f"coalesce(({newest}), 1), ({newest}) IS NOT NULL)"
            )


class Mysql(BulkDatabase):
    """MariaDB and MySQL: unbuffered cursor, inserts of about a megabyte."""

    kind = "mysql"

    def _read(self, column: Any) -> str:  # noqa: ANN401 - a column
        name = self._quote(column.name)
        return f"CAST({name} AS CHAR)" if is_time(column) else name

    def _from(self, table: Table) -> str:
        name = self._quote(table.name)
        # Otherwise the server first sorts the whole table.
        return f"{name} FORCE INDEX (uq_session_history_version)" if table is tables.session_history else name

    def _select(self, table: Table, statement: str, values: Sequence[Any]) -> Iterator[Row]:  # noqa: ARG002 - the base class's signature
        with closing(SSCursor(self._raw)) as cursor:
            cursor.execute(statement, values)
            yield from cursor

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        placeholders = ", ".join(["%s"] * len(table.c))
        statement = f"INSERT INTO {self._into(table)} VALUES ({placeholders})"  # noqa: S608 - our names
        with self._raw.cursor() as cursor:
            for chunk in chunks(rows):
                cursor.executemany(statement, chunk)


_FILLED_AT_START = {tables.survey_revisions, tables.erasures}

LOCK_WAIT_S = 30

_DRIVER_ERRORS = (SQLAlchemyError, psycopg.Error, pymysql.err.Error, sqlite.driver().Error, UnicodeEncodeError)
_DATA_ERRORS = frozenset({"DataError", "IntegrityError", "UnicodeEncodeError", "OverflowError"})


@contextmanager
def translate_errors(table: Table | None) -> Iterator[None]:
    """Translate driver errors; messages name the table, never a value.

    Raises:
        DatabaseRefused: the data caused it.
        DatabaseUnavailable: otherwise.
    """
    try:
        yield
    except StepkeepError:
        raise
    except _DRIVER_ERRORS as error:
        original = getattr(error, "orig", None) or error
        names = {kind.__name__ for kind in type(original).__mro__}
        where = f" with {table.name}" if table is not None else ""
        code = next(filter(None, (getattr(original, "sqlstate", None), *_numbers(original))), "")
        problem = f"{type(original).__name__}{f' {code}' if code else ''}{where}"
        raise (DatabaseRefused if not names.isdisjoint(_DATA_ERRORS) else DatabaseUnavailable)(problem) from error


def _numbers(error: object) -> Iterator[int]:
    return (argument for argument in getattr(error, "args", ()) if isinstance(argument, int))
