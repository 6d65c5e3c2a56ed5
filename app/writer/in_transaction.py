"""Turns in a transaction of the caller."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import StepkeepError
from ..store import retry, translate_error
from ..store.drivers import CallersTransactions
from ..survey import AnyCommand, SessionKey
from . import batch_metrics
from .batch import Committed, Result, RevisionNotLoaded
from .group_commit import Writer

ATTEMPTS = 3  # after a definition was loaded, and after another transaction began the session or applied the message


class OrmSession(Protocol):
    """SQLAlchemy's Session or scoped_session."""

    def connection(self) -> Connection: ...


class TransactionTurns:
    """Safe from any thread."""

    def __init__(self, writer: Writer, transactions: CallersTransactions) -> None:
        self._writer = writer
        self._transactions = transactions

    def submit(
        self,
        transaction: Connection | OrmSession,
        key: SessionKey,
        command: AnyCommand,
        after_commit: Callable[[Committed], None],
    ) -> Result:
        """Apply the command; until the transaction ends, the session's other turns wait."""
        try:
            connection = transaction if isinstance(transaction, Connection) else transaction.connection()
            end = self._transactions.join(connection)
            if not end.has(key):
                self._writer.block(key)
                end.at_end(key, partial(self._writer.unblock, key))
            result = self._apply(connection, key, command)
        except SQLAlchemyError as error:
            raise self._count(translate_error(error)) from error
        except StepkeepError as error:
            raise self._count(error) from error.__cause__
        if isinstance(result, StepkeepError):
            raise self._count(result)
        if isinstance(result, Committed):
            end.after_commit(lambda: batch_metrics.record((), [result]))
            end.after_commit(partial(after_commit, result))
        else:
            batch_metrics.record((), [result])
        return result

    def _apply(self, connection: Connection, key: SessionKey, command: AnyCommand) -> Result | StepkeepError:
        attempt = 1
        while True:
            try:
                results = self._transactions.run(
                    connection, lambda statements: self._writer.apply(statements, [(key, command)])
                )
            except RevisionNotLoaded as missing:
                self._writer.load_revision(missing)
                if attempt == ATTEMPTS:
                    raise
            except DBAPIError as error:
                if attempt == ATTEMPTS or not retry.is_duplicate_key(error):
                    raise
            else:
                return results[0]
            attempt += 1

    @staticmethod
    def _count(error: StepkeepError) -> StepkeepError:
        batch_metrics.record((), [error])
        return error
