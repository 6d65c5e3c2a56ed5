"""Open a database for bulk work."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine

from ...store import check_schema, connect_or_explain, migration_engine
from ...store.drivers import mysql, postgresql, sqlite
from .bulk import BulkDatabase, Mysql, Postgresql, translate_errors

_CLASSES = {"sqlite": BulkDatabase, "postgresql": Postgresql, "mysql": Mysql, "mariadb": Mysql}

_BEGIN_SNAPSHOT = {
    "sqlite": ("BEGIN", "SELECT 1 FROM sqlite_master"),  # the snapshot begins with the first read
    "postgresql": ("SET TRANSACTION READ ONLY", "SELECT 1"),
}
_BEGIN_MYSQL_SNAPSHOT = ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",)


@contextmanager
def snapshot(url: URL) -> Iterator[BulkDatabase]:
    """Open a read-only snapshot that blocks no writer; SQLite's WAL grows meanwhile.

    Raises:
        ConfigurationError: it can't be opened.
    """
    kind = url.get_backend_name()
    if kind == "sqlite":
        engine = sqlite.reader_engine(url, 1, 0)
    else:
        server = postgresql if kind == "postgresql" else mysql
        engine = server.engine(url, lock_timeout_s=0, isolation_level="REPEATABLE READ")
    try:
        connect_or_explain(engine)
        with engine.connect() as connection, translate_errors():
            for statement in _BEGIN_SNAPSHOT.get(kind, _BEGIN_MYSQL_SNAPSHOT):
                connection.exec_driver_sql(statement).close()
            try:
                yield _opened(connection)
            finally:
                connection.rollback()
    finally:
        engine.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[BulkDatabase]:
    """Open a transaction, committed unless the block raises."""
    with translate_errors(), engine.begin() as connection:
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


def _opened(connection: Connection) -> BulkDatabase:
    return _CLASSES[connection.dialect.name](connection)
