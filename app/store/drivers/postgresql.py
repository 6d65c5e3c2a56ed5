"""PostgreSQL: its engines, and a batch of turns on it.

A batch goes over as one JSON text a statement (``json_to_recordset``): the same statement whatever its size, prepared
once. Binary arrays, one a column, take the server as long and psycopg, which makes them in Python, twice as long;
with one turn in a batch they halve its rate.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from sqlalchemy import URL, Column, Engine, create_engine, event

from ...survey import SessionKey
from ..encryption import PLAIN
from ..retry import NO_ANSWER
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
    dumps,
    rows_by_key,
)
from ..tables import session_history, sessions
from .connection import OUTBOX_COLUMNS, WEBHOOK_EVENT_COLUMNS, in_lock_order, subscription_condition

CONNECT_TIMEOUT_S = 3
LOCK_TIMEOUT_S = 2
"""Seconds that a batch waits for sessions that another server has locked; then it is tried again (55P03)."""

STATEMENT_TIMEOUT_S = 10
"""Seconds after which the server ends a statement of ours, and it is told as unavailable; none for migrations."""

RESPONSE_TIMEOUT_S = 12
"""Seconds that an answer may take in all before its connection is given up: its server may be frozen, or the network
may swallow all. Longer than the server takes to end a statement of the writer's by itself."""

_KEPT_ALIVE = {
    "tcp_user_timeout": RESPONSE_TIMEOUT_S * 1000,
    "keepalives_idle": RESPONSE_TIMEOUT_S // 2,
    "keepalives_interval": RESPONSE_TIMEOUT_S // 6,
    "keepalives_count": 3,
}

_COUNTS = frozenset({"version", "is_audio_mode"})
_TIMES = frozenset({"created_at", "updated_at", "completed_at", "expires_at", "timestamp", "occurred_at"})

_BY_KEY = f" -c statement_timeout={STATEMENT_TIMEOUT_S}s" + "".join(
    f" -c {name}=off" for name in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
)
"""The writer's statements look for keys, and their plans are kept: one that was made while a table was empty would
read all of it for ever, faster and faster outgrown. What has to be read whole, the few webhooks, then seems so dear
that PostgreSQL would compile the plan, for a hundred times as long as it runs."""


def writer_engine(url: URL) -> Engine:
    """Return the engine of the one connection that writes."""
    return engine(url, settings=_BY_KEY, isolation_level="READ COMMITTED", pool_size=1, max_overflow=0)


def engine(
    url: URL,
    *,
    lock_timeout_s: int = LOCK_TIMEOUT_S,
    settings: str = "",
    **options: Any,  # noqa: ANN401 - create_engine's
) -> Engine:
    """Return an engine; times are UTC whatever the server's zone.

    Args:
        lock_timeout_s: 0 waits for ever, for an answer too.
    """
    # What stands in the URL (time-outs, several hosts, TLS) holds; its options come first. Figures read times as text.
    ours = f"-c timezone=UTC -c datestyle=ISO -c lock_timeout={lock_timeout_s}s{settings}"
    given = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        **_KEPT_ALIVE,
        "options": f"{url.query.get('options', '')} {ours}",
    }
    connect_args = {name: value for name, value in given.items() if name == "options" or name not in url.query}
    made = create_engine(url, connect_args=connect_args, hide_parameters=True, pool_pre_ping=True, **options)
    if lock_timeout_s:
        event.listen(made, "do_connect", lambda _dialect, _record, args, options: Connection.connect(*args, **options))
    return made


class Connection(psycopg.Connection[Any]):
    """A connection that is closed when its server gives no answer for SILENCE_S.

    libpq has no time-out for reading: a server that is stopped but alive (SIGSTOP, a frozen machine), or a
    network that swallows the answer, would be waited for as long as TCP finds somebody there.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - as psycopg's
        """Return what the generator of psycopg's protocol returns.

        Raises:
            psycopg.OperationalError: there was no answer; the connection is closed.
        """
        try:
            return super().wait(gen, interval, RESPONSE_TIMEOUT_S if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if timeout is None and type(error).__name__ == "_WaitTimeout":  # psycopg's own, which it never lets out
                self.pgconn.finish()
                raise psycopg.OperationalError(f"{NO_ANSWER} {RESPONSE_TIMEOUT_S} seconds") from error
            raise

    def __del__(self, *_: object) -> None:
        # psycopg warns of a connection that nobody closed. SQLAlchemy's pool leaves one to the garbage collector
        # whose very first statements failed; what lies under it closes itself.
        """Say nothing."""


class PostgresqlTurnStatements:
    """A batch of turns on one connection to PostgreSQL (``gateway.TurnStatements``).

    Two round trips a batch: what begins and reads goes in one, what writes and commits in the other.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        self._connection = connection
        self.cipher = PLAIN
        self.outbox_callback: Callable[[], None] = lambda: None

    @staticmethod
    def to_time(at: int) -> int:
        return at  # the statements make times of microseconds, which JSON holds as numbers

    def load(self, key: SessionKey) -> Row | None:
        row: Row | None = self._connection.execute(_SELECT, (key.user_id, key.survey_id), binary=True).fetchone()
        return row

    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[FoundSessions, list[Row]]:
        wanted = _json((key.user_id, key.survey_id) for key in in_lock_order(keys))
        asked = _json((message_id, *key[::-1]) for key, message_id in messages)
        with self._connection.pipeline():
            found = self._connection.execute(_LOCK, (wanted,), prepare=True, binary=True)
            # A snapshot of its own, taken when the sessions are locked: what another server has just
            # committed for them is seen.
            known = self._connection.execute(_KNOWN, (asked,), prepare=True, binary=True) if messages else None
        return rows_by_key(found.fetchall()), known.fetchall() if known is not None else []

    def commit(
        self,
        new: Sequence[Row],
        changed: Sequence[Row],
        events: Sequence[Row],
        states: WrittenSessions,  # noqa: ARG002 - other servers may change them
        news: Sequence[Row],
    ) -> None:
        told = None
        with self._connection.pipeline():
            for statement, rows in ((_INSERT, new), (_UPDATE, changed), (_APPEND, events)):
                if rows:
                    self._connection.execute(statement, (_json(rows),), prepare=True)
            if news:  # with the others in one round trip, which a look for webhooks first would double
                told = self._connection.execute(_PUT_OUT, (_json(news),), prepare=True)
            self._connection.commit()
        if told is not None and told.rowcount:
            self.outbox_callback()


