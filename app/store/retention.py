"""Sessions that have not changed for longer than their survey retains them, found and erased in small transactions.

Expiry is no change: retention counts from the participant's last activity. A session with very many events is erased in
several transactions, so that none delays a turn for long: :func:`blank` makes it unreadable, so that a returning
participant starts anew; :func:`trim_history` erases events; then the session goes. Every function takes a connection
whose transaction its caller owns.
"""

import secrets
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, case, delete, func, or_, select, update

from ..core.timestamps import to_datetime
from ..survey import Expired, SessionKey
from . import audit, erasures
from .erasure_journal import SALT_BYTES
from .history import erase
from .keyset import after_key, any_of, of_session
from .tables import session_history, sessions

Cutoffs = Mapping[str, int]
"""By survey, the time, microseconds since 1970 UTC; sessions unchanged since then are stale."""

BLANKED_ANSWERS = "~erased~"
"""Answers of a session being erased: no JSON, which makes it unreadable."""


class StaleSession(NamedTuple):
    """A session past its retention.

    Attributes:
        is_blanked: its erasure has begun.
    """

    key: SessionKey
    version: int
    is_blanked: bool = False


class Scan(NamedTuple):
    """Sessions in key order: their number, the last key, and the stale ones."""

    size: int
    last: SessionKey | None
    old: list[StaleSession]


def scan(connection: Connection, after: SessionKey | None, cutoffs: Cutoffs, limit: int) -> Scan:
    """Return the next sessions, in key order."""
    column = sessions.c
    query = _query(cutoffs)
    if after is not None:
        query = query.where(after_key(sessions, after))
    rows = connection.execute(query.order_by(column.user_id, column.survey_id).limit(limit)).all()
    old = [_stale_session(row) for row in rows if row.is_stale]
    return Scan(len(rows), SessionKey(*rows[-1][:2]) if rows else None, old)


def blank(connection: Connection, session: StaleSession, cutoffs: Cutoffs) -> bool:
    """Remove the answers of a session that is still stale and unchanged; return whether it was."""
    if not _still_stale(connection, [session], cutoffs):
        return False
    values = {"answers": BLANKED_ANSWERS, "step_history": "[]", "drafts": None, "session_data": None}
    connection.execute(update(sessions).where(of_session(sessions, session.key)).values(values))
    return True


def trim_history(connection: Connection, session: StaleSession, cutoffs: Cutoffs, limit: int) -> bool:
    """Erase the oldest events of a blanked session; return whether more than ``limit`` may be left."""
    stale = _still_stale(connection, [session], cutoffs)
    if not (stale and stale[0].is_blanked):
        return False
    column, is_session = session_history.c, of_session(session_history, session.key)
    versions = select(column.version).where(is_session).order_by(column.version)
    up_to = connection.execute(versions.limit(1).offset(limit - 1)).scalar()
    if up_to is None:
        return False
    connection.execute(delete(session_history).where(is_session, column.version <= up_to))
    return True


class Purge:
    """The erasure of stale sessions: work for ``SessionStore.run_transaction``; can be retried.

    Each is checked again under its lock: a session that was answered stays, and so does one whose version differs from
    when it was found (and perhaps archived).

    Args:
        at: microseconds since 1970 UTC, for the erasures and the audit log.
        actor: for the audit log.
    """

    def __init__(self, stale: Sequence[StaleSession], cutoffs: Cutoffs, *, at: int, actor: str) -> None:
        self._stale = stale
        self._cutoffs = cutoffs
        self._at = at
        self._actor = actor
        self._new_salt = secrets.token_hex(SALT_BYTES)
        self._attempted: set[SessionKey] = set()

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Erase; return the keys erased by this attempt, or by an earlier one whose outcome was unknown."""
        locked = _lock(connection, self._stale)
        old = sorted(session.key for session in _still_stale(connection, self._stale, self._cutoffs))
        for key in old:
            erase(connection, key)
        for survey_id, keys in groupby(old, key=lambda key: key.survey_id):
            self._record(connection, survey_id, len(list(keys)))
        erasures.anonymise_purged(connection, old, self._new_salt)
        erased_before = self._attempted - locked
        self._attempted.update(old)
        return sorted(erased_before.union(old))

    def _record(self, connection: Connection, survey_id: str, count: int) -> None:
        erasures.add_purge(connection, survey_id, count, self._at)
        detail = {"sessions": count}
        entry = audit.AuditEntry(
            at=self._at, actor=self._actor, action="sessions_purged", survey_id=survey_id, detail=detail
        )
        audit.record(connection, entry)


def _lock(connection: Connection, stale: Sequence[StaleSession]) -> set[SessionKey]:
    """Return the sessions that exist, locked until the transaction ends."""
    query = select(sessions.c.survey_id, sessions.c.user_id).where(any_of(sessions, (session.key for session in stale)))
    rows = connection.execute(query.order_by(sessions.c.user_id, sessions.c.survey_id).with_for_update())
    return {SessionKey(row.survey_id, row.user_id) for row in rows}


def _still_stale(connection: Connection, stale: Sequence[StaleSession], cutoffs: Cutoffs) -> list[StaleSession]:
    """Return, locked, the sessions that are still stale and unchanged."""
    # Read again after locking: the snapshot of a read that waited for a lock is older than the wait.
    _lock(connection, stale)
    versions = {session.key: session.version for session in stale}
    rows = connection.execute(_query(cutoffs).where(any_of(sessions, versions)))
    still_stale = [_stale_session(row) for row in rows if row.is_stale]
    return [session for session in still_stale if versions[session.key] == session.version]


def _query(cutoffs: Cutoffs) -> Select[Any]:
    column = sessions.c
    is_blanked = case((column.answers == BLANKED_ANSWERS, 1), else_=0).label("is_blanked")
    return select(column.survey_id, column.user_id, column.version, is_blanked, _is_stale(cutoffs).label("is_stale"))


def _stale_session(row: Any) -> StaleSession:  # noqa: ANN401 - a row
    return StaleSession(SessionKey(row.survey_id, row.user_id), row.version, bool(row.is_blanked))


def _is_stale(cutoffs: Cutoffs) -> ColumnElement[int]:
    """Return SQL for 1 if a session is stale or its erasure has begun, 0 if not or if its time is unknown."""
    # Compared by the database: SQLAlchemy can't read a time edited by hand, and would fail for all sessions.
    changed_at = _changed_at()
    # A blanked session was stale; the events that show it may have been erased.
    is_blanked = sessions.c.answers == BLANKED_ANSWERS
    is_stale = (
        and_(sessions.c.survey_id == survey, or_(is_blanked, changed_at < to_datetime(at)))
        for survey, at in cutoffs.items()
    )
    return case((or_(*is_stale), 1), else_=0)


def _changed_at() -> ColumnElement[Any]:
    """Return SQL for the participant's last activity: for an expired session, the event before the expiry."""
    event = session_history.c
    own = func.coalesce(sessions.c.updated_at, sessions.c.created_at)
    last = (
        select(event.timestamp)
        .where(event.user_id == sessions.c.user_id, event.survey_id == sessions.c.survey_id)
        .where(event.action != Expired.action)
        .order_by(event.version.desc())
        .limit(1)
        .correlate(sessions)
        .scalar_subquery()
    )
    return case((sessions.c.status == "expired", func.coalesce(last, own)), else_=own)
