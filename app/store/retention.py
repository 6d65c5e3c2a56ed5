"""Sessions that have not changed for longer than their survey keeps them, found and erased in small parts.

That a session expired is no change: its age counts from what a person last did to it. A session of very many events is
erased in several transactions, so that none holds up a turn: first it is emptied (:func:`empty`), which nobody can
read or go on with, a participant who comes back begins anew, then it loses its events (:func:`trim`), then it goes.
Every function works on a connection whose transaction its caller owns.
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
"""By survey, the time, microseconds since 1970 UTC, since which a session must have changed to be kept."""

BLANKED_ANSWERS = "~erased~"
"""The answers of a session that is being erased. No JSON: whoever reads it takes it for one that can't be read."""


class StaleSession(NamedTuple):
    """A session that is too old.

    Attributes:
        version: how many events it has had.
        is_emptied: an erasure of it has begun.
    """

    key: SessionKey
    version: int
    is_blanked: bool = False


class Scan(NamedTuple):
    """A part of all sessions: how many they are, the last one, and which of them are too old."""

    size: int
    last: SessionKey | None
    old: list[StaleSession]


def scan(connection: Connection, after: SessionKey | None, cutoffs: Cutoffs, limit: int) -> Scan:
    """Look at the next sessions of all, in the order of their keys."""
    column = sessions.c
    query = _aged(cutoffs)
    if after is not None:
        query = query.where(after_key(sessions, after))
    rows = connection.execute(query.order_by(column.user_id, column.survey_id).limit(limit)).all()
    old = [_aged_of(row) for row in rows if row.is_old]
    return Scan(len(rows), SessionKey(*rows[-1][:2]) if rows else None, old)


def blank(connection: Connection, one: StaleSession, cutoffs: Cutoffs) -> bool:
    """Take the answers from a session that is still too old and as it was found; return whether it was."""
    if not _still_old(connection, [one], cutoffs):
        return False
    values = {"answers": BLANKED_ANSWERS, "step_history": "[]", "drafts": None, "session_data": None}
    connection.execute(update(sessions).where(of_session(sessions, one.key)).values(values))
    return True


def trim_history(connection: Connection, one: StaleSession, cutoffs: Cutoffs, limit: int) -> bool:
    """Erase the oldest events of an emptied session; return whether there may be more than ``limit`` left."""
    found = _still_old(connection, [one], cutoffs)
    if not (found and found[0].is_blanked):
        return False
    column, mine = session_history.c, of_session(session_history, one.key)
    versions = select(column.version).where(mine).order_by(column.version)
    upto = connection.execute(versions.limit(1).offset(limit - 1)).scalar()
    if upto is None:
        return False
    connection.execute(delete(session_history).where(mine, column.version <= upto))
    return True


class Purge:
    """The erasure of some sessions for their age: work for ``SessionStore.write``, tried again or not.

    Each is asked again, locked: one that has just been answered stays, and so does any that is at another version than
    it was found at (and perhaps archived).

    Args:
        at: microseconds since 1970 UTC, for the list of erasures and the audit log.
        actor: for the audit log.
    """

    def __init__(self, aged: Sequence[StaleSession], cutoffs: Cutoffs, *, at: int, actor: str) -> None:
        self._aged = aged
        self._cutoffs = cutoffs
        self._at = at
        self._actor = actor
        self._new_salt = secrets.token_hex(SALT_BYTES)
        self._tried: set[SessionKey] = set()

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Erase; return the keys of what was erased, by this try or by one before whose outcome was not known."""
        there = _lock(connection, self._aged)
        old = sorted(one.key for one in _still_old(connection, self._aged, self._cutoffs))
        for key in old:
            erase(connection, key)
        for survey_id, keys in groupby(old, key=lambda key: key.survey_id):
            self._note(connection, survey_id, len(list(keys)))
        erasures.anonymise_purged(connection, old, self._new_salt)
        erased_before = self._tried - there
        self._tried.update(old)
        return sorted(erased_before.union(old))

    def _note(self, connection: Connection, survey_id: str, count: int) -> None:
        erasures.add_purge(connection, survey_id, count, self._at)
        detail = {"sessions": count}
        entry = audit.AuditEntry(
            at=self._at, actor=self._actor, action="sessions_purged", survey_id=survey_id, detail=detail
        )
        audit.record(connection, entry)


def _lock(connection: Connection, aged: Sequence[StaleSession]) -> set[SessionKey]:
    """Return those sessions that there are, held until the transaction ends."""
    query = select(sessions.c.survey_id, sessions.c.user_id).where(any_of(sessions, (one.key for one in aged)))
    rows = connection.execute(query.order_by(sessions.c.user_id, sessions.c.survey_id).with_for_update())
    return {SessionKey(row.survey_id, row.user_id) for row in rows}


def _still_old(connection: Connection, aged: Sequence[StaleSession], cutoffs: Cutoffs) -> list[StaleSession]:
    """Return, locked, those that are too old, and at the version at which they were found."""
    # Read again once they are held: a read that waited for a lock may know the history only as it was before.
    _lock(connection, aged)
    versions = {one.key: one.version for one in aged}
    rows = connection.execute(_aged(cutoffs).where(any_of(sessions, versions)))
    found = [_aged_of(row) for row in rows if row.is_old]
    return [one for one in found if versions[one.key] == one.version]


def _aged(cutoffs: Cutoffs) -> Select[Any]:
    column = sessions.c
    is_blanked = case((column.answers == BLANKED_ANSWERS, 1), else_=0).label("is_blanked")
    return select(column.survey_id, column.user_id, column.version, is_blanked, _is_old(cutoffs).label("is_old"))


def _aged_of(row: Any) -> StaleSession:  # noqa: ANN401 - a row
    return StaleSession(SessionKey(row.survey_id, row.user_id), row.version, bool(row.is_blanked))


def _is_old(cutoffs: Cutoffs) -> ColumnElement[int]:
    """1 for a session that is too old or whose erasure has begun, 0 for one that is not, or whose time nobody knows."""
    # Compared by the database: a time that somebody wrote by hand can't be read by SQLAlchemy, and fails all.
    changed_at = _changed_at()
    # One that is emptied was too old; of the events that said so, some are gone.
    is_blanked = sessions.c.answers == BLANKED_ANSWERS
    is_old = (
        and_(sessions.c.survey_id == survey, or_(is_blanked, changed_at < to_datetime(at)))
        for survey, at in cutoffs.items()
    )
    return case((or_(*is_old), 1), else_=0)


def _changed_at() -> ColumnElement[Any]:
    """When somebody last changed the session; of one that expired, the event before that says it."""
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
