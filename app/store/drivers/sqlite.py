"""SQLite. One connection writes and checkpoints, the others only read."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from ...errors import DatabaseFileLost
from ...survey import SessionKey
from .. import rows
from ..retry import SQLITE_BUSY
from .sqlite_file import DatabaseFile, database_file_at
from .statements import Changes, CursorTurnStatements, insert_deliveries, insert_into, names

log = logging.getLogger("stepkeep.store")

BUSY_TIMEOUT_MS = 5_000  # longest wait of an attempt for another writing process
# SQLite's own handler sleeps up to 100 ms between attempts: during a purge, which releases the lock often but briefly,
# a turn would rarely get it.
POLL_MS = 4
MIGRATION_BUSY_TIMEOUT_MS = 30_000
CHECKPOINT_PAGES = 8000  # the default, 1,000, copies pages that the next turns change again
WRITER_CACHE_KIB = 64 * 1024  # the upper pages of all indexes of some million sessions
CACHED_SESSIONS = 10_000  # about 30 MB, at most 300 MB (batch.CACHEABLE_LENGTH)

_WRITER_PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",  # overwrites erased data
    "journal_size_limit=67108864",
    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    f"cache_size=-{WRITER_CACHE_KIB}",
)
_READER_PRAGMAS = (f"busy_timeout={BUSY_TIMEOUT_MS}", "query_only=ON", "wal_autocheckpoint=0")


def driver() -> ModuleType:
    """Return pysqlite3, whose SQLite is newer, else the standard library's."""
    try:
        import pysqlite3  # noqa: PLC0415 - not on every platform
    except ImportError:
        return sqlite3
    module: ModuleType = pysqlite3.dbapi2
    return module


class FileConnection(driver().Connection):  # type: ignore[misc]  # chosen at run time
    """A connection that refuses commits once its file has no name."""

    file: DatabaseFile | None = None

    def close(self) -> None:
        super().close()
        file, self.file = self.file, None
        if file is not None:
            file.after_close()

    def commit(self) -> None:
        super().commit()
        self._check()

    def check_if_lost(self) -> None:
        if self.file is not None and self.file.problem is not None:
            self._check()

    def _check(self) -> None:
        if self.file is None:
            return
        try:
            self.file.check()
        except DatabaseFileLost:
            if self.file.has_lost_only_its_log():  # copy what the deleted log holds into the database
                with suppress(driver().Error):
                    self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            raise


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Return whether this SQLite can corrupt a WAL database (sqlite.org/wal.html#walresetbug)."""
    is_fixed = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)
    return version >= (3, 7, 0) and not is_fixed


def writer_engine(url: URL, busy_timeout_ms: int = BUSY_TIMEOUT_MS, overflow: int = 0) -> Engine:
    version = driver().sqlite_version_info
    if has_wal_reset_bug(version):
        # Slower, but without the risk of corruption.
        log.warning(
            "SQLite %s has the WAL-reset bug and runs without WAL. Install pysqlite3 for a newer SQLite.", version
        )
        journal, poll_ms = "journal_mode=DELETE", busy_timeout_ms  # commits wait for readers
    else:
        journal, poll_ms = "journal_mode=WAL", POLL_MS
    pragmas = (f"busy_timeout={busy_timeout_ms}", journal, *_WRITER_PRAGMAS, f"busy_timeout={poll_ms}")
    engine = _engine(url, pragmas, is_writer=True, pool_size=1, max_overflow=overflow)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        raw.check_if_lost()
        begin_writing(connection.exec_driver_sql, busy_timeout_ms)

    return engine


def begin_writing(execute: Callable[[str], object], wait_ms: int = BUSY_TIMEOUT_MS) -> None:
    """Begin a writing transaction; raise the driver's or SQLAlchemy's OperationalError if it stays locked."""
    until = monotonic() + wait_ms / 1000
    while True:
        try:
            execute("BEGIN IMMEDIATE")
        except (driver().OperationalError, OperationalError) as error:
            if not str(getattr(error, "orig", error)).startswith(SQLITE_BUSY) or monotonic() >= until:
                raise
        else:
            return


