"""Open a database for bulk work."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, event

from ...errors import SchemaMismatch
from ...store import check_schema, connect_or_explain, migration_engine
from ...store.drivers import mysql, postgresql, sqlite
from .bulk import BulkDatabase, Mysql, Postgresql, Sqlite, translate_errors


@contextmanager
def snapshot(url: URL) -> Iterator[BulkDatabase]:
    """Open a read-only snapshot that blocks no writer; SQLite's WAL grows meanwhile.

    Raises:
        ConfigurationError: it can't be opened.
    """
    engine = _snapshot_engine(url)
    try:
        connect_or_explain(engine)
        with engine.connect() as connection, translate_errors(None):
            _begin(connection, url)
            try:
                yield _opened(connection)
            finally:
                connection.rollback()
    finally:
        engine.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[BulkDatabase]:
    """Open a transaction, committed unless the block raises."""
    with translate_errors(None), engine.begin() as connection:
        yield _opened(connection)


@contextmanager
def write_engine(url: URL) -> Iterator[Engine]:
    """Open an engine without statement time limits.

    Raises:
        ConfigurationError: it can't be opened, or has another schema.
    """
    engine = migration_engine(url)
    try:
        connect_or_explain(engine)
        check_schema(engine)
        yield engine
    finally:
        engine.dispose()


def require_revision(revision: str | None, needed: str) -> None:
    """Raise SchemaMismatch unless the revisions are equal."""
    if revision != needed:
        raise SchemaMismatch(revision, needed)


def _snapshot_engine(url: URL) -> Engine:
    match url.get_backend_name():
        case "sqlite":
            return sqlite.reader_engine(url, 1, 0)
        case "postgresql":
            engine = postgresql.engine(url, lock_timeout_s=0, isolation_level="REPEATABLE READ")
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET TRANSACTION READ ONLY"))
            return engine
        case _:
            return mysql.engine(url, lock_timeout_s=0, isolation_level="REPEATABLE READ")


def _begin(connection: Connection, url: URL) -> None:
    match url.get_backend_name():
        case "sqlite":
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT 1 FROM sqlite_master").all()  # the snapshot begins with the first read
        case "postgresql":
            connection.exec_driver_sql("SELECT 1")
        case _:
            connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def _opened(connection: Connection) -> BulkDatabase:
    match connection.dialect.name:
        case "sqlite":
            return Sqlite(connection)
        case "postgresql":
            return Postgresql(connection)
        case _:
            return Mysql(connection)
