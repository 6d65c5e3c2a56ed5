"""Open sessions and their deadlines, read and corrected in chunks.

``sessions.expires_at`` is for lists; the survey decides. They differ after a change of STEPKEEP_EXPIRES_AFTER, until
:func:`update_deadlines`.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, select, update

from ..core.timestamps import from_datetime, to_datetime
from ..survey import SessionKey
from .encryption import SET_ASIDE
from .keyset import after_key, untyped_times
from .tables import sessions


class OpenSession(NamedTuple):
    """A session in progress, as stored.

    Attributes:
        expires_at: None if it does not expire.
    """

    key: SessionKey
    revision: str | None
    version: int
    updated_at: int
    expires_at: int | None


class Chunk(NamedTuple):
    """Number of sessions, the last key, and those in progress."""

    size: int
    last: SessionKey | None
    unfinished: list[OpenSession]


class DeadlineUpdate(NamedTuple):
    """A session's correct deadline, valid for this version."""

    key: SessionKey
    version: int
    expires_at: int | None


def read_chunk(connection: Connection, after: SessionKey | None, limit: int) -> Chunk:
    """Return the next sessions, except those set aside or with unreadable times."""
    c = sessions.c
    columns = (c.survey_id, c.user_id, c.status, c.survey_revision, c.version, c.updated_at, c.expires_at)
    query = select(*untyped_times(columns))
    if after is not None:
        query = query.where(after_key(sessions, after))
    rows = connection.execute(query.order_by(c.user_id, c.survey_id).limit(limit)).all()
    open_sessions = []
    for row in rows:
        if row.status == "in_progress" and SET_ASIDE not in row.user_id:
            key = SessionKey(row.survey_id, row.user_id)
            with suppress(ValueError, TypeError):  # a time edited by hand
                expires_at = None if row.expires_at is None else from_datetime(row.expires_at)
                open_sessions.append(
                    OpenSession(key, row.survey_revision, row.version, from_datetime(row.updated_at), expires_at)
                )
    return Chunk(len(rows), SessionKey(*rows[-1][:2]) if rows else None, open_sessions)


def update_deadlines(connection: Connection, corrections: Sequence[DeadlineUpdate]) -> None:
    """Store deadlines of sessions still unchanged."""
    c = sessions.c
    is_session = and_(c.user_id == bindparam("of_user"), c.survey_id == bindparam("of_survey"))
    statement = (
        update(sessions)
        .where(is_session, c.version == bindparam("of_version"), c.status == "in_progress")
        .values(expires_at=bindparam("to_expires_at"))
    )
    values = [
        {
            "of_user": deadline.key.user_id,
            "of_survey": deadline.key.survey_id,
            "of_version": deadline.version,
            "to_expires_at": None if deadline.expires_at is None else to_datetime(deadline.expires_at),
        }
        for deadline in corrections
    ]
    connection.execute(statement, values)
