"""A survey's sessions and events, page by page, for exports: each session once.

A page holds the matches among SCAN_LIMIT sessions of all surveys, so no statement takes long.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, or_, select

from ..errors import SessionUnreadable
from ..survey import SessionKey, Status
from .encryption import Cipher
from .keyset import Page, after_key, fitting, text_size
from .rows import ENTRY_COLUMNS, STATE_COLUMNS, HistoryEntry, StoredSession, parse_entry, parse_state
from .sessions import SCAN_LIMIT, TEXTS, has_status
from .tables import session_history, sessions

SESSIONS_A_PAGE = 500
# Or fewer: a page ends at PAGE_BYTES. The drivers of PostgreSQL and MariaDB fetch all rows of a statement at once.
EVENTS_A_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Filter of a survey's sessions."""

    survey_id: str
    at: int  # when ``status`` counts
    status: Status | None = None
    since: int | None = None  # of the session's start, as ``until``, which is exclusive
    until: int | None = None
    updated_since: int | None = None
    is_audio_mode: bool | None = None


class Event(NamedTuple):
    """An event, or why it can't be read."""

    user_id: str
    version: int
    entry: HistoryEntry | SessionUnreadable


def count_matching(connection: Connection, session_filter: SessionFilter) -> int:
    query = select(func.count()).select_from(sessions).where(*_conditions(session_filter))
    return connection.execute(query).scalar_one()


def read_sessions(
    connection: Connection, session_filter: SessionFilter, after: SessionKey | None, cipher: Cipher
) -> Page[tuple[SessionKey, StoredSession], SessionKey]:
    column = sessions.c
    keys = select(column.user_id, column.survey_id).order_by(column.user_id, column.survey_id)
    later = () if after is None else (after_key(sessions, after),)
    end = connection.execute(keys.where(*later).limit(1).offset(SCAN_LIMIT - 1)).first()
    matching = select(*STATE_COLUMNS).where(*later, *_conditions(session_filter)).order_by(column.user_id)
    if end is not None:
        matching = matching.where(column.user_id <= end.user_id)
    sizes = matching.with_only_columns(column.user_id, text_size(connection, TEXTS)).limit(SESSIONS_A_PAGE)
    found = connection.execute(sizes).all()
    count = fitting(size for _, size in found)
    is_full = count < len(found) or count == SESSIONS_A_PAGE
    if is_full:  # by the key: another transaction may have changed the matches
        matching = matching.where(column.user_id <= found[count - 1].user_id)
    rows = map(tuple, connection.execute(matching))
    stored = [(SessionKey(row[1], row[0]), parse_state(row, cipher)) for row in rows]
    if is_full:
        return Page(stored, SessionKey(session_filter.survey_id, found[count - 1].user_id))
    # The last user's session of this survey is in the page even if it sorts behind the window's end.
    return Page(stored, None if end is None else SessionKey(max(end.survey_id, session_filter.survey_id), end.user_id))


def read_events(
    connection: Connection, keys: Sequence[SessionKey], after: tuple[str, int] | None, cipher: Cipher
) -> list[Event]:
    column, survey_id = session_history.c, keys[0].survey_id
    users = [key.user_id for key in keys if after is None or key.user_id >= after[0]]
    query = select(column.user_id, *ENTRY_COLUMNS).where(column.survey_id == survey_id, column.user_id.in_(users))
    if after is not None:
        query = query.where(or_(column.user_id > after[0], column.version > after[1]))
    query = query.order_by(column.user_id, column.version).limit(EVENTS_A_PAGE)
    sizes = query.with_only_columns(text_size(connection, (column.answer, column.data)))
    rows = connection.execute(query.limit(fitting(connection.execute(sizes).scalars())))
    return [_event(tuple(row), survey_id, cipher) for row in rows]


def _conditions(session_filter: SessionFilter) -> Iterator[ColumnElement[bool]]:
    column = sessions.c
    yield column.survey_id == session_filter.survey_id
    if session_filter.status is not None:
        yield has_status(sessions, session_filter.status, session_filter.at)
    if session_filter.since is not None:
        yield column.created_at >= session_filter.since
    if session_filter.until is not None:
        yield column.created_at < session_filter.until
    if session_filter.updated_since is not None:
        yield column.updated_at >= session_filter.updated_since
    if session_filter.is_audio_mode is not None:
        # NULL, in adopted sessions, means text.
        yield (func.coalesce(column.is_audio_mode, 0) != 0) == session_filter.is_audio_mode


def _event(row: tuple[Any, ...], survey_id: str, cipher: Cipher) -> Event:
    user_id, _, version, *_ = row
    try:
        return Event(user_id, version, parse_entry(row[1:], SessionKey(survey_id, user_id), cipher))
    except (ValueError, TypeError, AttributeError) as error:
        return Event(user_id, version, SessionUnreadable(survey_id, user_id, f"{type(error).__name__} in its history"))
