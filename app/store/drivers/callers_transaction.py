"""Turns in a transaction that a caller began, and ends."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import ref

from sqlalchemy import Connection, Engine, TwoPhaseTransaction, event

from ...errors import UnsuitableTransaction
from ..encryption import Cipher
from ..retry import wants_new_connection
from .connection import CheckSchema, read_revision, wrap_driver_error
from .statements import TurnStatements

log = logging.getLogger("stepkeep.store")
T = TypeVar("T")
_IDENTITY = "stepkeep.database_identity"  # key in ``Connection.info``, which lasts as long as the driver's connection

_SQLITE = (
    "On SQLite, turns can only be part of a transaction of `store.transaction()` or `store.engine`. Others may fail at "
    "their first write, and lack settings that protect the file."
)
_OTHER = (
    "The connection does not lead to the store's database; or it does not find the table `sessions` there, or has "
    "another character set."
)
_ISOLATION = (
    "The isolation level must be READ COMMITTED: at a higher one, turns that were committed meanwhile are not seen; in "
    "AUTOCOMMIT, there is no transaction."
)


class TransactionEnd:
    """Calls back when the caller's transaction ends. For the thread that uses the connection."""

    def __init__(self, connection: Connection, forget: Callable[[], object]) -> None:
        self._connection = ref(connection)  # the pool takes back a connection that its user has forgotten
        self._forget = forget
        self._driver: Any = connection.connection.driver_connection
        self._after_commit: list[Callable[[], None] | None] = []  # None: a savepoint
        self._at_end: dict[object, Callable[[], None]] = {}
        self._listeners = {
            "savepoint": lambda *_: self._after_commit.append(None),
            "release_savepoint": lambda *_: self._release(),
            "rollback_savepoint": lambda *_: self._roll_back(),
        }
        for name, listener in self._listeners.items():
            event.listen(connection, name, listener)
        # SQLAlchemy has no event after COMMIT. Invalidated connections are only closed.
        for name in ("commit", "rollback", "close"):
            setattr(self._driver, name, partial(self._call, getattr(self._driver, name), is_commit=name == "commit"))

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back after COMMIT, unless the savepoint is rolled back."""
        self._after_commit.append(callback)

    def at_end(self, name: object, callback: Callable[[], None]) -> None:
        """Call back once for each name when the transaction has ended."""
        self._at_end[name] = callback

    def has(self, name: object) -> bool:
        return name in self._at_end

    def _release(self) -> None:
        if (start := self._savepoint()) is not None:
            del self._after_commit[start]

    def _roll_back(self) -> None:
        del self._after_commit[self._savepoint() or 0 :]  # it may be older than the first callback

    def _savepoint(self) -> int | None:
        return next((n for n in reversed(range(len(self._after_commit))) if self._after_commit[n] is None), None)

    def _call(self, method: Callable[[], None], *, is_commit: bool) -> None:
        is_committed = False
        try:
            method()
            is_committed = is_commit
        finally:
            self._end(is_committed=is_committed)

    def _end(self, *, is_committed: bool) -> None:
        for name in ("commit", "rollback", "close"):
            with suppress(AttributeError):
                delattr(self._driver, name)  # the class's method again
        connection = self._connection()
        for name, listener in self._listeners.items() if connection is not None else ():
            event.remove(connection, name, listener)
        self._forget()
        callbacks = [*self._at_end.values(), *(self._after_commit if is_committed else ())]
        self._at_end, self._after_commit = {}, []
        for callback in callbacks:
            try:
                if callback is not None:
                    callback()
            except Exception:  # the caller must get to know that the transaction has ended
                log.exception("Unexpected error after a caller's transaction; continuing.")


class CallersTransactions:
    """Runs turns on callers' connections. Safe from any thread."""

    def __init__(
        self,
        engine: Engine,
        turn_statements: Callable[[Any], TurnStatements],
        cipher: Cipher,
        check_schema: CheckSchema,
        outbox_callback: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._make_statements = turn_statements
        self._cipher = cipher
        self._check_schema = check_schema
        self._outbox_callback = outbox_callback
        self._identity: object = self  # not known yet

    def join(self, connection: Connection) -> TransactionEnd:
        """Return the callbacks of the connection's transaction; raise UnsuitableTransaction."""
        if not connection.in_transaction():
            connection.begin()
        info = connection.info
        end: TransactionEnd | None = info.get(self)
        if end is None:
            self._check(connection)
            end = info[self] = TransactionEnd(connection, partial(info.pop, self, None))
        return end

    def run(self, connection: Connection, work: Callable[[TurnStatements], T]) -> T:
        """Run ``work`` in a savepoint: the caller can continue after an error."""
        end = self.join(connection)
        savepoint = connection.begin_nested()
        driver: Any = connection.connection.driver_connection
        try:
            self._check_schema(lambda: read_revision(driver))
            statements = self._make_statements(driver)
            statements.cipher = self._cipher
            statements.owns_transaction = False
            statements.outbox_callback = lambda: end.after_commit(self._outbox_callback)
            result = work(statements)
        except BaseException as error:
            try:
                savepoint.rollback()
            except Exception:  # noqa: BLE001 - a lost connection; or a deadlock has ended the whole transaction
                connection.invalidate()  # the caller can't commit what comes after it
            if isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                raise self._wrap(connection, error) from error
            raise
        savepoint.commit()
        return result

    def _check(self, connection: Connection) -> None:
        dialect, own = connection.dialect, self._engine.dialect
        if isinstance(connection.get_transaction(), TwoPhaseTransaction):
            raise UnsuitableTransaction("The transaction must not be committed in two phases.")
        if (dialect.driver, dialect.is_async) != (own.driver, own.is_async):
            raise UnsuitableTransaction(
                f"The connection's driver must be {own.driver}, as the store's, not {dialect.driver}."
            )
        if not self._is_own_database(connection):
            raise UnsuitableTransaction(_SQLITE if own.name == "sqlite" else _OTHER)
        driver: Any = connection.connection.driver_connection
        if own.name == "sqlite":
            if not driver.in_transaction:  # of the readers' engine
                raise UnsuitableTransaction(_SQLITE)
        elif dialect.detect_autocommit_setting(driver) or connection.get_isolation_level() != "READ COMMITTED":
            raise UnsuitableTransaction(_ISOLATION)

    def _is_own_database(self, connection: Connection) -> bool:
        if _IDENTITY not in connection.info:
            connection.info[_IDENTITY] = self._identify(connection)
        if self._identity != connection.info[_IDENTITY]:
            with self._engine.connect() as own:  # at first; or the database was restored
                self._identity = self._identify(own)
        return bool(self._identity == connection.info[_IDENTITY])

    def _identify(self, connection: Connection) -> object:
        return self._make_statements(connection.connection.driver_connection).database_identity()

    def _wrap(self, connection: Connection, error: Exception) -> Exception:
        dialect = connection.dialect
        is_lost = connection.invalidated or dialect.is_disconnect(error, connection.connection.driver_connection, None)  # type: ignore[arg-type]  # the driver's
        wrapped = wrap_driver_error(connection.engine, error, is_lost=is_lost)
        if wants_new_connection(wrapped) and not connection.invalidated:
            connection.invalidate(error)
        return wrapped
