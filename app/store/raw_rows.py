"""Values of unreadable sessions: valid JSON decoded, the rest as text."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, select

from ..core.timestamps import format_timestamp, from_datetime
from ..survey import SessionKey
from .encryption import ABSENT, ANSWER, ANSWERS, CONTEXT, DATA, DRAFTS, SESSION_DATA, SET_ASIDE, Cipher, ValueLocation
from .keyset import next_sessions, of_session
from .rows import FINGERPRINT
from .tables import TIMES, session_history, sessions, untyped_times

_SESSION_JSON = {
    "answers": ANSWERS,
    "step_history": "sessions.step_history",
    "session_data": SESSION_DATA,
    "drafts": DRAFTS,
    "context": CONTEXT,
}
_HISTORY_JSON = {"answer": ANSWER, "data": DATA}
_LISTED = frozenset({"user_id", "survey_id", "version", "created_at", "updated_at"})


def read_session(connection: Connection, key: SessionKey, cipher: Cipher) -> dict[str, Any] | None:
    """Return the session's values by column; raise MissingKey."""
    query = select(*untyped_times(sessions.c)).where(of_session(sessions, key))
    row = connection.execute(query).mappings().first()
    return None if row is None else _decode_row(row, _SESSION_JSON, key, (), cipher)


def read_history(
    connection: Connection, key: SessionKey, after_version: int, limit: int, cipher: Cipher
) -> list[dict[str, Any]]:
    """Return the next events' values by column; raise MissingKey."""
    column = session_history.c
    query = select(*untyped_times(session_history.c)).where(
        of_session(session_history, key), column.version > after_version
    )
    rows = connection.execute(query.order_by(column.version).limit(limit)).mappings()
    return [_decode_row(row, _HISTORY_JSON, key, (row["version"],), cipher) for row in rows]


def read_set_aside(connection: Connection, after: SessionKey | None, limit: int) -> list[dict[str, Any]]:
    columns = [item for item in untyped_times(sessions.c) if item.name in _LISTED]
    query = select(*columns).where(sessions.c.user_id.contains(SET_ASIDE, autoescape=True))
    rows = connection.execute(next_sessions(query, after, limit)).mappings()
    return [{str(name): _format_value(name, value) for name, value in row.items()} for row in rows]


def _decode_row(
    row: Mapping[Any, Any], locations: Mapping[str, str], key: SessionKey, version: tuple[int, ...], cipher: Cipher
) -> dict[str, Any]:
    return {
        str(name): _value(value, (locations[name], *key, *version), cipher)
        if name in locations
        else _format_value(name, value)
        for name, value in row.items()
    }


def _value(text: str | None, location: ValueLocation, cipher: Cipher) -> Any:  # noqa: ANN401 - JSON is decoded here
    if text is None:
        return None
    try:
        plain = cipher.decrypt(text, location)
        value = None if plain != text and plain == ABSENT.get(str(location[0])) else orjson.loads(plain)
    except ValueError:  # no JSON, or it can't be decrypted
        return text
    if location[0] == DATA and isinstance(value, dict):
        value.pop(FINGERPRINT, None)
    return value


def _format_value(name: str, value: Any) -> Any:  # noqa: ANN401 - a column's value
    if name not in TIMES:
        return value
    try:
        return format_timestamp(from_datetime(value))
    except (ValueError, TypeError):
        return value
