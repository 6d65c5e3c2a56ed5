"""PostgreSQL: its engines, and a batch of turns on it.

A batch goes over as one array a column (``unnest``), in binary: one statement whatever its size, prepared once.
Arrays as text take three times as long to read (DESIGN.md, Speed).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import URL, Column, Engine, create_engine

from app.store.gateway import in_key_order
from app.store.models import session_history, sessions
from app.store.rows import (
    CHANGED_COLUMNS,
    EVENT_COLUMNS,
    KEY_COLUMNS,
    KNOWN_COLUMNS,
    NEW_COLUMNS,
    STATE_COLUMNS,
    Row,
    SessionKey,
    States,
    Written,
    states_of,
)

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 10
"""Seconds that a batch waits for sessions that another server has locked; then it is tried again (55P03)."""

SILENCE_S = 30
"""Seconds after which a connection whose other end has gone without a word is given up."""

_SILENCE = {
    "tcp_user_timeout": SILENCE_S * 1000,
    "keepalives_idle": SILENCE_S // 2,
    "keepalives_interval": SILENCE_S // 6,
    "keepalives_count": 3,
}

_COUNTS = frozenset({"version", "is_audio_mode"})
_TIMES = frozenset({"created_at", "updated_at", "completed_at", "expires_at", "timestamp"})


def engine(url: URL, *, lock_timeout_s: int = LOCK_TIMEOUT_S, **options: Any) -> Engine:  # noqa: ANN401 - create_engine's
    """Return an engine; times are UTC whatever the server's zone. A lock_timeout_s of 0 waits for ever."""
    # What stands in the URL (timeouts, several hosts, TLS) holds.
    given = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        **_SILENCE,
        "options": f"-c timezone=UTC -c lock_timeout={lock_timeout_s}s",
    }
    connect_args = {name: value for name, value in given.items() if name == "options" or name not in url.query}
    return create_engine(url, connect_args=connect_args, hide_parameters=True, pool_pre_ping=True, **options)


class PostgresqlGateway:
    """A batch of turns on one connection to PostgreSQL (``gateway.Gateway``).

    Two round trips a batch: what begins and reads goes in one, what writes and commits in the other.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        self._connection = connection

    @staticmethod
    def to_time(at: int) -> int:
        return at  # the statements make times of microseconds: arrays of numbers are faster

    def load(self, key: SessionKey) -> Row | None:
        row: Row | None = self._connection.execute(_SELECT, (key.user_id, key.survey_id), binary=True).fetchone()
        return row

    def begin(self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]) -> tuple[States, list[Row]]:
        ordered = in_key_order(keys)
        wanted = [[key.user_id for key in ordered], [key.survey_id for key in ordered]]
        with self._connection.pipeline():
            states = self._connection.execute(_LOCK, wanted, prepare=True, binary=True)
            # A snapshot of its own, taken when the sessions are locked: what another server has just
            # committed for them is seen.
            known = (
                self._connection.execute(_KNOWN, _columns(messages), prepare=True, binary=True) if messages else None
            )
        return states_of(states.fetchall()), known.fetchall() if known is not None else []

    def commit(self, new: Sequence[Row], changed: Sequence[Row], events: Sequence[Row], states: Written) -> None:  # noqa: ARG002 - other servers may change them
        with self._connection.pipeline():
            for statement, rows in ((_INSERT, new), (_UPDATE, changed), (_APPEND, events)):
                if rows:
                    self._connection.execute(statement, _transposed(rows), prepare=True)
            self._connection.commit()


def _columns(messages: Sequence[tuple[SessionKey, str]]) -> list[list[str]]:
    return [
        [message_id for _, message_id in messages],
        [key.user_id for key, _ in messages],
        [key.survey_id for key, _ in messages],
    ]


def _transposed(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(values) for values in zip(*rows, strict=True)]


def _type(column: Column[Any]) -> str:
    return "int8" if column.name in _COUNTS | _TIMES else "text"


def _given(columns: Sequence[Column[Any]]) -> str:
    """Arrays, one a column, as the rows of a table called given."""
    arrays = ", ".join(f"%b::{_type(column)}[]" for column in columns)
    return f"unnest({arrays}) AS given({_listed(columns)})"


def _listed(columns: Sequence[Column[Any]], table: str = "") -> str:
    return ", ".join(f"{table}{column.name}" for column in columns)


def _value(column: Column[Any]) -> str:
    name = f"given.{column.name}"
    return f"timestamp 'epoch' + {name} * interval '1 microsecond'" if column.name in _TIMES else name


def _insert(table: str, columns: Sequence[Column[Any]]) -> str:
    values = ", ".join(map(_value, columns))
    return f"INSERT INTO {table} ({_listed(columns)}) SELECT {values} FROM {_given(columns)}"  # noqa: S608 - names of ours


# As text, because SQLAlchemy's psycopg dialect can't ask for binary arrays; all names are the tables' own.
_MESSAGE = (session_history.c.message_id, *(session_history.c[column.name] for column in KEY_COLUMNS))
_SELECT = f"SELECT {_listed(STATE_COLUMNS)} FROM sessions WHERE user_id = %s AND survey_id = %s"  # noqa: S608
_LOCK = (
    f"SELECT {_listed(STATE_COLUMNS, 'sessions.')} FROM sessions JOIN {_given(KEY_COLUMNS)} "  # noqa: S608
    "USING (user_id, survey_id) ORDER BY sessions.user_id, sessions.survey_id FOR UPDATE OF sessions"
)
_KNOWN = (
    f"SELECT {_listed(KNOWN_COLUMNS, 'known.')} FROM session_history known "  # noqa: S608
    f"JOIN {_given(_MESSAGE)} USING (message_id, user_id, survey_id)"
)
_INSERT = _insert(sessions.name, NEW_COLUMNS)
_UPDATE = (
    f"UPDATE sessions SET {', '.join(f'{column.name} = {_value(column)}' for column in CHANGED_COLUMNS)} "  # noqa: S608
    f"FROM {_given((*CHANGED_COLUMNS, *KEY_COLUMNS))} "
    "WHERE sessions.user_id = given.user_id AND sessions.survey_id = given.survey_id"
)
_APPEND = _insert(session_history.name, EVENT_COLUMNS)
