"""A database opened for a backup: as one snapshot that writers don't disturb, or in one transaction that writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, event, make_url

from ...errors import SchemaMismatch
from ...store.drivers import mysql, postgresql, sqlite
from ...store.engine import connect_or_explain, migration_engine
from ...store.migrations import check_schema
from .bulk import Mysql, OpenDatabase, Postgresql, Sqlite, ours


@contextmanager
def snapshot(url: URL) -> Iterator[OpenDatabase]:
    """Give the database as it is now: what others commit meanwhile is not seen, and nobody waits.

    On SQLite what they write stays in the log (WAL) until the end, which grows by as much.

    Raises:
        ConfigurationError: it can't be opened.
    """
    engine = _snapshot_engine(url)
    try:
        connect_or_explain(engine)
        with engine.connect() as connection, ours(None):
            _begin(connection, url)
            try:
                yield _opened(connection)
            finally:
                connection.rollback()
    finally:
        engine.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[OpenDatabase]:
    """Give the database in one transaction, committed at the end; rolled back where it ends with an error."""
    with ours(None), engine.begin() as connection:
        yield _opened(connection)


@contextmanager
def writing(url: URL) -> Iterator[Engine]:
    """Give an engine for transactions that take as long as they do.

    Raises:
        ConfigurationError: the database can't be opened, or has another schema.
    """
    engine = migration_engine(url)
    try:
        connect_or_explain(engine)
        check_schema(engine)
        yield engine
    finally:
        engine.dispose()


def check_revision(found: str | None, needed: str) -> None:
    """Return if a backup has this program's schema.

    Raises:
        SchemaMismatch: it has not.
    """
    if found != needed:
        raise SchemaMismatch(found, needed)


def file_url(path: Path) -> URL:
    """Return the URL of a SQLite file."""
    return make_url("sqlite://").set(database=str(path))


def _snapshot_engine(url: URL) -> Engine:
    match url.get_backend_name():
        case "sqlite":
            return sqlite.reader_engine(url, 1, 0)
        case "postgresql":
            made = postgresql.engine(url, lock_timeout_s=0, isolation_level="REPEATABLE READ")
            event.listen(made, "begin", lambda connection: connection.exec_driver_sql("SET TRANSACTION READ ONLY"))
            return made
        case _:
            return mysql.engine(url, lock_timeout_s=0, isolation_level="REPEATABLE READ")


def _begin(connection: Connection, url: URL) -> None:
    match url.get_backend_name():
        case "sqlite":
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT 1 FROM sqlite_master").all()  # the first read makes the snapshot
        case "postgresql":
            connection.exec_driver_sql("SELECT 1")
        case _:
            connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def _opened(connection: Connection) -> OpenDatabase:
    match connection.dialect.name:
        case "sqlite":
            return Sqlite(connection)
        case "postgresql":
            return Postgresql(connection)
        case _:
            return Mysql(connection)
