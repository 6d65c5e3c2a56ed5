"""The connections that run batches of turns."""

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ...survey import SessionKey
from ..encryption import PLAIN, Cipher
from ..retry import wants_new_connection
from ..rows import Row
from .statements import TurnStatements

T = TypeVar("T")

IDLE_S = 20.0  # a connection idle for longer is pinged: a firewall may have closed it
FORK_WAIT_S = 5.0  # longest wait of a fork for the running transaction, which may wait for the caller
REVISION = "SELECT version_num FROM alembic_version"
# Gets a function that reads the rows of REVISION; raises OtherRelease.
CheckSchema = Callable[[Callable[[], Any]], None]


class WriterConnection:
    """The writer's connection: opened at first use, replaced when broken. Used by one thread at a time."""

    def __init__(
        self,
        engine: Engine,
        turn_statements: Callable[[Any], TurnStatements],
        cipher: Cipher = PLAIN,
        check_schema: CheckSchema = lambda _read: None,
    ) -> None:
        self._engine = engine
        self._make_statements = turn_statements
        self._cipher = cipher
        self._check_schema = check_schema
        self.outbox_callback: Callable[[], None] = lambda: None
        self.commits = 0  # of this connection
        self.foreign_writes = 0  # how often another connection may have written before; SQLite only
        self._connection: Connection | None = None
        self._statements: TurnStatements | None = None
        self._used_at = 0.0
        self._in_use = threading.Lock()
        self._is_paused = False

    def transact(self, work: Callable[[TurnStatements], T]) -> T:
        """Run ``work``, which begins and commits on the driver; raise DBAPIError for the driver's errors."""
        with self._in_use:
            connection = self._open()
            # Statements cache what they read: invalid after an error or other work.
            statements, self._statements = self._statements, None
            try:
                statements = statements or self._make_statements(self._driver())
                statements.cipher = self._cipher
                statements.outbox_callback = self.outbox_callback
                statements.foreign_callback = self._count_foreign_write
                self._check_schema(lambda: read_revision(self._driver()))
                result = work(statements)
            except self._engine.dialect.loaded_dbapi.Error as error:
                raise self._wrap(connection, error) from error
            except BaseException:
                if not self._roll_back():  # interrupted within a statement
                    connection.invalidate()
                    self.close()
                raise
            self._statements = statements
            self._used_at = monotonic()
            self.commits += 1
            return result

    def run(self, work: Callable[[Connection], T]) -> T:
        with self._in_use:
            connection = self._open()
            self._statements = None
            try:
                with connection.begin():
                    self._check_schema(lambda: connection.exec_driver_sql(REVISION).all())
                    result = work(connection)
            except DBAPIError as error:
                if wants_new_connection(error):
                    connection.invalidate()
                    self.close()
                raise
            self.commits += 1
            return result

    def _count_foreign_write(self) -> None:
        self.foreign_writes += 1

    def close(self) -> None:
        connection, self._connection, self._statements = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def before_fork(self) -> None:
        """Wait for the running transaction: a child would see SQLite's locks held for ever."""
        self._is_paused = self._in_use.acquire(timeout=FORK_WAIT_S)

    def after_fork_in_parent(self) -> None:
        if self._is_paused:
            self._in_use.release()

    def _open(self) -> Connection:
        if self._connection is not None and monotonic() - self._used_at > IDLE_S and not self._is_alive():
            self._connection.invalidate()
            self.close()
        if self._connection is None:
            self._connection = self._engine.connect()
            self._used_at = monotonic()
        return self._connection

    def _is_alive(self) -> bool:
        try:
            return bool(self._engine.dialect.do_ping(self._driver()))
        except self._engine.dialect.loaded_dbapi.Error:
            return False

    def _driver(self) -> Any:  # noqa: ANN401 - a driver's connection
        assert self._connection is not None  # noqa: S101 - opened by every caller
        return self._connection.connection.driver_connection

    def _wrap(self, connection: Connection, error: Exception) -> DBAPIError:
        is_lost = self._engine.dialect.is_disconnect(cast("Any", error), self._driver(), None) or not self._roll_back()
        wrapped = wrap_driver_error(self._engine, error, is_lost=is_lost)
        if wants_new_connection(wrapped):
            connection.invalidate(error)
            self.close()
        return wrapped

    def _roll_back(self) -> bool:
        """End the transaction, which MySQL's 1205 leaves open."""
        try:
            self._driver().rollback()
        except Exception:  # noqa: BLE001 - the connection is replaced
            return False
        return True


class SessionLoader:
    """Loads sessions on the reading connections. Safe from any thread."""

    def __init__(
        self, engine: Engine, turn_statements: Callable[[Any], TurnStatements], check_schema: CheckSchema
    ) -> None:
        self._engine = engine
        self._make_statements = turn_statements
        self._check_schema = check_schema

    def load(self, key: SessionKey) -> Row | None:
        """Return STATE_COLUMNS; raises DBAPIError, or TimeoutError of the pool."""
        dialect, pooled = self._engine.dialect, None
        try:
            pooled = self._engine.raw_connection()
            connection = pooled.driver_connection
            self._check_schema(lambda: read_revision(connection))
            return self._make_statements(connection).load(key)
        except dialect.loaded_dbapi.Error as error:
            driver = None if pooled is None else pooled.driver_connection
            wrapped = wrap_driver_error(self._engine, error, is_lost=dialect.is_disconnect(error, driver, None))
            if pooled is not None and wants_new_connection(wrapped):
                pooled.invalidate(error)
            raise wrapped from error
        finally:
            if pooled is not None:
                pooled.close()


def read_revision(connection: Any) -> Any:  # noqa: ANN401 - a driver's connection, and its rows
    cursor = connection.cursor()
    cursor.execute(REVISION)
    return cursor.fetchall()


def wrap_driver_error(engine: Engine, error: Exception, *, is_lost: bool) -> DBAPIError:
    wrapped = DBAPIError.instance(
        None,
        None,
        error,
        engine.dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=engine.dialect,
    )
    return cast("DBAPIError", wrapped)  # for every error of the driver
