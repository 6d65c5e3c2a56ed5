"""The statements of a batch of turns, on the driver itself: one implementation a kind of database.

SQLAlchemy's Core builds and compiles them once; running them through it for each batch would take half of
the time of a turn. What is done rarely (lists, erasure, setting aside) goes through Core as usual, in
``history.py``. Used by ``writer.py`` and, to load a session, by the service.
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
"""Seconds without use after which the writer's connection is tried before it is trusted: a firewall or the
server may have ended it, and an answer should not wait for a retry because of that."""


FORK_WAIT_S = 5.0
"""Seconds that a fork waits for the transaction that is under way."""


class TurnStatements(Protocol):
    """One connection's way to sessions and their history. Errors are the driver's own.

    Attributes:
        sealing: seals and opens the answers in the rows that go through here; what holds the connection sets it.
        on_outbox: called when something for webhooks was committed; set as that.
    """

    cipher: Cipher
    outbox_callback: Callable[[], None]

    @staticmethod
    def to_time(at: int) -> object:
        """Return microseconds since 1970 UTC as the driver writes them into a column of times."""
        ...

    def load(self, key: SessionKey) -> Row | None:
        """Return the session's STATE_COLUMNS, unlocked; None where there is none."""
        ...

    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[FoundSessions, list[Row]]:
        """Begin a transaction, lock the sessions in the order of their keys, and read.

        Returns:
            The sessions that there are, as they lie in their rows or as they are remembered, and KNOWN_COLUMNS of
            the messages that their sessions have in their history.
        """
        ...

    def commit(
        self,
        new: Sequence[Row],
        changed: Sequence[Row],
        events: Sequence[Row],
        states: WrittenSessions,
        news: Sequence[Row],
    ) -> None:
        """Write the rows (``rows.new_row``, ``changed_row``, ``event_row``) and commit.

        Args:
            news: what webhooks are told (NEWS_COLUMNS); each goes into the outbox once for each that wants it.
            states: the sessions as they are from now on, for a gateway that need not read them again; None
                where somebody else holds a part of one and could change it, or it is long.
        """
        ...


