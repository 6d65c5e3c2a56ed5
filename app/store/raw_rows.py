"""What is stored of a session that can't be read, value by value: what is JSON as JSON, all else as the text it is.

Every function works on a connection whose transaction its caller owns.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from ..core.timestamps import format_timestamp, from_datetime
from ..survey import SessionKey
from .encryption import ANSWER, ANSWERS, DATA, DRAFTS, SESSION_DATA, SET_ASIDE, Cipher, ValueLocation
from .keyset import TIMES, after_key, of_session, untyped_times
from .rows import FINGERPRINT, loads
from .tables import session_history, sessions

STEP_HISTORY = "sessions.step_history"

_SESSION_JSON = {"answers": ANSWERS, "step_history": STEP_HISTORY, "session_data": SESSION_DATA, "drafts": DRAFTS}
_HISTORY_JSON = {"answer": ANSWER, "data": DATA}
_LISTED = frozenset({"user_id", "survey_id", "version", "created_at", "updated_at"})


def read_session(connection: Connection, key: SessionKey, cipher: Cipher) -> dict[str, Any] | None:
    """Return what the session's row holds, by column; None where there is none.

    Raises:
        MissingKey: a value is sealed with a key that is not there.
    """
    rows = connection.execute(select(*untyped_times(sessions.c)).where(of_session(sessions, key)))
    row = rows.mappings().first()
    return None if row is None else _opened(row, _SESSION_JSON, key, (), cipher)


def read_history(
    connection: Connection, key: SessionKey, after_version: int, limit: int, cipher: Cipher
) -> list[dict[str, Any]]:
    """Return what the rows of the session's events after a version hold, by column.

    Raises:
        MissingKey: a value is sealed with a key that is not there.
    """
    column = session_history.c
    query = select(*untyped_times(session_history.c)).where(
        of_session(session_history, key), column.version > after_version
    )
    rows = connection.execute(query.order_by(column.version).limit(limit)).mappings()
    return [_opened(row, _HISTORY_JSON, key, (row["version"],), cipher) for row in rows]


def read_set_aside(connection: Connection, after: SessionKey | None, limit: int) -> list[dict[str, Any]]:
    """Return the next sessions that were set aside, by their names: whose, when they began and changed."""
    column = sessions.c
    chosen = [each for each in untyped_times(sessions.c) if each.name in _LISTED]
    query = select(*chosen).where(column.user_id.contains(SET_ASIDE, autoescape=True))
    if after is not None:
        query = query.where(after_key(sessions, after))
    rows = connection.execute(query.order_by(column.user_id, column.survey_id).limit(limit)).mappings()
    return [{str(name): _shown(name, value) for name, value in row.items()} for row in rows]


def _opened(
    row: Mapping[Any, Any], places: Mapping[str, str], key: SessionKey, version: tuple[int, ...], cipher: Cipher
) -> dict[str, Any]:
    return {
        str(name): _value(value, (places[name], *key, *version), cipher) if name in places else _shown(name, value)
        for name, value in row.items()
    }


def _value(text: str | None, place: ValueLocation, cipher: Cipher) -> Any:  # noqa: ANN401 - JSON is decoded here
    if text is None:
        return None
    try:
        value = loads(cipher.decrypt(text, place))
    except ValueError:  # no JSON, or a seal that is broken
        return text
    if place[0] == DATA and isinstance(value, dict):
        value.pop(FINGERPRINT, None)
    return value


def _shown(name: str, value: Any) -> Any:  # noqa: ANN401 - a column's value
    """A time as doors show it, if it is one; all else as it is."""
    if name not in TIMES:
        return value
    try:
        return format_timestamp(from_datetime(value))
    except (ValueError, TypeError):
        return value
