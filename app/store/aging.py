"""Sessions that have not changed for longer than their survey keeps them, found and erased in small parts.

Every function works on a connection whose transaction its caller owns.
"""

import secrets
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from app.store import audit, erasure_rows, erasures
from app.store.erasure_list import SALT_BYTES
from app.store.history import erase
from app.store.models import sessions
from app.store.rows import SessionKey, to_time

Cutoffs = Mapping[str, int]
"""By survey, the time, microseconds since 1970 UTC, since which a session must have changed to be kept."""


class Examined(NamedTuple):
    """A part of all sessions: how many they are, the last one, and which of them are too old."""

    size: int
    last: SessionKey | None
    old: list[SessionKey]


def examine(connection: Connection, after: SessionKey | None, cutoffs: Cutoffs, limit: int) -> Examined:
    """Look at the next sessions of all, in the order of their keys."""
    column = sessions.c
    query = select(column.survey_id, column.user_id, _is_old(cutoffs).label("is_old"))
    if after is not None:
        is_later = and_(column.user_id == after.user_id, column.survey_id > after.survey_id)
        query = query.where(column.user_id >= after.user_id, or_(column.user_id > after.user_id, is_later))
    rows = connection.execute(query.order_by(column.user_id, column.survey_id).limit(limit)).all()
    old = [SessionKey(survey_id, user_id) for survey_id, user_id, is_old in rows if is_old]
    return Examined(len(rows), SessionKey(*rows[-1][:2]) if rows else None, old)


class Purge:
    """The erasure of some sessions for their age: work for ``SessionStore.write``, tried again or not.

    Each is asked again, locked: one that has just been answered stays.

    Args:
        at: microseconds since 1970 UTC, for the list of erasures and the audit log.
        actor: for the audit log.
    """

    def __init__(self, keys: Sequence[SessionKey], cutoffs: Cutoffs, *, at: int, actor: str) -> None:
        self._keys = keys
        self._cutoffs = cutoffs
        self._at = at
        self._actor = actor
        self._new_salt = secrets.token_hex(SALT_BYTES)
        self._tried: set[SessionKey] = set()

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Erase; return the keys of what was erased, by this try or by one before whose outcome was not known."""
        found = _locked(connection, self._keys, self._cutoffs)
        old = sorted(key for key, is_old in found.items() if is_old)
        for key in old:
            erase(connection, key)
        for survey_id, keys in groupby(old, key=lambda key: key.survey_id):
            self._note(connection, survey_id, len(list(keys)))
        erasures.forget_names(connection, old, self._new_salt)
        erased_before = self._tried - found.keys()
        self._tried.update(old)
        return sorted(erased_before.union(old))

    def _note(self, connection: Connection, survey_id: str, count: int) -> None:
        erasure_rows.add_purge(connection, survey_id, count, self._at)
        detail = {"sessions": count}
        entry = audit.Entry(
            at=self._at, actor=self._actor, action="sessions_purged", survey_id=survey_id, detail=detail
        )
        audit.record(connection, entry)


def _locked(connection: Connection, keys: Sequence[SessionKey], cutoffs: Cutoffs) -> dict[SessionKey, bool]:
    """Return those sessions that there are and whether each is too old, held until the transaction ends."""
    column = sessions.c
    by_survey: dict[str, list[str]] = {}
    for key in keys:
        by_survey.setdefault(key.survey_id, []).append(key.user_id)
    wanted = (and_(column.user_id.in_(users), column.survey_id == survey) for survey, users in by_survey.items())
    query = select(column.survey_id, column.user_id, _is_old(cutoffs).label("is_old")).where(or_(*wanted))
    rows = connection.execute(query.order_by(column.user_id, column.survey_id).with_for_update())
    return {SessionKey(row.survey_id, row.user_id): bool(row.is_old) for row in rows}


def _is_old(cutoffs: Cutoffs) -> ColumnElement[int]:
    """1 for a session that is too old, 0 for one that is not, or whose time nobody knows."""
    # Compared by the database: a time that somebody wrote by hand can't be read by SQLAlchemy, and fails all.
    changed_at = func.coalesce(sessions.c.updated_at, sessions.c.created_at)
    is_old = (and_(sessions.c.survey_id == survey, changed_at < to_time(at)) for survey, at in cutoffs.items())
    return case((or_(*is_old), 1), else_=0)
