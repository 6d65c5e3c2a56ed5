"""A batch of turns on a driver's connection, and the connections that run it.

Core only compiles the statements: running them would take half of a turn's time.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import BindParameter, ColumnElement, Connection, Dialect, Engine, Executable, bindparam
from sqlalchemy.exc import DBAPIError

from ...survey import SessionKey
from ..encryption import PLAIN, Cipher
from ..retry import wants_new_connection
from ..rows import FoundSessions, Row, WrittenSessions
from ..tables import webhook_deliveries

T = TypeVar("T")

IDLE_S = 20.0
"""A connection idle for longer is pinged: a firewall may have closed it."""

FORK_WAIT_S = 5.0
"""Longest wait of a fork for the running transaction."""


class TurnStatements(Protocol):
    """Loads, locks and writes sessions on one connection. Errors are the driver's.

    Attributes:
        cipher: set by the connection's owner.
        outbox_callback: called after deliveries were committed.
    """

    cipher: Cipher
    outbox_callback: Callable[[], None]

    @staticmethod
    def to_time(at: int) -> object: ...

    def load(self, key: SessionKey) -> Row | None:
        """Return STATE_COLUMNS, unlocked."""
        ...

    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[FoundSessions, list[Row]]:
        """Begin a transaction; lock and read the sessions in key order.

        Returns:
            The existing sessions, and MESSAGE_COLUMNS of messages already in the history.
        """
        ...

    def commit(
        self,
        new: Sequence[Row],
        changed: Sequence[Row],
        events: Sequence[Row],
        states: WrittenSessions,
        webhook_events: Sequence[Row],
    ) -> None:
        """Write the rows (``rows.new_row``, ``changed_row``, ``event_row``) and commit.

        Args:
            states: for a cache; None for a long one, or one that a caller could modify.
            webhook_events: WEBHOOK_EVENT_COLUMNS.
        """
        ...


class WriterConnection:
    """The writer's connection: opened at first use, replaced when broken. Used by one thread at a time."""

    def __init__(
        self, engine: Engine, turn_statements: Callable[[Any], TurnStatements], cipher: Cipher = PLAIN
    ) -> None:
        self._engine = engine
        self._make_statements = turn_statements
        self._cipher = cipher
        self.outbox_callback: Callable[[], None] = lambda: None
        self._connection: Connection | None = None
        self._statements: TurnStatements | None = None
        self._used_at = 0.0
        self._in_use = threading.Lock()
        self._is_paused = False

    def transact(self, work: Callable[[TurnStatements], T]) -> T:
        """Run ``work``, which begins and commits on the driver; roll back after an error.

        Raises:
            DBAPIError: ``connection_invalidated`` if the connection is lost.
        """
        with self._in_use:
            return self._transact(work)

    def run(self, work: Callable[[Connection], T]) -> T:
        with self._in_use:
            return self._run(work)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection, self._statements = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def before_fork(self) -> None:
        """Wait for the running transaction: in the child, SQLite's locks would seem to be held for ever.

        At most FORK_WAIT_S: the transaction may wait for the caller.
        """
        self._is_paused = self._in_use.acquire(timeout=FORK_WAIT_S)

    def after_fork_in_parent(self) -> None:
        if self._is_paused:
            self._in_use.release()

    def after_fork_in_child(self) -> None:
        """Abandon the connection without closing it: the parent uses it."""
        if self._connection is not None:
            _PARENT_CONNECTIONS.append(self._connection)
        self._connection = self._statements = None
        self._in_use = threading.Lock()

    def _transact(self, work: Callable[[TurnStatements], T]) -> T:
        connection = self._open()
        # Statements cache what they read: invalid after an error or other work.
        statements, self._statements = self._statements, None
        try:
            statements = statements or self._make_statements(self._driver())
            statements.cipher = self._cipher
            statements.outbox_callback = self.outbox_callback
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
        return result

    def _run(self, work: Callable[[Connection], T]) -> T:
        connection = self._open()
        self._statements = None
        try:
            with connection.begin():
                return work(connection)
        except DBAPIError as error:
            if wants_new_connection(error):
                connection.invalidate()
                self.close()
            raise

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
        dialect = self._engine.dialect
        driver = self._driver()
        is_lost = dialect.is_disconnect(cast("Any", error), driver, None) or not self._roll_back()
        wrapped = wrap_driver_error(self._engine, error, is_lost=is_lost)
        if wants_new_connection(wrapped):
            connection.invalidate(error)
            self.close()
        return wrapped

    def _roll_back(self) -> bool:
        """End the transaction, which MySQL's 1205 leaves open; return whether that worked."""
        try:
            self._driver().rollback()
        except Exception:  # noqa: BLE001 - the connection is replaced
            return False
        return True


