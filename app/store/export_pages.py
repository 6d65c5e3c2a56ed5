"""The sessions of one survey whole, and their events, a page at a time in the order of their keys.

What an export reads: each session once, however many change meanwhile, and no more than a page in memory. A page
holds what fits among the next EXAMINED sessions of all surveys, so no statement occupies the database for long. Times
are taken as the database has them: one that somebody wrote by hand makes its session unreadable, not the page.
Every function works on a connection whose transaction its caller owns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, func, or_, select

from ..core.timestamps import to_datetime
from ..errors import SessionUnreadable
from ..survey import SessionKey, Status
from .encryption import Cipher
from .keyset import after_key, untyped_times
from .rows import ENTRY_COLUMNS, STATE_COLUMNS, HistoryEntry, StoredSession, parse_entry, parse_state
from .sessions import SCAN_LIMIT, has_status
from .tables import session_history, sessions

SESSIONS_A_PAGE = 500
EVENTS_A_PAGE = 500
"""Events that are held in memory at once: each can be a draft of 64 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions of a survey are meant; times are microseconds since 1970 UTC.

    Attributes:
        at: the time at which ``status`` is looked at.
        since, until: of when a session began; ``until`` itself is not in it.
        updated_since: of when it changed last.
        is_audio_mode: the mode that it is in.
    """

    survey_id: str
    at: int
    status: Status | None = None
    since: int | None = None
    until: int | None = None
    updated_since: int | None = None
    is_audio_mode: bool | None = None


class Page(NamedTuple):
    """Sessions in the order of their user ids, set-aside ones among them, and where the next page begins."""

    stored: list[tuple[SessionKey, StoredSession]]
    following: SessionKey | None


class Event(NamedTuple):
    """An event, or why it can't be read, of the session of ``user_id``."""

    user_id: str
    version: int
    entry: HistoryEntry | SessionUnreadable


def count_matching(connection: Connection, session_filter: SessionFilter) -> int:
    """Return how many sessions are meant, with those that can't be read."""
    query = select(func.count()).select_from(sessions).where(*_conditions(session_filter))
    return cast("int", connection.execute(query).scalar())


def read_sessions(
    connection: Connection, session_filter: SessionFilter, after: SessionKey | None, cipher: Cipher
) -> Page:
    """Return the next sessions that are meant; one that can't be read as why."""
    column = sessions.c
    keys = select(column.user_id, column.survey_id).order_by(column.user_id, column.survey_id)
    later = () if after is None else (after_key(sessions, after),)
    end = connection.execute(keys.where(*later).limit(1).offset(SCAN_LIMIT - 1)).first()
    fitting = select(*untyped_times(STATE_COLUMNS)).where(*later, *_conditions(session_filter)).order_by(column.user_id)
    if end is not None:
        fitting = fitting.where(column.user_id <= end.user_id)
    rows = [tuple(row) for row in connection.execute(fitting.limit(SESSIONS_A_PAGE))]
    stored = [(SessionKey(row[1], row[0]), parse_state(row, cipher)) for row in rows]
    if len(rows) == SESSIONS_A_PAGE:
        return Page(stored, stored[-1][0])
    # The last user's session of this survey is in the page, also where that survey comes after the window's last one.
    return Page(stored, None if end is None else SessionKey(max(end.survey_id, session_filter.survey_id), end.user_id))


def read_events(
    connection: Connection, keys: Sequence[SessionKey], after: tuple[str, int] | None, cipher: Cipher
) -> list[Event]:
    """Return the next events of these sessions of one survey: by user id, oldest first.

    Args:
        after: user id and version of the last event before.
    """
    column = session_history.c
    users = [key.user_id for key in keys if after is None or key.user_id >= after[0]]
    query = select(column.user_id, *untyped_times(ENTRY_COLUMNS)).where(
        column.survey_id == keys[0].survey_id, column.user_id.in_(users)
    )
    if after is not None:
        query = query.where(or_(column.user_id > after[0], column.version > after[1]))
    rows = connection.execute(query.order_by(column.user_id, column.version).limit(EVENTS_A_PAGE))
    return [_event(tuple(row), keys[0].survey_id, cipher) for row in rows]


def _conditions(session_filter: SessionFilter) -> Iterator[ColumnElement[bool]]:
    column = sessions.c
    yield column.survey_id == session_filter.survey_id
    if session_filter.status is not None:
        yield has_status(sessions, session_filter.status, session_filter.at)
    if session_filter.since is not None:
        yield column.created_at >= to_datetime(session_filter.since)
    if session_filter.until is not None:
        yield column.created_at < to_datetime(session_filter.until)
    if session_filter.updated_since is not None:
        yield column.updated_at >= to_datetime(session_filter.updated_since)
    if session_filter.is_audio_mode is not None:
        # NULL, which adopted sessions may have, is read as text mode.
        yield (func.coalesce(column.is_audio_mode, 0) != 0) == session_filter.is_audio_mode


def _event(row: tuple[Any, ...], survey_id: str, cipher: Cipher) -> Event:
    user_id, _, version, *_ = row
    try:
        return Event(user_id, version, parse_entry(row[1:], SessionKey(survey_id, user_id), cipher))
    except (ValueError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__} in its history"
        return Event(user_id, version, SessionUnreadable(survey_id, user_id, problem))
