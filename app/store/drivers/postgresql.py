"""PostgreSQL. A batch is one JSON text, prepared once for all sizes; binary arrays halve the rate of turns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import URL, Column, Engine, create_engine, event

from ...survey import SessionKey
from .. import rows
from ..retry import RESPONSE_TIMEOUT_S
from ..tables import TIMES, session_history
from .statements import WEBHOOK_EVENT_COLUMNS, Changes, TurnStatements, in_lock_order, insert_deliveries, names

CONNECT_TIMEOUT_S = 3
LOCK_TIMEOUT_S = 2  # a batch that waits longer for sessions locked elsewhere is retried (55P03)
STATEMENT_TIMEOUT_S = 10  # the server then cancels the writer's statement

_KEPT_ALIVE = {
    "tcp_user_timeout": RESPONSE_TIMEOUT_S * 1000,
    "keepalives_idle": RESPONSE_TIMEOUT_S // 2,
    "keepalives_interval": RESPONSE_TIMEOUT_S // 6,
    "keepalives_count": 3,
}

_INTEGERS = TIMES | {"version", "is_audio_mode", "history_bytes"}

# For the writer: a plan cached while a table is empty would scan it for ever. With scans disabled, those of the few
# webhooks seem expensive enough for JIT, which takes a hundred times their time.
BY_KEY = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    **dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"), "off"),
}


def engine(
    url: URL,
    *,
    lock_timeout_s: int = LOCK_TIMEOUT_S,
    settings: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401 - create_engine's
) -> Engine:
    """Return an engine with UTC times; ``lock_timeout_s`` 0 means none, and no response timeout."""
    # The URL's parameters take precedence.
    defaults = {"connect_timeout": CONNECT_TIMEOUT_S, "client_encoding": "utf8", **_KEPT_ALIVE}
    connect_args = {name: value for name, value in defaults.items() if name not in url.query}
    result = create_engine(url, connect_args=connect_args, hide_parameters=True, pool_pre_ping=True, **options)
    # statistics.py reads times as ISO text.
    values = {"timezone": "UTC", "datestyle": "ISO", "lock_timeout": f"{lock_timeout_s}s", **(settings or {})}
    if "schema" in url.query:  # no statement names it
        values["search_path"] = str(url.query["schema"])
    statements = "; ".join(f"SET {name} = '{value}'" for name, value in values.items())

    @event.listens_for(result, "do_connect")
    def _remove_schema(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        options.pop("schema", None)  # not a parameter of libpq

    @event.listens_for(result, "connect", insert=True)  # before SQLAlchemy reads the default schema
    def _set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's connection
        # Not as start-up options, which PgBouncer refuses. Outside a transaction: a rollback would undo them.
        autocommit, connection.autocommit = connection.autocommit, True
        connection.execute(statements)
        connection.autocommit = autocommit

    if lock_timeout_s:
        from .postgresql_connection import Connection  # noqa: PLC0415 - psycopg is an extra

        event.listen(
            result, "do_connect", lambda _dialect, _record, args, options: Connection.connect(*args, **options)
        )
    return result


class PostgresqlTurnStatements(TurnStatements):
    """A batch in two round trips: one begins and reads, the other writes and commits."""

    @staticmethod
    def to_time(at: int) -> int:
        return at  # as the statements take them

    def database_identity(self) -> object:
        return self._read(_IDENTITY, ())

    def load(self, key: SessionKey) -> rows.Row | None:
        row: rows.Row | None = self._connection.execute(_SELECT, (key.user_id, key.survey_id), binary=True).fetchone()
        return row

    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[rows.FoundSessions, list[rows.Row]]:
        sessions_json = _json((key.user_id, key.survey_id) for key in in_lock_order(keys))
        messages_json = _json((message_id, *key[::-1]) for key, message_id in messages)
        with self._connection.pipeline():
            locked = self._connection.execute(_LOCK, (sessions_json,), prepare=True, binary=True)
            # A snapshot taken after locking sees what others just committed.
            known = self._connection.execute(_KNOWN, (messages_json,), prepare=True, binary=True) if messages else None
        return rows.by_key(locked.fetchall()), known.fetchall() if known is not None else []

    def commit(self, changes: Changes) -> None:
        if changes.granted:
            self._connection.execute(_INSERT, (_json(changes.new),), prepare=True)
            self._require_granted(changes.granted)
            changes = changes._replace(new=())
        deliveries = None
        with self._connection.pipeline():
            for statement, values in ((_INSERT, changes.new), (_UPDATE, changes.changed), (_APPEND, changes.events)):
                if values:
                    self._connection.execute(statement, (_json(values),), prepare=True)
            if changes.webhook_events:  # in the same round trip
                events = _json(changes.webhook_events)
                deliveries = self._connection.execute(_INSERT_DELIVERIES, (events,), prepare=True)
            if self.owns_transaction:
                self._connection.commit()
        if deliveries is not None and deliveries.rowcount:
            self.outbox_callback()

    def _read(self, statement: str, values: Sequence[Any]) -> list[rows.Row]:
        return list(self._connection.execute(statement, values).fetchall())


_WRITTEN = (*rows.UPDATE_COLUMNS, *rows.KEY_COLUMNS)
# Positions: real names would be a third of the JSON.
_KEYS = tuple(map(str, range(max(map(len, (rows.INSERT_COLUMNS, _WRITTEN, rows.EVENT_COLUMNS))))))


def _json(values: Iterable[rows.Row]) -> str:
    return rows.dumps([dict(zip(_KEYS, row, strict=False)) for row in values])


def _recordset(columns: Sequence[Column[Any]]) -> str:
    types = ("int8" if column.name in _INTEGERS else "text" for column in columns)
    typed = ", ".join(f'"{key}" {kind}' for key, kind in zip(_KEYS, types, strict=False))
    return f"json_to_recordset(%s::json) AS item({typed})"


def _matches(table: str, columns: Sequence[Column[Any]]) -> str:
    return " AND ".join(f'{table}.{column.name} = item."{key}"' for key, column in zip(_KEYS, columns, strict=False))


def _values(columns: Sequence[Column[Any]]) -> list[str]:
    return [
        f"timestamp 'epoch' + item.\"{key}\" * interval '1 microsecond'" if column.name in TIMES else f'item."{key}"'
        for key, column in zip(_KEYS, columns, strict=False)
    ]


def _insert(table: str, columns: Sequence[Column[Any]]) -> str:
    values = ", ".join(_values(columns))
    return f"INSERT INTO {table} ({names(columns)}) SELECT {values} FROM {_recordset(columns)}"  # noqa: S608 - names of columns


# As text, because Core has no json_to_recordset.
_MESSAGE = (session_history.c.message_id, *(session_history.c[column.name] for column in rows.KEY_COLUMNS))
_IDENTITY = "SELECT system_identifier, current_database(), to_regclass('sessions')::oid FROM pg_control_system()"
_SELECT = f"SELECT {names(rows.STATE_COLUMNS)} FROM sessions WHERE user_id = %s AND survey_id = %s"  # noqa: S608 - our names
_LOCK = (
    f"SELECT {names(rows.STATE_COLUMNS)} FROM sessions JOIN {_recordset(rows.KEY_COLUMNS)} "  # noqa: S608 - our names
    f"ON {_matches('sessions', rows.KEY_COLUMNS)} ORDER BY user_id, survey_id FOR UPDATE OF sessions"
)
_KNOWN = (
    f"SELECT {names(rows.MESSAGE_COLUMNS)} FROM session_history known "  # noqa: S608 - our names
    f"JOIN {_recordset(_MESSAGE)} ON {_matches('known', _MESSAGE)}"
)
_INSERT = _insert("sessions", rows.INSERT_COLUMNS)
_CHANGES = ", ".join(
    f"{column.name} = {value}" for column, value in zip(rows.UPDATE_COLUMNS, _values(rows.UPDATE_COLUMNS), strict=True)
)
_USER, _SURVEY = _KEYS[len(rows.UPDATE_COLUMNS) : len(_WRITTEN)]
_UPDATE = (
    f"UPDATE sessions SET {_CHANGES} FROM {_recordset(_WRITTEN)} "  # noqa: S608 - our names
    f'WHERE sessions.user_id = item."{_USER}" AND sessions.survey_id = item."{_SURVEY}"'
)
_APPEND = _insert("session_history", rows.EVENT_COLUMNS)
_EVENT, _EVENT_SURVEY, *_, _OCCURRED_AT = _EVENT_VALUES = _values(WEBHOOK_EVENT_COLUMNS)
_DELIVERIES = insert_deliveries(
    [*_EVENT_VALUES, _OCCURRED_AT],
    source=f"webhooks CROSS JOIN {_recordset(WEBHOOK_EVENT_COLUMNS)}",
    survey_id=_EVENT_SURVEY,
    pattern=f"'%%' || {_EVENT} || '%%'",
)
# Locked: the delivery's foreign key holds while a webhook is removed.
_INSERT_DELIVERIES = f"{_DELIVERIES} ORDER BY {_OCCURRED_AT} FOR KEY SHARE OF webhooks"