_KEYS = tuple(map(str, range(max(len(INSERT_COLUMNS), len(UPDATE_COLUMNS) + len(KEY_COLUMNS), len(EVENT_COLUMNS)))))
"""Names of columns in the JSON: their places, since their own names would be a third of its length."""


def _json(rows: Iterable[Row]) -> str:
    return dumps([dict(zip(_KEYS, row, strict=False)) for row in rows])


def _type(column: Column[Any]) -> str:
    return "int8" if column.name in _COUNTS | _TIMES else "text"


def _given(columns: Sequence[Column[Any]]) -> str:
    """A JSON array of rows as a table called given."""
    typed = ", ".join(f'"{key}" {_type(column)}' for key, column in zip(_KEYS, columns, strict=False))
    return f"json_to_recordset(%s::json) AS given({typed})"


def _is_given(table: str, columns: Sequence[Column[Any]]) -> str:
    return " AND ".join(f'{table}.{column.name} = given."{key}"' for key, column in zip(_KEYS, columns, strict=False))


def _listed(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)


def _values(columns: Sequence[Column[Any]]) -> list[str]:
    return [
        f"timestamp 'epoch' + given.\"{key}\" * interval '1 microsecond'" if column.name in _TIMES else f'given."{key}"'
        for key, column in zip(_KEYS, columns, strict=False)
    ]


def _insert(table: str, columns: Sequence[Column[Any]]) -> str:
    values = ", ".join(_values(columns))
    return f"INSERT INTO {table} ({_listed(columns)}) SELECT {values} FROM {_given(columns)}"  # noqa: S608 - names of ours


# As text, because Core has no such function of a record; all names are the tables' own.
_MESSAGE = (session_history.c.message_id, *(session_history.c[column.name] for column in KEY_COLUMNS))
_SELECT = f"SELECT {_listed(STATE_COLUMNS)} FROM sessions WHERE user_id = %s AND survey_id = %s"  # noqa: S608
_LOCK = (
    f"SELECT {_listed(STATE_COLUMNS)} FROM sessions JOIN {_given(KEY_COLUMNS)} "  # noqa: S608
    f"ON {_is_given('sessions', KEY_COLUMNS)} ORDER BY user_id, survey_id FOR UPDATE OF sessions"
)
_KNOWN = (
    f"SELECT {_listed(MESSAGE_COLUMNS)} FROM session_history known "  # noqa: S608
    f"JOIN {_given(_MESSAGE)} ON {_is_given('known', _MESSAGE)}"
)
_INSERT = _insert(sessions.name, INSERT_COLUMNS)
_WRITTEN = (*UPDATE_COLUMNS, *KEY_COLUMNS)
_KEY_NAMES = frozenset(column.name for column in KEY_COLUMNS)
_CHANGES = ", ".join(
    f"{column.name} = {value}"
    for column, value in zip(_WRITTEN, _values(_WRITTEN), strict=True)
    if column.name not in _KEY_NAMES
)
_USER, _SURVEY = _KEYS[len(UPDATE_COLUMNS) : len(_WRITTEN)]
_UPDATE = (
    f"UPDATE sessions SET {_CHANGES} FROM {_given(_WRITTEN)} "  # noqa: S608
    f'WHERE sessions.user_id = given."{_USER}" AND sessions.survey_id = given."{_SURVEY}"'
)
_APPEND = _insert(session_history.name, EVENT_COLUMNS)
_NEWS = dict(zip((column.name for column in WEBHOOK_EVENT_COLUMNS), _values(WEBHOOK_EVENT_COLUMNS), strict=True))
_WANTED = subscription_condition(_NEWS["survey_id"], f"'%%' || {_NEWS['event']} || '%%'")
# Locked, so that a webhook that is being removed is none here, and its key is not missing when the row is written.
_PUT_OUT = (
    f"INSERT INTO webhook_deliveries ({OUTBOX_COLUMNS}) "  # noqa: S608
    f"SELECT webhooks.id, {', '.join(_NEWS.values())}, {_NEWS['occurred_at']} "
    f"FROM webhooks JOIN {_given(WEBHOOK_EVENT_COLUMNS)} ON {_WANTED} "
    f"ORDER BY {_NEWS['occurred_at']} FOR KEY SHARE OF webhooks"
)
