"""An engine for a URL; every difference between the databases stands here."""

import logging
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from app.errors import ConfigurationError, SchemaMismatch, StoreInUse

log = logging.getLogger("stepkeep.store")

_ROOT = Path(__file__).resolve().parents[2]

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

BUSY_TIMEOUT_MS = 30_000
READERS = 8
READERS_OVERFLOW = 24

_UPGRADING = threading.Lock()  # alembic.command is not thread-safe


def normalise_url(url: str) -> URL:
    """Return the URL with the driver that we use.

    Raises:
        ConfigurationError: no URL, or a database that is not supported; without its password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "DATABASE_URL is no database URL: e.g. sqlite:///survey_sessions.db or postgresql://user@host/name"
        ) from None
    scheme = parsed.drivername
    if scheme.split("+")[0] == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigurationError("DATABASE_URL: SQLite needs a file, e.g. sqlite:///survey_sessions.db")
        return parsed.set(drivername="sqlite")
    driver = _DRIVERS.get(scheme, scheme if scheme in _DRIVERS.values() else None)
    if driver is None:
        raise ConfigurationError(f"DATABASE_URL: {scheme} is not supported; use sqlite, postgresql, mysql or mariadb")
    parsed = parsed.set(drivername=driver)
    return parsed.update_query_dict({"charset": "utf8mb4"}) if "pymysql" in driver else parsed


def writer_engine(url: URL) -> Engine:
    """Return the engine of the one connection that writes; any thread may use it in its turn."""
    if url.get_backend_name() == "sqlite":
        pragmas = (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "journal_size_limit=67108864",
        )
        return _sqlite_engine(url, pragmas, begin="BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
    return _server_engine(url, pool_size=1, max_overflow=0)


def reader_engine(url: URL) -> Engine:
    """Return the engine of the connections that read."""
    if url.get_backend_name() == "sqlite":
        # Only the writer checkpoints: the WAL-reset bug of older versions needs two that do.
        pragmas = ("query_only=ON", "wal_autocheckpoint=0")
        return _sqlite_engine(url, pragmas, begin="BEGIN", pool_size=READERS, max_overflow=READERS_OVERFLOW)
    return _server_engine(url, pool_size=READERS, max_overflow=READERS_OVERFLOW)


def sqlite_module() -> ModuleType:
    """Return the SQLite driver: pysqlite3 with its own newer SQLite, else the standard library's."""
    try:
        import pysqlite3  # noqa: PLC0415 - not on every platform
    except ImportError:
        import sqlite3  # noqa: PLC0415 - never two copies of SQLite in one process

        if sqlite3.sqlite_version_info < (3, 51, 3):
            log.warning(
                "SQLite %s has the WAL-reset bug (sqlite.org/wal.html#walresetbug); pysqlite3 would bring a newer",
                sqlite3.sqlite_version,
            )
        return sqlite3
    module: ModuleType = pysqlite3.dbapi2
    return module


def connect_or_explain(engine: Engine) -> None:
    """Return if the database can be opened.

    Raises:
        ConfigurationError: saying why not, in one line without the password.
    """
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        original = getattr(error, "orig", None) or error
        reason = " ".join(str(original).split())[:300]
        shown = engine.url.render_as_string(hide_password=True)
        raise ConfigurationError(f"the database {shown} can't be opened: {reason}") from error


def check_schema(engine: Engine) -> None:
    """Return if the database has the schema of this program.

    Raises:
        SchemaMismatch: saying which command to run.
    """
    needed = ScriptDirectory.from_config(_config()).get_current_head() or ""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != needed:
        raise SchemaMismatch(found, needed)


def upgrade_schema(url: URL) -> None:
    """Bring the database to the newest schema; the embedded default needs no command.

    Raises:
        ConfigurationError: it can't be opened or upgraded.
    """
    config = _config()
    config.attributes["url"] = url
    try:
        with _UPGRADING:
            command.upgrade(config, "head")
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())[:300]
        shown = url.render_as_string(hide_password=True)
        raise ConfigurationError(f"the database {shown} can't be opened: {reason}") from error


def database_facts(engine: Engine) -> dict[str, str]:
    """Return the database's kind and version, e.g. ``{"database": "sqlite", "version": "3.53.4"}``."""
    with engine.connect() as connection:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
    return {"database": engine.dialect.name, "version": version}


def server_lock(url: URL) -> FileLock | None:
    """Return the lock that the one server process of a SQLite file holds; None for a database server.

    Raises:
        StoreInUse: another process holds it.
    """
    if url.get_backend_name() != "sqlite":
        return None
    folder = Path(url.database or "").absolute().parent
    if not folder.is_dir():  # FileLock would make it
        raise ConfigurationError(f"the database {url.database} can't be opened: there is no folder {folder}")
    lock = FileLock(f"{url.database}.server-lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise StoreInUse(url.database or "") from None
    except OSError as error:
        raise ConfigurationError(f"{url.database}.server-lock can't be made: {error.strerror}") from error
    return lock


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_ROOT / "alembic").replace("%", "%%"))
    return config


def _sqlite_engine(url: URL, pragmas: tuple[str, ...], *, begin: str, **pool: int) -> Engine:
    engine = create_engine(
        url,
        module=sqlite_module(),
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
        pool_timeout=30,
        hide_parameters=True,  # they are answers, and errors end in logs
        **pool,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's connection
        # The driver's own BEGIN comes too late and is deferred: a read first, then SQLITE_BUSY at once.
        connection.isolation_level = None
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _server_engine(url: URL, **pool: int) -> Engine:
    options: dict[str, Any] = {
        "isolation_level": "READ COMMITTED",
        "pool_pre_ping": True,
        "hide_parameters": True,
        **pool,
    }
    if url.get_backend_name() == "postgresql":
        connect_args = {"connect_timeout": 5, "options": "-c timezone=UTC"}
    else:
        connect_args = {
            "connect_timeout": 5,
            "init_command": "SET time_zone='+00:00', sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
        }
        options["pool_recycle"] = 280  # below the shortest usual wait_timeout of 300 s
    return create_engine(url, connect_args=connect_args, pool_timeout=30, **options)
