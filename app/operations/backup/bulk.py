"""Bulk reads and writes of whole tables, in constant memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Select, String, Table, func, select, type_coerce
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ...errors import DatabaseRefused, DatabaseUnavailable
from ...store import (
    Action,
    check_schema,
    connect_or_explain,
    error_summary,
    is_data_error,
    keyset,
    migration_engine,
    tables,
)
from ...store.drivers import mysql, postgresql, sqlite
from .row_format import TABLES, ChecksummedRows, Digest, Row, chunks, column_names, key_columns, kind_of, portable_time

BUFFERED_ROWS = 100  # a row can have several MiB


class BulkDatabase:
    """A database, SQLite unless by a subclass, in a transaction that the caller ends; see :func:`translate_errors`."""

    _placeholder = "?"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def count(self, table: Table) -> int:
        return self.connection.execute(select(func.count()).select_from(table)).scalar_one()

    def count_all(self) -> int:
        return sum(map(self.count, TABLES))

    def occupied(self) -> list[str]:
        occupied = [table.name for table in TABLES if table not in _FILLED_AT_START and self.last_key(table)]
        column = tables.audit_log.c
        entries = select(column.id).where(column.action.not_in(_READS)).limit(1)
        return [*occupied, tables.audit_log.name] if self.connection.execute(entries).first() else occupied

    def last_key(self, table: Table) -> Row:
        key = key_columns(table)
        return tuple(self.connection.execute(select(*key).order_by(*(c.desc() for c in key)).limit(1)).first() or ())

    def rows(self, table: Table, after: Row = ()) -> Iterator[Row]:
        """Yield rows in key order; only one such iteration may be open."""
        key = key_columns(table)
        times = [place for place, column in enumerate(table.c) if isinstance(column.type, tables.Instant)]
        columns = (self._time_text(column) if place in times else column for place, column in enumerate(table.c))
        query = select(*columns).where(keyset.after(key, after)).order_by(*key)
        with translate_errors(table):
            for values in self._select(table, query):
                row = list(values)
                for place in times:
                    row[place] = portable_time(row[place])
                yield tuple(row)

    def checksum(self, table: Table, on_row: Callable[[], None]) -> Digest:
        rows = ChecksummedRows(table, on_row)
        for _ in rows.encode(self.rows(table)):
            pass
        return rows.digest

    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        with translate_errors(table):
            self._insert(table, rows)

    def clear(self, table: Table) -> None:
        self.connection.execute(table.delete())

    def lock(self) -> None:
        """Block other writers until the transaction ends, as SQLite's transaction does, and MySQL's deletions do."""

    def reset_sequences(self) -> None:
        """Continue automatic ids after the inserted ones, unless the database does."""

    def _time_text(self, column: Column[Any]) -> ColumnElement[str]:
        return type_coerce(column, String)  # as stored, even if edited by hand

    def _select(self, _table: Table, query: Select[Any]) -> Iterator[Sequence[Any]]:
        options = {"stream_results": True, "max_row_buffer": BUFFERED_ROWS}
        with self.connection.execute(query, execution_options=options) as result:
            yield from result

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        placeholders = ", ".join([self._placeholder] * len(table.c))
        statement = f"INSERT INTO {_into(table)} VALUES ({placeholders})"  # noqa: S608 - our names
        for chunk in chunks(rows):
            self.connection.exec_driver_sql(statement, chunk)


class Mysql(BulkDatabase):
    """MariaDB and MySQL."""

    _placeholder = "%s"

    def _time_text(self, column: Column[Any]) -> ColumnElement[str]:
        return column.cast(String)

    def _select(self, table: Table, query: Select[Any]) -> Iterator[Sequence[Any]]:
        if table is tables.session_history:  # otherwise the server first sorts the whole table
            query = query.with_hint(table, "FORCE INDEX (uq_session_history_version)")
        return super()._select(table, query)


class Postgresql(BulkDatabase):
    """PostgreSQL: COPY in both directions."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._raw: Any = connection.connection.driver_connection

    def lock(self) -> None:
        self.connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
        names = ", ".join(table.name for table in TABLES)
        self.connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")

    def clear(self, table: Table) -> None:
        self.connection.exec_driver_sql(f"TRUNCATE {table.name} CASCADE")

    def reset_sequences(self) -> None:
        for column in (table.autoincrement_column for table in TABLES):
            if column is None:
                continue
            newest = select(func.max(column)).scalar_subquery()
            sequence = func.pg_get_serial_sequence(column.table.name, column.name)
            self.connection.execute(select(func.setval(sequence, func.coalesce(newest, 1), newest.is_not(None))))

    def _select(self, table: Table, query: Select[Any]) -> Iterator[Sequence[Any]]:
        compiled = query.compile(dialect=self.connection.dialect, compile_kwargs={"render_postcompile": True})
        with self._copy(f"COPY ({compiled}) TO STDOUT", compiled.params or None) as copy:
            copy.set_types([_COPY_TYPES[kind_of(column)] for column in table.c])
            yield from copy.rows()

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        with self._copy(f"COPY {_into(table)} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    @contextmanager
    def _copy(self, statement: str, parameters: object = None) -> Iterator[Any]:
        try:
            with self._raw.cursor() as cursor, cursor.copy(statement, parameters) as copy:
                yield copy
        except self.connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(None, None, error) from error


_COPY_TYPES = {bool: "bool", int: "int8", str: "text"}


def _into(table: Table) -> str:
    return f"{table.name} ({', '.join(column_names(table))})"


_FILLED_AT_START = {tables.survey_revisions, tables.erasures, tables.audit_log, tables.audit_head}

_READS: tuple[Action, ...] = (
    "session_read",
    "sessions_listed",
    "history_read",
    "participant_exported",
    "audit_read",
    "analytics_read",
    "survey_exported",
    "backup_created",
    "webhooks_read",
)
"""Where there is nothing else, they read nothing."""

LOCK_WAIT_S = 30


@contextmanager
def translate_errors(table: Table | None = None) -> Iterator[None]:
    """Raise DatabaseRefused if the data caused an error, else DatabaseUnavailable; messages contain no values."""
    try:
        yield
    except SQLAlchemyError as error:
        kind = DatabaseRefused if is_data_error(error) else DatabaseUnavailable
        where = "" if table is None else f" with {table.name}"
        raise kind(f"{error_summary(error)}{where}") from error


_DATABASES = {"sqlite": BulkDatabase, "postgresql": Postgresql, "mysql": Mysql, "mariadb": Mysql}

_BEGIN_SNAPSHOT = {
    BulkDatabase: ("BEGIN", "SELECT 1 FROM sqlite_master"),  # the snapshot begins with the first read
    Postgresql: ("SET TRANSACTION READ ONLY", "SELECT 1"),
    Mysql: ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",),
}


@contextmanager
def snapshot(url: URL) -> Iterator[BulkDatabase]:
    """Open a read-only snapshot that blocks no writer."""
    kind = url.get_backend_name()
    if kind == "sqlite":
        engine = sqlite.reader_engine(url, 1, 0)
    else:
        server = postgresql if kind == "postgresql" else mysql
        engine = server.engine(url, lock_timeout_s=0, isolation_level="REPEATABLE READ")
    try:
        connect_or_explain(engine)
        with engine.connect() as connection, translate_errors():
            database = _DATABASES[connection.dialect.name](connection)
            for statement in _BEGIN_SNAPSHOT[type(database)]:
                connection.exec_driver_sql(statement).close()
            try:
                yield database
            finally:
                connection.rollback()
    finally:
        engine.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[BulkDatabase]:
    with translate_errors(), engine.begin() as connection:
        yield _DATABASES[connection.dialect.name](connection)


@contextmanager
def write_engine(url: URL) -> Iterator[Engine]:
    engine = migration_engine(url)
    try:
        connect_or_explain(engine)
        check_schema(engine)
        yield engine
    finally:
        engine.dispose()