class WriterConnection:
    """The writer's one connection: opened at first use, replaced when it broke, tried when it was idle.

    Not safe from two threads at once: the writer's leader uses it in his turn.
    """

    def __init__(
        self, engine: Engine, turn_statements: Callable[[Any], TurnStatements], cipher: Cipher = PLAIN
    ) -> None:
        self._engine = engine
        self._gateway_of = turn_statements
        self._sealing = cipher
        self.outbox_callback: Callable[[], None] = _nobody_waits
        self._connection: Connection | None = None
        self._gateway: TurnStatements | None = None
        self._used_at = 0.0
        self._in_use = threading.Lock()
        self._is_quiet = False

    def transact(self, work: Callable[[TurnStatements], T]) -> T:
        """Return what ``work`` returns; it begins and commits on the driver. Whatever fails is rolled back.

        Raises:
            DBAPIError: the driver's error in SQLAlchemy's form, ``connection_invalidated`` if the connection is lost.
        """
        with self._in_use:
            return self._transacted(work)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, done through SQLAlchemy in a transaction of its own."""
        with self._in_use:
            return self._ran(work)

    def close(self) -> None:
        """Give the connection back, if there is one; the next use opens another."""
        connection, self._connection, self._gateway = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def before_fork(self) -> None:
        """Let the running transaction end: SQLite's locks would seem held for ever in the child.

        After FORK_WAIT_S it is not waited for any longer; the caller may be what the transaction waits for.
        """
        self._is_quiet = self._in_use.acquire(timeout=FORK_WAIT_S)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._is_quiet:
            self._in_use.release()

    def after_fork_in_child(self) -> None:
        """Forget the connection without closing it: the parent goes on using it."""
        if self._connection is not None:
            _OF_THE_PARENT.append(self._connection)
        self._connection = self._gateway = None
        self._in_use = threading.Lock()

    def _transacted(self, work: Callable[[TurnStatements], T]) -> T:
        connection = self._opened()
        # A gateway may remember what it read: one that failed, and one beside whose back something was
        # done on its connection, is made anew.
        gateway, self._gateway = self._gateway, None
        try:
            gateway = gateway or self._gateway_of(self._driver())
            gateway.cipher = self._sealing
            gateway.outbox_callback = self.outbox_callback
            result = work(gateway)
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise self._explained(connection, error) from error
        except BaseException:
            if not self._roll_back():  # interrupted in the middle of a statement
                connection.invalidate()
                self.close()
            raise
        self._gateway = gateway
        self._used_at = monotonic()
        return result

    def _ran(self, work: Callable[[Connection], T]) -> T:
        connection = self._opened()
        self._gateway = None
        try:
            with connection.begin():
                return work(connection)
        except DBAPIError as error:
            if wants_new_connection(error):
                connection.invalidate()
                self.close()
            raise

    def _opened(self) -> Connection:
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

    def _explained(self, connection: Connection, error: Exception) -> DBAPIError:
        dialect = self._engine.dialect
        driver = self._driver()
        is_lost = dialect.is_disconnect(cast("Any", error), driver, None) or not self._roll_back()
        explained = wrap_driver_error(self._engine, error, is_lost=is_lost)
        if wants_new_connection(explained):
            connection.invalidate(error)
            self.close()
        return explained

    def _roll_back(self) -> bool:
        """End the transaction (MySQL's 1205 leaves it open); return whether the connection can go on."""
        try:
            self._driver().rollback()
        except Exception:  # noqa: BLE001 - whatever it is: the connection is replaced
            return False
        return True


class SessionLoader:
    """Loads sessions over the connections that read. Safe from any thread."""

    def __init__(self, engine: Engine, turn_statements: Callable[[Any], TurnStatements]) -> None:
        self._engine = engine
        self._gateway_of = turn_statements

    def load(self, key: SessionKey) -> Row | None:
        """Return the session's STATE_COLUMNS; None where there is none.

        Raises:
            DBAPIError: as :meth:`WriterConnection.transact`.
            TimeoutError: SQLAlchemy's; all connections were in use for too long.
        """
        pooled = None
        try:
            pooled = self._engine.raw_connection()
            return self._gateway_of(pooled.driver_connection).load(key)
        except self._engine.dialect.loaded_dbapi.Error as error:
            driver = pooled.driver_connection if pooled is not None else None
            explained = wrap_driver_error(
                self._engine, error, is_lost=self._engine.dialect.is_disconnect(error, driver, None)
            )
            if pooled is not None and wants_new_connection(explained):
                pooled.invalidate(error)
            raise explained from error
        finally:
            if pooled is not None:
                pooled.close()


def wrap_driver_error(engine: Engine, error: Exception, *, is_lost: bool) -> DBAPIError:
    """Return the driver's error in the form that SQLAlchemy gives those that pass through it."""
    explained = DBAPIError.instance(
        None,
        None,
        error,
        engine.dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=engine.dialect,
    )
    return cast("DBAPIError", explained)  # it is one for every error of the driver


_OF_THE_PARENT: list[object] = []
"""Kept for the life of a forked child: collecting one would end it for the parent too."""


def abandon_after_fork(engine: Engine) -> None:
    """Give the engine new connections in a forked child, and keep the old ones as they are."""
    _OF_THE_PARENT.append(engine.pool)
    engine.dispose(close=False)


def compile_positional(statement: Executable, dialect: Dialect, columns: Sequence[ColumnElement[Any]]) -> str:
    """Return the SQL of a statement whose bound values are named by their columns, e.g. ``answers``.

    Raises:
        TypeError: the values don't come in the order of ``columns``.
    """
    result = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # of every Executable that is a clause
    wanted = [str(column.key) for column in columns]
    found = [str(name).removeprefix("of_") for name in result.positiontup or ()]
    if found != wanted:
        raise TypeError(f"the values come as {found}, not as {wanted}")
    return str(result)


def placeholder(column: ColumnElement[Any]) -> BindParameter[Any]:
    """Return the place of a column's value in a statement for :func:`compiled`."""
    return bindparam(f"of_{column.key}")


def _nobody_waits() -> None:
    """Do nothing: where nobody delivers, what lies in the outbox waits for who will."""


WEBHOOK_EVENT_COLUMNS = tuple(
    webhook_deliveries.c[name] for name in ("event", "survey_id", "user_id", "version", "occurred_at")
)
"""What ``Gateway.commit`` takes as news, in its order."""

OUTBOX_COLUMNS = ", ".join(["webhook_id", *(column.name for column in WEBHOOK_EVENT_COLUMNS), "next_attempt_at"])
"""What a row of the outbox is made of: due at once."""


def subscription_condition(survey_id: str, event: str) -> str:
    """Return the condition of webhooks that want an event of a survey, both as SQL gives them."""
    # No event's name is a part of another one.
    return (
        "webhooks.disabled_at IS NULL AND (webhooks.survey_id IS NULL OR "
        f"webhooks.survey_id = {survey_id}) AND webhooks.events LIKE {event}"
    )


def in_lock_order(keys: Iterable[SessionKey]) -> list[SessionKey]:
    """Return the keys in the order in which all writers lock: by user_id, then survey_id; so none waits in a circle."""
    return sorted(keys, key=lambda key: (key.user_id, key.survey_id))
