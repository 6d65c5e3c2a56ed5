"""MySQL and MariaDB: engines, and a batch of turns.

PyMySQL sends text, so a batch is one statement with many rows. ON DUPLICATE KEY UPDATE takes a third of the time of
single UPDATEs.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import URL, Column, Engine, create_engine

from ...core.timestamps import to_database_text
from ...survey import SessionKey
from ..encryption import PLAIN
from ..rows import (
    EVENT_COLUMNS,
    INSERT_COLUMNS,
    KEY_COLUMNS,
    MESSAGE_COLUMNS,
    STATE_COLUMNS,
    UPDATE_COLUMNS,
    FoundSessions,
    Row,
    WrittenSessions,
    rows_by_key,
)
from ..tables import session_history, sessions
from .connection import OUTBOX_COLUMNS, in_lock_order, subscription_condition

CONNECT_TIMEOUT_S = 3
LOCK_TIMEOUT_S = 2
"""A batch that waits longer for sessions locked elsewhere is retried (1205)."""

RESPONSE_TIMEOUT_S = 12
"""The connection is then closed; longer than any lock wait."""

RECYCLE_S = 280  # below the usual wait_timeout of 300 s


def engine(url: URL, *, lock_timeout_s: int = LOCK_TIMEOUT_S, **options: Any) -> Engine:  # noqa: ANN401 - create_engine's
    """Return an engine with UTC times and strict mode, whatever the server's settings.

    Args:
        lock_timeout_s: 0 for the server's, and no response timeout.
    """
    setting = "time_zone='+00:00', sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
    options_by_name: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
    if lock_timeout_s:
        setting += f", innodb_lock_wait_timeout={lock_timeout_s}"
        options_by_name |= {"read_timeout": RESPONSE_TIMEOUT_S, "write_timeout": RESPONSE_TIMEOUT_S}
    connect_args = {name: value for name, value in options_by_name.items() if name not in url.query}
    connect_args["init_command"] = f"SET {setting}"
    return create_engine(
        url, connect_args=connect_args, hide_parameters=True, pool_pre_ping=True, pool_recycle=RECYCLE_S, **options
    )


class MysqlTurnStatements:
    """A batch of turns on one connection."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        self._connection = connection
        self._cursor = connection.cursor()
        self.cipher = PLAIN
        self.outbox_callback: Callable[[], None] = lambda: None

    @staticmethod
    def to_time(at: int) -> str:
        return to_database_text(at)

    def load(self, key: SessionKey) -> Row | None:
        rows = self._read(f"{_SELECT} WHERE user_id = %s AND survey_id = %s", (key.user_id, key.survey_id))
        return rows[0] if rows else None

    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[FoundSessions, list[Row]]:
        self._connection.begin()
        users: dict[str, list[str]] = {}
        for key in in_lock_order(keys):
            users.setdefault(key.survey_id, []).append(key.user_id)
        condition = " OR ".join(f"survey_id = %s AND user_id IN ({_marks(len(ids))})" for ids in users.values())
        values = [value for survey, ids in users.items() for value in (survey, *ids)]
        # In READ COMMITTED, FOR UPDATE reads what was committed before the lock.
        existing = rows_by_key(
            self._read(f"{_SELECT} WHERE {condition} ORDER BY user_id, survey_id FOR UPDATE", values)
        )
        if not messages:
            return existing, []
        marks = ", ".join(["(%s, %s, %s)"] * len(messages))
        values = [value for key, message_id in messages for value in (message_id, key.user_id, key.survey_id)]
        return existing, self._read(f"{_KNOWN} WHERE (message_id, user_id, survey_id) IN ({marks})", values)

    def commit(
        self,
        new: Sequence[Row],
        changed: Sequence[Row],
        events: Sequence[Row],
        states: WrittenSessions,  # noqa: ARG002 - other servers may change them
        webhook_events: Sequence[Row],
    ) -> None:
        for statement, rows in ((_INSERT, new), (_UPDATE, changed), (_APPEND, events)):
            if rows:
                self._cursor.executemany(statement, rows)
        deliveries = self._insert_deliveries(webhook_events) if webhook_events else 0
        self._connection.commit()
        if deliveries:
            self.outbox_callback()

    def _insert_deliveries(self, webhook_events: Sequence[Row]) -> int:
        if not self._read(_HAS_WEBHOOKS, ()):
            return 0
        rows = [(*row, row[4], row[1], f"%{row[0]}%") for row in webhook_events]
        return sum(self._cursor.execute(_INSERT_DELIVERIES, row) for row in rows)

    def _read(self, statement: str, values: Sequence[Any]) -> list[Row]:
        self._cursor.execute(statement, values)
        return list(self._cursor.fetchall())


def _marks(count: int) -> str:
    return ", ".join(["%s"] * count)


def _names(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)


def _insert(table: str, columns: Sequence[Column[Any]]) -> str:
    return f"INSERT INTO {table} ({_names(columns)}) VALUES ({_marks(len(columns))})"  # noqa: S608 - names of columns


# SQL as text, because the number of sessions varies; times as text, because PyMySQL takes 1.5 us to parse one, Python a
# tenth.
_TIMES = frozenset({"created_at", "updated_at", "completed_at"})
_STATE = ", ".join(f"CAST({c.name} AS CHAR)" if c.name in _TIMES else c.name for c in STATE_COLUMNS)
_SELECT = f"SELECT {_STATE} FROM sessions"  # noqa: S608
_KNOWN = f"SELECT {_names(MESSAGE_COLUMNS)} FROM session_history"  # noqa: S608
_INSERT = _insert(sessions.name, INSERT_COLUMNS)
_UPDATE = (
    f"{_insert(sessions.name, (*UPDATE_COLUMNS, *KEY_COLUMNS))} ON DUPLICATE KEY UPDATE "
    f"{', '.join(f'{column.name} = VALUES({column.name})' for column in UPDATE_COLUMNS)}"
)
_APPEND = _insert(session_history.name, EVENT_COLUMNS)
_HAS_WEBHOOKS = "SELECT 1 FROM webhooks WHERE disabled_at IS NULL LIMIT 1"
# Locked: the delivery's foreign key holds while a webhook is removed.
_INSERT_DELIVERIES = (
    f"INSERT INTO webhook_deliveries ({OUTBOX_COLUMNS}) SELECT webhooks.id, %s, %s, %s, %s, %s, %s "  # noqa: S608 - no values
    f"FROM webhooks WHERE {subscription_condition('%s', '%s')} LOCK IN SHARE MODE"
)
