"""All rows of a table out of a database and into it, as fast as its driver can and without holding them in memory.

On the driver's own connection, in the transaction that ``databases.py`` began: a cursor on SQLite, COPY on PostgreSQL,
an unbuffered cursor and long inserts on MariaDB and MySQL. Names are the tables' own; values are parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any, cast

import psycopg
import pymysql
from alembic.migration import MigrationContext
from pymysql.cursors import SSCursor
from sqlalchemy import Connection, Integer, Table, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from ...errors import DatabaseRefused, DatabaseUnavailable, StepkeepError
from ...store.drivers import sqlite
from ...store.tables import erasures, session_history, sessions, survey_revisions
from .pairs import Pairs, merged
from .row_format import KEYS, TABLES, Row, chunks, columns_of, is_time, time_text

Key = Sequence[Any]
"""The first values of a table's key, one or more."""

SESSIONS_A_PAGE = 250
"""Sessions that are in memory while their history is read beside them."""


class OpenDatabase(ABC):
    """A database in one transaction, which is its opener's."""

    kind: str

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._raw: Any = connection.connection.driver_connection
        self._quote = connection.dialect.identifier_preparer.quote

    def revision(self) -> str | None:
        """Return the schema's revision."""
        return MigrationContext.configure(self.connection).get_current_revision()

    def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        return cast("int", self.connection.execute(select(func.count()).select_from(table)).scalar())

    def count_all(self) -> int:
        """Return how many rows there are."""
        return sum(map(self.count, TABLES))

    def occupied(self) -> list[str]:
        """Return the tables with rows, but for what a start writes into an empty database by itself.

        These are the surveys' revisions, and the erasures of the list outside of it.
        """
        return [table.name for table in TABLES if table not in _OF_A_START and self._has_rows(table)]

    def last_key(self, table: Table) -> Row | None:
        """Return the key of a table's last row, in the order of the keys."""
        names = ", ".join(f"{self._quote(name)} DESC" for name in KEYS[table.name])
        keys = [table.c[name] for name in KEYS[table.name]]
        row = self.connection.execute(select(*keys).order_by(text(names)).limit(1)).first()
        return None if row is None else tuple(row)

    def rows(self, table: Table, after: Key = (), up_to: Key = (), limit: int | None = None) -> Iterator[Row]:
        """Yield a table's rows in the order of their keys; only one such iteration may be under way.

        Args:
            after, up_to: only rows with a key, or a beginning of one, above the one and not above the other.
            limit: at most so many.

        Raises:
            DatabaseUnavailable, DatabaseRefused: the rows can't be read.
        """
        above, above_values = self._above(table, after)
        below, below_values = self._below(table, up_to)
        where = " AND ".join(filter(None, (above, below)))
        statement = (
            f"SELECT {', '.join(self._read(column) for column in table.c)} FROM {self._from(table)}"  # noqa: S608
            f"{f' WHERE {where}' if where else ''} ORDER BY {self._listed(KEYS[table.name])}"
            f"{f' LIMIT {limit}' if limit else ''}"
        )
        with ours(table):
            yield from self._select(table, statement, (*above_values, *below_values))

    def pairs(self, sessions_pass: Any, history_pass: Any) -> Pairs:  # noqa: ANN401 - functions from rows to rows
        """Yield each session's row with those of its history, read a page of sessions at a time."""
        last: Key = ()
        while page := list(sessions_pass(self.rows(sessions, last, limit=SESSIONS_A_PAGE))):
            before, last = last, page[-1][:2]
            yield from merged(page, history_pass(self.rows(session_history, before, last)))
        yield from merged((), history_pass(self.rows(session_history, last)))

    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """Add rows.

        Raises:
            DatabaseUnavailable, DatabaseRefused: they can't be added.
        """
        with ours(table):
            self._insert(table, rows)

    def clear(self, table: Table) -> None:
        """Take all rows away."""
        with ours(table):
            self.connection.exec_driver_sql(f"DELETE FROM {self._quote(table.name)}")  # noqa: S608 - our name

    def lock(self) -> None:  # noqa: B027 - SQLite's transaction is a lock, MariaDB's delete takes one
        """Keep others from changing anything until the end of the transaction, as far as the database can."""

    def follow_numbers(self) -> None:  # noqa: B027 - all but PostgreSQL do
        """Let new rows get numbers after those that were inserted, where the database does not see to it itself."""

    @abstractmethod
    def _select(self, table: Table, statement: str, values: Sequence[Any]) -> Iterator[Row]: ...

    @abstractmethod
    def _insert(self, table: Table, rows: Iterable[Row]) -> None: ...

    _mark = "%s"

    def _read(self, column: Any) -> str:  # noqa: ANN401 - a column
        return self._quote(column.name)

    def _from(self, table: Table) -> str:
        return self._quote(table.name)

    def _listed(self, names: Iterable[str]) -> str:
        return ", ".join(map(self._quote, names))

    def _into(self, table: Table) -> str:
        return f"{self._quote(table.name)} ({self._listed(columns_of(table))})"

    def _has_rows(self, table: Table) -> bool:
        return self.connection.execute(select(*table.primary_key).limit(1)).first() is not None

    def _above(self, table: Table, key: Key) -> tuple[str, list[Any]]:
        """Return a condition that every database reads as a range of the key's index."""
        return self._bound(KEYS[table.name][: len(key)], key, ">", is_strict=True)

    def _below(self, table: Table, key: Key) -> tuple[str, list[Any]]:
        return self._bound(KEYS[table.name][: len(key)], key, "<", is_strict=False)

    def _bound(self, names: Sequence[str], key: Key, sign: str, *, is_strict: bool) -> tuple[str, list[Any]]:
        if not key:
            return "", []
        name, mark = self._quote(names[0]), self._mark
        if len(key) == 1:
            return f"{name} {sign}{'' if is_strict else '='} {mark}", [key[0]]
        inner, values = self._bound(names[1:], key[1:], sign, is_strict=is_strict)
        return f"{name} {sign}= {mark} AND ({name} {sign} {mark} OR ({inner}))", [key[0], key[0], *values]


