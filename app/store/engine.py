"""Engines for a URL."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from ..core.files import OWNER_ONLY
from ..errors import ConfigurationError, StoreInUse
from .drivers import TurnStatements, in_use_mark, mysql, postgresql, sqlite

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

READERS = 8
READERS_OVERFLOW = 24


def normalise_url(url: str) -> URL:
    """Return the URL with the supported driver; a SQLite file's path without symbolic links.

    Raises:
        ConfigurationError: no URL, or an unsupported database; without the password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # e.g. a port that is not a number
        raise ConfigurationError(
            "DATABASE_URL is not a database URL, e.g. sqlite:///survey_sessions.db or postgresql://user@host/name"
        ) from None
    scheme = parsed.drivername
    if scheme.split("+")[0] == "sqlite":
        if not parsed.database or parsed.database.startswith((":memory:", "file:")):
            raise ConfigurationError("DATABASE_URL: SQLite needs a file, e.g. sqlite:///survey_sessions.db")
        # One file has one name: it names the lock and the files next to it.
        return parsed.set(drivername="sqlite", database=os.path.realpath(parsed.database))
    driver = _DRIVERS.get(scheme, scheme if scheme in _DRIVERS.values() else None)
    if driver is None:
        raise ConfigurationError(f"DATABASE_URL: {scheme} is not supported; use sqlite, postgresql, mysql or mariadb")
    if "@" in (parsed.host or ""):
        raise ConfigurationError("DATABASE_URL: write @ : / in the user's name or password as %40 %3A %2F")
    if not parsed.database:
        raise ConfigurationError(f"DATABASE_URL names no database: e.g. {scheme}://user@host/name")
    parsed = parsed.set(drivername=driver)
    return parsed.update_query_dict({"charset": "utf8mb4"}) if "pymysql" in driver else parsed


class _Database(NamedTuple):
    """Makers of a database's engines and statements."""

    writer: Callable[[URL], Engine]
    migration: Callable[[URL], Engine]
    reader: Callable[[URL], Engine]
    statements: Callable[[Any], TurnStatements]


_READERS: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_size": READERS, "max_overflow": READERS_OVERFLOW}
_ONE: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
_DATABASES = {
    "sqlite": _Database(
        sqlite.writer_engine,
        partial(sqlite.writer_engine, busy_timeout_ms=sqlite.MIGRATION_BUSY_TIMEOUT_MS),
        partial(sqlite.reader_engine, readers=READERS, overflow=READERS_OVERFLOW),
        sqlite.SqliteTurnStatements,
    ),
    "postgresql": _Database(
        partial(postgresql.engine, settings=postgresql.BY_KEY, isolation_level="READ COMMITTED", **_ONE),
        partial(postgresql.engine, lock_timeout_s=0, **_ONE),
        partial(postgresql.engine, **_READERS),
        postgresql.PostgresqlTurnStatements,
    ),
    "mysql": _Database(
        partial(mysql.engine, isolation_level="READ COMMITTED", **_ONE),
        partial(mysql.engine, lock_timeout_s=0, **_ONE),
        partial(mysql.engine, **_READERS),
        mysql.MysqlTurnStatements,
    ),
}
_DATABASES["mariadb"] = _DATABASES["mysql"]


def writer_engine(url: URL) -> Engine:
    """Return the engine of the one writing connection, used by one thread at a time."""
    return _DATABASES[url.get_backend_name()].writer(url)


def migration_engine(url: URL) -> Engine:
    """Return a migration's engine, without timeouts."""
    return _DATABASES[url.get_backend_name()].migration(url)


def reader_engine(url: URL) -> Engine:
    """Return the readers' engine, in autocommit."""
    return _DATABASES[url.get_backend_name()].reader(url)


def turn_statements(url: URL) -> Callable[[Any], TurnStatements]:
    """Return this database's class of statements."""
    return _DATABASES[url.get_backend_name()].statements


def database_facts(engine: Engine) -> dict[str, str]:
    """Return e.g. ``{"database": "sqlite", "version": "3.53.4"}``."""
    with engine.connect() as connection:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
    is_mariadb = getattr(engine.dialect, "is_mariadb", False)
    return {"database": "mariadb" if is_mariadb else engine.dialect.name, "version": version}


def server_lock(url: URL) -> FileLock | None:
    """Acquire the lock that keeps a SQLite file to one server process; None for other databases.

    Raises:
        StoreInUse: another process has the lock.
    """
    if url.get_backend_name() != "sqlite":
        return None
    folder = Path(url.database or "").parent
    if not folder.is_dir():  # FileLock would create it
        raise ConfigurationError(f"the database {url.database} can't be opened: folder {folder} does not exist")
    lock = FileLock(f"{url.database}.server-lock", mode=OWNER_ONLY)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise StoreInUse(url.database or "") from None
    except OSError as error:
        raise ConfigurationError(f"{url.database}.server-lock can't be created: {error.strerror}") from error
    return lock


def mark_in_use(url: URL) -> None:
    """Let no process create the SQLite file again until :func:`unmark_in_use`, whatever happens to this one."""
    if url.get_backend_name() == "sqlite":
        in_use_mark(url.database or "").touch(OWNER_ONLY)


def unmark_in_use(url: URL) -> None:
    """Undo :func:`mark_in_use` at a clean stop, if the file is in its place."""
    if url.get_backend_name() == "sqlite" and Path(url.database or "").exists():
        in_use_mark(url.database or "").unlink(missing_ok=True)
