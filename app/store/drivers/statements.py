"""A batch of turns on a driver's connection. SQL is text: Core's statements would take half of a turn's time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import ColumnElement

from ...core.timestamps import from_datetime, to_database_text
from ...errors import Unauthorized
from ...survey import SessionKey
from ..encryption import PLAIN
from ..erasure_journal import hash_user_id
from ..rows import FoundSessions, Row, WrittenSession
from ..tables import webhook_deliveries

WEBHOOK_EVENT_COLUMNS = tuple(
    webhook_deliveries.c[name] for name in ("event", "survey_id", "user_id", "version", "occurred_at")
)


class Changes(NamedTuple):
    """What a batch writes."""

    new: Sequence[Row]  # rows.new_row
    changed: Sequence[Row]
    events: Sequence[Row]
    states: Mapping[SessionKey, WrittenSession | None]  # to cache; None for a long one, or one that a caller may modify
    webhook_events: Sequence[Row]  # WEBHOOK_EVENT_COLUMNS
    granted: Mapping[SessionKey, int]  # new sessions of participants, and since when these have access


class TurnStatements(ABC):
    """Loads, locks and writes sessions on one connection. Errors are the driver's."""

    mark = "%s"  # stands for a parameter

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        self._connection = connection
        self.cipher = PLAIN
        self.outbox_callback: Callable[[], None] = lambda: None  # after a commit of deliveries
        self.foreign_callback: Callable[[], None] = lambda: None  # another connection may have written; SQLite only
        self.owns_transaction = True  # else the caller begins and commits it

    @staticmethod
    @abstractmethod
    def to_time(at: int) -> object: ...

    @abstractmethod
    def database_identity(self) -> object:
        """Return what tells this connection's database from all others."""

    @abstractmethod
    def load(self, key: SessionKey) -> Row | None:
        """Return STATE_COLUMNS, unlocked."""

    @abstractmethod
    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[FoundSessions, list[Row]]:
        """Begin a transaction; lock and read the sessions in key order.

        Return the existing ones, and MESSAGE_COLUMNS of messages already in the history.
        """

    @abstractmethod
    def commit(self, changes: Changes) -> None:
        """Write the rows and commit; raise Unauthorized, committing nothing, if access to a new session was revoked."""

    @abstractmethod
    def _read(self, statement: str, values: Sequence[Any]) -> list[Row]: ...

    def _require_granted(self, granted: Mapping[SessionKey, int]) -> None:
        # Inserting the sessions has waited for their erasure, whose revocation is now committed.
        names = {(key.survey_id, key.user_id): at for key, at in granted.items()}
        salt = ""
        # A database has one salt, seldom two.
        while salt := self._read(f"SELECT MIN(salt) FROM token_revocations WHERE salt > {self.mark}", (salt,))[0][0]:  # noqa: S608 - our names
            names |= {(key.survey_id, hash_user_id(salt, *key)): at for key, at in granted.items()}
        values = ({survey_id for survey_id, _ in names}, {name for _, name in names})
        surveys, users = [", ".join([self.mark] * len(items)) for items in values]
        query = (
            "SELECT survey_id, user_id, revoked_at FROM token_revocations "  # noqa: S608 - marks only
            f"WHERE survey_id IN ({surveys}) AND user_id IN ({users})"
        )
        for survey_id, name, revoked_at in self._read(query, [*values[0], *values[1]]):
            if from_datetime(revoked_at) >= names.get((survey_id, name), math.inf):
                raise Unauthorized


class CursorTurnStatements(TurnStatements):
    """For drivers whose cursors run a statement for many rows."""

    load_sql: ClassVar[str]
    insert_sql: ClassVar[str]
    update_sql: ClassVar[str]
    append_sql: ClassVar[str]
    deliveries_sql: ClassVar[str]

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        super().__init__(connection)
        self._cursor = connection.cursor()

    to_time = staticmethod(to_database_text)

    def load(self, key: SessionKey) -> Row | None:
        self._cursor.execute(self.load_sql, (key.user_id, key.survey_id))
        row: Row | None = self._cursor.fetchone()
        return row

    def commit(self, changes: Changes) -> None:
        if changes.new:
            self._cursor.executemany(self.insert_sql, changes.new)
        if changes.granted:
            self._require_granted(changes.granted)
        for statement, rows in ((self.update_sql, changes.changed), (self.append_sql, changes.events)):
            if rows:
                self._cursor.executemany(statement, rows)
        deliveries = self._insert_deliveries(changes.webhook_events) if changes.webhook_events else 0
        if self.owns_transaction:
            self._connection.commit()
        if deliveries:
            self.outbox_callback()

    def _read(self, statement: str, values: Sequence[Any]) -> list[Row]:
        self._cursor.execute(statement, values)
        return list(self._cursor.fetchall())

    def _insert_deliveries(self, webhook_events: Sequence[Row]) -> int:
        self._cursor.execute("SELECT 1 FROM webhooks WHERE disabled_at IS NULL LIMIT 1")
        if self._cursor.fetchone() is None:
            return 0
        rows = [(*row, row[4], row[1], f"%{row[0]}%") for row in webhook_events]
        self._cursor.executemany(self.deliveries_sql, rows)
        return int(self._cursor.rowcount)


def names(columns: Iterable[ColumnElement[Any]]) -> str:
    return ", ".join(str(column.key) for column in columns)


def insert_into(table: str, columns: Sequence[ColumnElement[Any]], mark: str) -> str:
    return f"INSERT INTO {table} ({names(columns)}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608 - names of columns


def insert_deliveries(values: Sequence[str], *, source: str = "webhooks", survey_id: str, pattern: str) -> str:
    """Return the statement that inserts an event's deliveries; the arguments are SQL."""
    return (
        f"INSERT INTO webhook_deliveries (webhook_id, {names(WEBHOOK_EVENT_COLUMNS)}, next_attempt_at) "  # noqa: S608 - no values
        f"SELECT webhooks.id, {', '.join(values)} FROM {source} WHERE webhooks.disabled_at IS NULL "
        f"AND (webhooks.survey_id IS NULL OR webhooks.survey_id = {survey_id}) AND webhooks.events LIKE {pattern}"
    )


def in_lock_order(keys: Iterable[SessionKey]) -> list[SessionKey]:
    """Return the keys in the order in which all writers lock."""
    return sorted(keys, key=lambda key: (key.user_id, key.survey_id))