class Sqlite(OpenDatabase):
    """SQLite: rows are made as they are asked for."""

    kind = "sqlite"
    _mark = "?"

    def _select(self, table: Table, statement: str, values: Sequence[Any]) -> Iterator[Row]:
        times = [place for place, column in enumerate(table.c) if is_time(column)]
        for row in self._raw.execute(statement, values):
            made = list(row)
            for place in times:
                made[place] = time_text(made[place])
            yield tuple(made)

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * len(table.c))
        self._raw.executemany(f"INSERT INTO {self._into(table)} VALUES ({marks})", rows)  # noqa: S608 - our names


class Postgresql(OpenDatabase):
    """PostgreSQL: COPY both ways."""

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
        """Take the tables for this transaction; whoever reads them waits."""
        with ours(None):
            self.connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
            self.connection.exec_driver_sql(
                f"LOCK TABLE {self._listed(t.name for t in TABLES)} IN ACCESS EXCLUSIVE MODE"
            )

    def clear(self, table: Table) -> None:
        """Take all rows away, at once whatever their number."""
        names = {table.name, *(one.name for one in TABLES if any(k.column.table is table for k in one.foreign_keys))}
        with ours(table):
            self.connection.exec_driver_sql(f"TRUNCATE {self._listed(sorted(names))}")

    def follow_numbers(self) -> None:
        """Set each sequence to the greatest number of its column."""
        for table in TABLES:
            column = table.autoincrement_column
            if column is None or not isinstance(column.type, Integer):
                continue
            newest = f"SELECT max({self._quote(column.name)}) FROM {self._quote(table.name)}"  # noqa: S608 - our names
            self.connection.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "
                f"coalesce(({newest}), 1), ({newest}) IS NOT NULL)"
            )


class Mysql(OpenDatabase):
    """MariaDB and MySQL: rows come one by one, and go in statements of a megabyte."""

    kind = "mysql"

    def _read(self, column: Any) -> str:  # noqa: ANN401 - a column
        name = self._quote(column.name)
        return f"CAST({name} AS CHAR)" if is_time(column) else name

    def _from(self, table: Table) -> str:
        name = self._quote(table.name)
        # Else it sorts the whole table before it gives the first row.
        return f"{name} FORCE INDEX (uq_session_history_version)" if table is session_history else name

    def _select(self, table: Table, statement: str, values: Sequence[Any]) -> Iterator[Row]:  # noqa: ARG002 - as in others
        with closing(SSCursor(self._raw)) as cursor:
            cursor.execute(statement, values)
            yield from cursor

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        marks = ", ".join(["%s"] * len(table.c))
        statement = f"INSERT INTO {self._into(table)} VALUES ({marks})"  # noqa: S608 - our names
        with self._raw.cursor() as cursor:
            for chunk in chunks(rows):
                cursor.executemany(statement, chunk)


_OF_A_START = {survey_revisions, erasures}

LOCK_WAIT_S = 30
"""Seconds that a restore waits for transactions of others to end."""

_FAILURES = (SQLAlchemyError, psycopg.Error, pymysql.err.Error, sqlite.driver().Error, UnicodeEncodeError)
_OF_THE_DATA = frozenset({"DataError", "IntegrityError", "UnicodeEncodeError", "OverflowError"})


@contextmanager
def ours(table: Table | None) -> Iterator[None]:
    """Let a driver's error be one of ours, which names the table and never a value.

    Raises:
        DatabaseRefused: it is the rows' fault.
        DatabaseUnavailable: it is not.
    """
    try:
        yield
    except StepkeepError:
        raise
    except _FAILURES as error:
        original = getattr(error, "orig", None) or error
        names = {kind.__name__ for kind in type(original).__mro__}
        where = f" with {table.name}" if table is not None else ""
        code = next(filter(None, (getattr(original, "sqlstate", None), *_numbers(original))), "")
        problem = f"{type(original).__name__}{f' {code}' if code else ''}{where}"
        raise (DatabaseRefused if not names.isdisjoint(_OF_THE_DATA) else DatabaseUnavailable)(problem) from error


def _numbers(error: object) -> Iterator[int]:
    return (one for one in chain(getattr(error, "args", ())) if isinstance(one, int))
