"""Engines for a URL."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from ..core.files import OWNER_ONLY
from ..core.formats import SCHEMA, validation_message
from ..core.installation import require
from ..errors import ConfigurationError, StoreInUse
from ..settings import Settings
from .drivers import TurnStatements, in_use_mark, mysql, postgresql, sqlite

_EXTRAS = {"psycopg": "postgresql", "pymysql": "mysql"}  # by driver, its extra
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

READERS = 8
READERS_OVERFLOW = 24


def database_url(settings: Settings) -> URL:
    """Return the settings' database URL."""
    return normalise_url(settings.database_url, settings.database_schema)


def migration_url(settings: Settings) -> URL:
    """Return the URL for migrations, of the same database."""
    url = database_url(settings)
    if settings.migration_url is None:
        return url
    migration = normalise_url(settings.migration_url, url.query.get("schema"), variable="STEPKEEP_MIGRATION_URL")
    names = [
        (part.get_backend_name().replace("mariadb", "mysql"), part.database, part.query.get("schema", "public"))
        for part in (url, migration)
    ]
    if names[0] != names[1]:
        raise ConfigurationError("STEPKEEP_MIGRATION_URL must name the same database as DATABASE_URL, and its schema")
    return migration


def normalise_url(url: str, schema: str | tuple[str, ...] | None = None, *, variable: str = "DATABASE_URL") -> URL:
    """Return the URL with driver and schema; raise ConfigurationError, without the password, if it is unsupported."""
    parsed = _parsed(url, variable)
    named = parsed.query.get("schema", schema)
    if named is None:
        return parsed
    if parsed.get_backend_name() != "postgresql":
        raise ConfigurationError(
            f"STEPKEEP_SCHEMA: only PostgreSQL has schemas within a database. Name another database in {variable}"
        )
    if not isinstance(named, str) or not re.fullmatch(SCHEMA, named) or named.startswith("pg_"):
        problem = validation_message({"type": "pattern", "ctx": {"pattern": SCHEMA}})
        raise ConfigurationError(f"the schema in STEPKEEP_SCHEMA or {variable} {problem}")
    return parsed.update_query_dict({"schema": named})


def _parsed(url: str, variable: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # e.g. a port that is not a number
        raise ConfigurationError(
            f"{variable} is not a database URL, e.g. sqlite:///survey_sessions.db or postgresql://user@host/name"
        ) from None
    scheme = parsed.drivername
    if scheme.split("+")[0] == "sqlite":
        if not parsed.database or parsed.database.startswith((":memory:", "file:")):
            raise ConfigurationError(f"{variable}: SQLite needs a file, e.g. sqlite:///survey_sessions.db")
        # One file has one name: it names the lock and the files next to it.
        return parsed.set(drivername="sqlite", database=os.path.realpath(parsed.database))
    driver = _DRIVERS.get(scheme, scheme if scheme in _DRIVERS.values() else None)
    if driver is None:
        raise ConfigurationError(f"{variable}: {scheme} is not supported; use sqlite, postgresql, mysql or mariadb")
    if "@" in (parsed.host or ""):
        raise ConfigurationError(f"{variable}: write @ : / in the user's name or password as %40 %3A %2F")
    if not parsed.database:
        raise ConfigurationError(f"{variable} names no database: e.g. {scheme}://user@host/name")
    library = driver.partition("+")[2]
    require(library, _EXTRAS[library], f"{variable}: {scheme}")
    parsed = parsed.set(drivername=driver)
    return parsed.update_query_dict({"charset": "utf8mb4"}) if "pymysql" in driver else parsed


class _Database(NamedTuple):
    writer: Callable[[URL], Engine]
    migration: Callable[[URL], Engine]
    reader: Callable[[URL], Engine]
    callers: Callable[[URL], Engine]
    statements: Callable[[Any], TurnStatements]


_READERS: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_size": READERS, "max_overflow": READERS_OVERFLOW}
_ONE: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}


def _server(engine: Callable[..., Engine], statements: type[TurnStatements], **writer: Any) -> _Database:  # noqa: ANN401 - the engine's
    return _Database(
        partial(engine, isolation_level="READ COMMITTED", **_ONE, **writer),
        partial(engine, lock_timeout_s=0, **_ONE),
        partial(engine, **_READERS),
        partial(engine, isolation_level="READ COMMITTED"),
        statements,
    )


_DATABASES = {
    "sqlite": _Database(
        sqlite.writer_engine,
        partial(sqlite.writer_engine, busy_timeout_ms=sqlite.MIGRATION_BUSY_TIMEOUT_MS),
        partial(sqlite.reader_engine, readers=READERS, overflow=READERS_OVERFLOW),
        partial(sqlite.writer_engine, overflow=READERS),
        sqlite.SqliteTurnStatements,
    ),
    "postgresql": _server(postgresql.engine, postgresql.PostgresqlTurnStatements, settings=postgresql.BY_KEY),
    "mysql": _server(mysql.engine, mysql.MysqlTurnStatements),
}
_DATABASES["mariadb"] = _DATABASES["mysql"]


def writer_engine(url: URL) -> Engine:
    """Return the engine of the one writing connection."""
    return _DATABASES[url.get_backend_name()].writer(url)


def migration_engine(url: URL) -> Engine:
    """Return an engine for migrations, without timeouts."""
    return _DATABASES[url.get_backend_name()].migration(url)


def reader_engine(url: URL) -> Engine:
    """Return an engine in autocommit."""
    return _DATABASES[url.get_backend_name()].reader(url)


def callers_engine(url: URL) -> Engine:
    """Return the engine of transactions that programs share with the store."""
    return _DATABASES[url.get_backend_name()].callers(url)


def turn_statements(url: URL) -> Callable[[Any], TurnStatements]:
    """Return the database's class of statements."""
    return _DATABASES[url.get_backend_name()].statements


def database_facts(engine: Engine) -> dict[str, str]:
    """Return e.g. ``{"database": "sqlite", "version": "3.53.4"}``."""
    with engine.connect() as connection:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
    is_mariadb = getattr(engine.dialect, "is_mariadb", False)
    return {"database": "mariadb" if is_mariadb else engine.dialect.name, "version": version}


def server_lock(url: URL, *, is_shared: bool = False) -> FileLock | None:
    """Acquire the lock that keeps a SQLite file to one server process, or raise StoreInUse; None for other databases.

    With ``is_shared``, several of this process hold it, until each has released it.
    """
    if url.get_backend_name() != "sqlite":
        return None
    folder = Path(url.database or "").parent
    if not folder.is_dir():  # FileLock would create it
        raise ConfigurationError(f"the database {url.database} can't be opened: folder {folder} does not exist")
    lock = FileLock(f"{url.database}.server-lock", mode=OWNER_ONLY, thread_local=False, is_singleton=is_shared)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise StoreInUse(url.database or "") from None
    except OSError as error:
        raise ConfigurationError(f"{url.database}.server-lock can't be created: {error.strerror}") from error
    return lock


def mark_in_use(url: URL) -> None:
    """Let no process create the SQLite file again until :func:`unmark_in_use`."""
    if url.get_backend_name() == "sqlite":
        in_use_mark(url.database or "").touch(OWNER_ONLY)


def unmark_in_use(url: URL) -> None:
    """Undo :func:`mark_in_use` at a clean stop, if the file is in its place."""
    if url.get_backend_name() == "sqlite" and Path(url.database or "").exists():
        in_use_mark(url.database or "").unlink(missing_ok=True)