class SessionLoader:
    """Loads sessions on the reading connections. Safe from any thread."""

    def __init__(self, engine: Engine, turn_statements: Callable[[Any], TurnStatements]) -> None:
        self._engine = engine
        self._make_statements = turn_statements

    def load(self, key: SessionKey) -> Row | None:
        """Return STATE_COLUMNS.

        Raises:
            DBAPIError: as :meth:`WriterConnection.transact`.
            TimeoutError: SQLAlchemy's; no connection became free.
        """
        pooled = None
        try:
            pooled = self._engine.raw_connection()
            return self._make_statements(pooled.driver_connection).load(key)
        except self._engine.dialect.loaded_dbapi.Error as error:
            driver = pooled.driver_connection if pooled is not None else None
            wrapped = wrap_driver_error(
                self._engine, error, is_lost=self._engine.dialect.is_disconnect(error, driver, None)
            )
            if pooled is not None and wants_new_connection(wrapped):
                pooled.invalidate(error)
            raise wrapped from error
        finally:
            if pooled is not None:
                pooled.close()


def wrap_driver_error(engine: Engine, error: Exception, *, is_lost: bool) -> DBAPIError:
    """Return the driver's error as SQLAlchemy wraps it."""
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


_PARENT_CONNECTIONS: list[object] = []
"""Collecting one in a child would close the parent's."""


def abandon_after_fork(engine: Engine) -> None:
    """Give the engine a new pool in a child, without closing the parent's connections."""
    _PARENT_CONNECTIONS.append(engine.pool)
    engine.dispose(close=False)


def compile_positional(statement: Executable, dialect: Dialect, columns: Sequence[ColumnElement[Any]]) -> str:
    """Return the SQL of a statement made with :func:`placeholder`.

    Raises:
        TypeError: parameters are not in the order of ``columns``.
    """
    result = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # of every Executable that is a clause
    expected = [str(column.key) for column in columns]
    actual = [str(name).removeprefix("of_") for name in result.positiontup or ()]
    if actual != expected:
        raise TypeError(f"parameters are in the order {actual}, expected {expected}")
    return str(result)


def placeholder(column: ColumnElement[Any]) -> BindParameter[Any]:
    """Return a column's parameter for :func:`compile_positional`."""
    return bindparam(f"of_{column.key}")


WEBHOOK_EVENT_COLUMNS = tuple(
    webhook_deliveries.c[name] for name in ("event", "survey_id", "user_id", "version", "occurred_at")
)

OUTBOX_COLUMNS = ", ".join(["webhook_id", *(column.name for column in WEBHOOK_EVENT_COLUMNS), "next_attempt_at"])


def subscription_condition(survey_id: str, event: str) -> str:
    """Return the condition of webhooks subscribed to an event; the arguments are SQL expressions."""
    # LIKE is exact: no event's name is part of another.
    return (
        "webhooks.disabled_at IS NULL AND (webhooks.survey_id IS NULL OR "
        f"webhooks.survey_id = {survey_id}) AND webhooks.events LIKE {event}"
    )


def in_lock_order(keys: Iterable[SessionKey]) -> list[SessionKey]:
    """Return the keys in the order in which all writers lock; prevents deadlocks."""
    return sorted(keys, key=lambda key: (key.user_id, key.survey_id))
