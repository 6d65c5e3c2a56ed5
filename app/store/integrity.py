"""Sessions and the replay of their histories. Read-only."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, select

from ..errors import UnreadableHere
from ..survey import SessionKey, SessionState, Started, apply, from_record
from .encryption import Cipher
from .keyset import Page, after, after_key, of_session, up_to
from .rows import RECORD_COLUMNS, STATE_COLUMNS, Row, StoredSession, parse_record, parse_state
from .tables import session_history, sessions

EVENTS_A_PAGE = 1000  # in memory at once; each can be a draft of 64 KiB
_VERSION = [column.name for column in STATE_COLUMNS].index("version")


@dataclass(slots=True, kw_only=True)
class ReplayedHistory:
    """The replay of a session's history."""

    state: SessionState | None = None  # None if there are no events, or one can't be read
    last_version: int = 0
    first_missing: int | None = None  # first version missing before the last
    has_start: bool = False  # not so for an adopted session
    problem: str | None = None
    unreadable_here: UnreadableHere | None = None  # a key is not configured, or another release wrote an event

    def apply(self, row: Row, key: SessionKey, cipher: Cipher) -> None:
        version = int(row[0])
        if version != self.last_version + 1 and self.first_missing is None:
            self.first_missing = self.last_version + 1
        self.last_version = version
        if self.problem is not None or self.unreadable_here is not None:
            return
        try:
            event = from_record(parse_record(row, key, cipher))
            if self.state is None:
                self.has_start = isinstance(event, Started)
            self.state = apply(self.state, event)
        except UnreadableHere as error:
            self.state, self.unreadable_here = None, error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.state, self.problem = None, f"{type(error).__name__} in version {version} of its history"


class SessionAndReplay(NamedTuple):
    """A session, its version column, and its replay."""

    key: SessionKey
    stored: StoredSession | None
    version: int
    replay: ReplayedHistory


def read_page(
    connection: Connection, survey_id: str | None, after: SessionKey | None, limit: int, cipher: Cipher
) -> Page[SessionAndReplay, SessionKey]:
    """Return sessions, and histories between them without session."""
    rows = _rows(connection, _conditions(sessions, survey_id, after, None), limit)
    last = SessionKey(rows[-1][1], rows[-1][0]) if len(rows) == limit else None
    replays = dict(_replays(connection, _conditions(session_history, survey_id, after, last), cipher))
    pairs = [_pair(row, replays.pop(SessionKey(row[1], row[0]), None), cipher) for row in rows]
    orphans = [SessionAndReplay(key, None, 0, replay) for key, replay in replays.items()]
    return Page(pairs + orphans, last)


def read_session(connection: Connection, key: SessionKey, cipher: Cipher, *, locked: bool) -> SessionAndReplay:
    rows = _rows(connection, [of_session(sessions, key)], 1, locked=locked)
    replay = dict(_replays(connection, [of_session(session_history, key)], cipher)).get(key)
    return _pair(rows[0], replay, cipher) if rows else SessionAndReplay(key, None, 0, replay or ReplayedHistory())


def _pair(row: Row, replay: ReplayedHistory | None, cipher: Cipher) -> SessionAndReplay:
    key, stored = SessionKey(row[1], row[0]), parse_state(row, cipher)
    return SessionAndReplay(key, stored, int(row[_VERSION]), replay or ReplayedHistory())


def _rows(connection: Connection, where: list[ColumnElement[bool]], limit: int, *, locked: bool = False) -> list[Row]:
    query = select(*STATE_COLUMNS).where(*where).limit(limit)
    query = query.order_by(sessions.c.user_id, sessions.c.survey_id)
    return [tuple(row) for row in connection.execute(query.with_for_update() if locked else query)]


def _replays(
    connection: Connection, where: list[ColumnElement[bool]], cipher: Cipher
) -> Iterator[tuple[SessionKey, ReplayedHistory]]:
    for key, rows in groupby(_events(connection, where), lambda row: SessionKey(row[1], row[0])):
        replay = ReplayedHistory()
        for row in rows:
            replay.apply(row[2:], key, cipher)
        yield key, replay


def _events(connection: Connection, where: list[ColumnElement[bool]]) -> Iterator[Row]:
    # Page by page: a server-side cursor needs a transaction, which PostgreSQL's readers do not have.
    column = session_history.c
    columns = (column.user_id, column.survey_id, column.version)
    query = select(*columns[:2], *RECORD_COLUMNS).where(*where).order_by(*columns).limit(EVENTS_A_PAGE)
    last: Row = ()
    while True:
        rows = [tuple(row) for row in connection.execute(query.where(after(columns, last)))]
        yield from rows
        if len(rows) < EVENTS_A_PAGE:
            return
        last = rows[-1][:3]


def _conditions(
    table: FromClause, survey_id: str | None, after: SessionKey | None, last: SessionKey | None
) -> list[ColumnElement[bool]]:
    column = table.c
    conditions: list[ColumnElement[bool]] = [] if survey_id is None else [column.survey_id == survey_id]
    if after is not None:
        conditions.append(after_key(table, after))
    if last is not None:
        conditions.append(up_to((column.user_id, column.survey_id), (last.user_id, last.survey_id)))
    return conditions
