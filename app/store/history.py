"""Histories of sessions; the writer appends."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, String, and_, bindparam, delete, func, insert, select, type_coerce, update

from ..core.timestamps import from_datetime, to_datetime
from ..survey import Restarted, Saved, SessionKey, SessionState, Started, fold, from_record
from .encryption import SET_ASIDE, Cipher
from .keyset import fitting, of_session, text_size
from .rows import ENTRY_COLUMNS, RECORD_COLUMNS, HistoryEntry, parse_context, parse_entry, parse_record
from .tables import session_history, sessions, webhook_deliveries

_WITH_REVISION = (Started.action, Restarted.action, Saved.action)
NEWEST = 50  # events checked by :func:`find_missing_key`


class RecordedValues(NamedTuple):
    """A session's parameters, and an event's values; empty without any."""

    parameters: Mapping[str, Any]
    values: Mapping[str, Any]


def read_history(
    connection: Connection,
    key: SessionKey,
    *,
    cipher: Cipher,
    after_version: int = 0,
    limit: int | None = None,
    newest_first: bool = False,
) -> list[HistoryEntry]:
    """Return a session's events; raise MissingKey or ValueError."""
    column = session_history.c
    query = select(*ENTRY_COLUMNS).where(of_session(session_history, key), column.version > after_version)
    order = column.version.desc() if newest_first else column.version
    return [parse_entry(row, key, cipher) for row in connection.execute(query.order_by(order).limit(limit))]


def read_revision(connection: Connection, key: SessionKey, before_version: int, *, cipher: Cipher) -> str | None:
    column = session_history.c
    is_before = and_(column.version.between(1, before_version - 1), column.action.in_(_WITH_REVISION))
    query = select(*RECORD_COLUMNS).where(of_session(session_history, key), is_before)
    row = connection.execute(query.order_by(column.version.desc()).limit(1)).first()
    return None if row is None else parse_record(row, key, cipher).data.get("survey_revision")


def read_recorded_values(
    connection: Connection, key: SessionKey, version: int, at: int, *, cipher: Cipher
) -> RecordedValues | None:
    """Return what an event recorded; its time tells it from a later session's, after an erasure."""
    column = session_history.c
    # One statement: another could find the participant's next session.
    query = select(sessions.c.context, *RECORD_COLUMNS).select_from(session_history.join(sessions))
    query = query.where(of_session(session_history, key), column.version == version, column.timestamp == at)
    row = connection.execute(query).first()
    if row is None:
        return None
    context, *record = row
    event = from_record(parse_record(tuple(record), key, cipher))
    parameters = None if context is None else parse_context(context, key, cipher).parameters
    return RecordedValues(parameters or {}, getattr(event, "values", None) or {})


def read_changes(connection: Connection, after_id: int | None, limit: int) -> tuple[int, dict[SessionKey, int] | None]:
    """Return the newest event's id, and the sessions' versions since ``after_id``; None if there are too many."""
    column = session_history.c
    # An event that is committed late may have a lower id than those read before.
    newest: int = connection.scalar(select(func.max(column.id))) or 0
    if after_id is None:
        return newest, None
    query = select(column.survey_id, column.user_id, column.version).where(column.id > after_id, column.id <= newest)
    rows = connection.execute(query.limit(limit + 1)).all()
    if len(rows) > limit:
        return newest, None
    versions: dict[SessionKey, int] = {}
    for survey_id, user_id, version in rows:
        key = SessionKey(survey_id, user_id)
        versions[key] = max(version, versions.get(key, 0))
    return newest, versions


def page_length(connection: Connection, key: SessionKey, after_version: int, limit: int) -> int:
    column = session_history.c
    sizes = select(text_size(connection, (column.answer, column.data)))
    query = sizes.where(of_session(session_history, key), column.version > after_version)
    return fitting(connection.execute(query.order_by(column.version).limit(limit)).scalars())


def replay_history(connection: Connection, key: SessionKey, version: int, *, cipher: Cipher) -> SessionState | None:
    """Return the session as it was at a version; raise MissingKey, ValueError or OtherRelease."""
    column = session_history.c
    query = select(*RECORD_COLUMNS).where(of_session(session_history, key), column.version.between(1, version))
    rows = connection.execute(query.order_by(column.version))
    return fold(from_record(parse_record(row, key, cipher)) for row in rows)


def erase(connection: Connection, key: SessionKey) -> bool:
    connection.execute(delete(webhook_deliveries).where(of_session(webhook_deliveries, key)))
    return _erase_rows(connection, key)


def _erase_rows(connection: Connection, key: SessionKey) -> bool:
    connection.execute(delete(session_history).where(of_session(session_history, key)))
    return connection.execute(delete(sessions).where(of_session(sessions, key))).rowcount > 0


def set_aside(connection: Connection, key: SessionKey, at: int) -> str:
    """Move an unreadable session to a user id that no participant can have."""
    name = f"{key.user_id}{SET_ASIDE}{to_datetime(at):%Y%m%dT%H%M%S%f}"
    columns = [column for column in sessions.c if column.name != "user_id"]
    copy = select(bindparam("name", name), *columns).where(of_session(sessions, key))
    connection.execute(insert(sessions).from_select(["user_id", *(c.name for c in columns)], copy))
    connection.execute(update(session_history).where(of_session(session_history, key)).values(user_id=name))
    _erase_rows(connection, key)  # deliveries stay: what they report has happened
    return name


def newest_time(connection: Connection) -> int | None:
    """Return the greatest time of all events; None if it was edited by hand."""
    # Without SQLAlchemy's type, which raises for such a time.
    newest = connection.execute(select(type_coerce(func.max(session_history.c.timestamp), String()))).scalar()
    try:
        return None if newest is None else from_datetime(newest)
    except (ValueError, TypeError):
        return None


def find_missing_key(connection: Connection, cipher: Cipher) -> str | None:
    """Return the id of an unconfigured key that the newest events need."""
    column = session_history.c
    query = select(column.user_id, column.answer, column.data).order_by(column.id.desc()).limit(NEWEST)
    missing: Counter[str | None] = Counter()
    for user_id, *values in connection.execute(query):
        if SET_ASIDE not in user_id:
            missing.update({next((key_id for value in values if (key_id := cipher.missing_key_id(value))), None)})
    readable = missing.pop(None, 0)
    key_id, count = next(iter(missing.most_common(1)), (None, 0))
    return key_id if count > 1 or not readable else None  # a single event that can't be decrypted is damaged