def reader_engine(url: URL, readers: int, overflow: int) -> Engine:
    pool = {"pool_size": readers, "max_overflow": overflow, "pool_reset_on_return": None}
    return _engine(url, _READER_PRAGMAS, is_writer=False, **pool)


def database_file(engine: Engine) -> DatabaseFile | None:
    """Return the engine's SQLite file, if it has one."""
    return engine.get_execution_options().get("database_file")


def truncate_wal(connection: Connection) -> None:
    """Truncate the WAL, unless a reader uses it; end the writer's transaction, which must be empty."""
    raw: Any = connection.connection.driver_connection
    raw.rollback()  # no checkpoint within a transaction
    (busy_timeout,) = raw.execute("PRAGMA busy_timeout").fetchone()
    raw.execute("PRAGMA busy_timeout=0")
    try:
        with suppress(driver().Error):
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        raw.execute(f"PRAGMA busy_timeout={busy_timeout}")


_KNOWN = (
    f"SELECT {names(rows.MESSAGE_COLUMNS)} FROM session_history "  # noqa: S608 - names of columns
    "WHERE message_id = ? AND user_id = ? AND survey_id = ?"
)


class SqliteTurnStatements(CursorTurnStatements):
    """A batch of turns; BEGIN IMMEDIATE locks all sessions. What it wrote is cached until another connection writes."""

    mark = "?"
    load_sql = f"SELECT {names(rows.STATE_COLUMNS)} FROM sessions WHERE user_id = ? AND survey_id = ?"  # noqa: S608 - names of columns
    insert_sql = insert_into("sessions", rows.INSERT_COLUMNS, "?")
    update_sql = (
        f"UPDATE sessions SET {', '.join(f'{column.name} = ?' for column in rows.UPDATE_COLUMNS)} "  # noqa: S608 - our names
        "WHERE user_id = ? AND survey_id = ?"
    )
    append_sql = insert_into("session_history", rows.EVENT_COLUMNS, "?")
    deliveries_sql = insert_deliveries("?" * 6, survey_id="?", pattern="?")

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        super().__init__(connection)
        self._recent: dict[SessionKey, rows.WrittenSession] = {}
        self._data_version: object = None

    def database_identity(self) -> object:
        return getattr(self._connection, "file", None)  # of connections made elsewhere, the settings are unknown

    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[rows.FoundSessions, list[rows.Row]]:
        execute = self._cursor.execute
        self._connection.check_if_lost()
        if self.owns_transaction:
            begin_writing(execute)
        data_version = execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._recent.clear()
            self._data_version = data_version
            self.foreign_callback()
        # In-process, a statement for each costs no more than one for all.
        existing: dict[SessionKey, rows.Row | rows.WrittenSession] = {
            key: session for key in keys if (session := self._recent.get(key) or self.load(key)) is not None
        }
        known = [
            row
            for (survey, user), message_id in messages
            if (row := execute(_KNOWN, (message_id, user, survey)).fetchone()) is not None
        ]
        return existing, known

    def commit(self, changes: Changes) -> None:
        super().commit(changes)
        for key, session in changes.states.items():
            self._recent.pop(key, None)
            if session is not None:
                self._recent[key] = session
        while len(self._recent) > CACHED_SESSIONS:
            del self._recent[next(iter(self._recent))]


def _engine(url: URL, pragmas: tuple[str, ...], *, is_writer: bool, **pool: Any) -> Engine:  # noqa: ANN401 - create_engine's
    file = database_file_at(url.database or "")
    engine = create_engine(
        url,
        module=driver(),
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000, "factory": FileConnection},
        execution_options={"database_file": file},
        pool_timeout=30,
        hide_parameters=True,  # answers must not get into logs
        **pool,
    )

    event.listen(engine, "do_connect", lambda *_: file.before_open())
    event.listen(engine, "checkout", lambda *_: file.check())

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's connection
        connection.file = file
        file.after_open()
        # The driver's own BEGIN is late and deferred: SQLITE_BUSY after a read, whatever the timeout.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        if is_writer:
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()  # opens the write-ahead log
            file.remember_companions()

    return engine
