"""Sessions past their survey's retention, found and erased in small transactions.

So that none delays turns, a session with very many events is first made unreadable (:func:`blank`), and a returning
participant starts a new one; then :func:`trim_history` erases events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, case, delete, func, or_, select, update

from ..survey import Expired, SessionKey
from . import audit, erasures
from .history import erase
from .keyset import Chunk, any_of, next_sessions, of_session
from .tables import session_history, sessions

Cutoffs = Mapping[str, int]  # by survey; sessions unchanged since are stale
BLANKED_ANSWERS = "~erased~"  # no JSON, hence unreadable: the session is being erased


class StaleSession(NamedTuple):
    """A session past its retention."""

    key: SessionKey
    version: int
    is_blanked: bool = False  # its erasure has begun


def scan(connection: Connection, after: SessionKey | None, cutoffs: Cutoffs, limit: int) -> Chunk[StaleSession]:
    rows = connection.execute(next_sessions(_query(cutoffs), after, limit)).all()
    old = [_stale_session(row) for row in rows if row.is_stale]
    return Chunk(len(rows), SessionKey(*rows[-1][:2]) if rows else None, old)


def blank(connection: Connection, session: StaleSession, cutoffs: Cutoffs) -> bool:
    if not _still_stale(connection, [session], cutoffs):
        return False
    values = {"answers": BLANKED_ANSWERS, "step_history": "[]", "drafts": None, "session_data": None, "context": None}
    connection.execute(update(sessions).where(of_session(sessions, session.key)).values(values))
    return True


def trim_history(connection: Connection, session: StaleSession, cutoffs: Cutoffs, limit: int) -> bool:
    """Erase a blanked session's ``limit`` oldest events; return False if it has fewer."""
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


@dataclass(slots=True)
class Purge:
    """The erasure of stale sessions: retryable work. Those that have changed since they were found stay."""

    stale: Sequence[StaleSession]
    cutoffs: Cutoffs
    at: int
    actor: str
    _attempted: set[SessionKey] = field(default_factory=set, init=False)

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Return the keys erased, also by an earlier attempt with unknown outcome."""
        locked = _lock(connection, self.stale)
        old = sorted(session.key for session in _still_stale(connection, self.stale, self.cutoffs))
        for key in old:
            erase(connection, key)
        # Before the first entry: other writers wait for the audit log's head, and erasures lock it last.
        erasures.anonymise_purged(connection, old)
        for survey_id, keys in groupby(old, key=lambda key: key.survey_id):
            count = len(list(keys))
            erasures.add_purge(connection, survey_id, count, self.at)
            entry = audit.AuditEntry(
                at=self.at, actor=self.actor, action="sessions_purged", survey_id=survey_id, detail={"sessions": count}
            )
            audit.record(connection, entry)
        erased_before = self._attempted - locked
        self._attempted.update(old)
        return sorted(erased_before.union(old))


def _lock(connection: Connection, stale: Sequence[StaleSession]) -> set[SessionKey]:
    query = select(sessions.c.survey_id, sessions.c.user_id).where(any_of(sessions, (session.key for session in stale)))
    rows = connection.execute(query.order_by(sessions.c.user_id, sessions.c.survey_id).with_for_update())
    return {SessionKey(row.survey_id, row.user_id) for row in rows}


def _still_stale(connection: Connection, stale: Sequence[StaleSession], cutoffs: Cutoffs) -> list[StaleSession]:
    # Again: the snapshot of a read that waited for a lock is older.
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
    # SQLAlchemy would fail for all sessions on a time edited by hand.
    changed_at = _changed_at()
    # It was stale; the events that showed it may be erased.
    is_blanked = sessions.c.answers == BLANKED_ANSWERS
    is_stale = (
        and_(sessions.c.survey_id == survey, or_(is_blanked, changed_at < at)) for survey, at in cutoffs.items()
    )
    return case((or_(*is_stale), 1), else_=0)


def _changed_at() -> ColumnElement[Any]:
    """Return SQL for the last activity, from which retention counts; an expiry is no activity."""
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
