"""Open sessions' deadlines, which the survey decides; ``sessions.expires_at``, for lists, follows."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, select, update

from ..core.timestamps import from_datetime
from ..survey import SessionKey
from .encryption import SET_ASIDE
from .keyset import Chunk, next_sessions
from .tables import sessions, untyped_times


class OpenSession(NamedTuple):
    """A session in progress, as stored."""

    key: SessionKey
    revision: str | None
    version: int
    updated_at: int
    expires_at: int | None


def read_chunk(connection: Connection, after: SessionKey | None, limit: int) -> Chunk[OpenSession]:
    c = sessions.c
    columns = (c.survey_id, c.user_id, c.status, c.survey_revision, c.version, c.updated_at, c.expires_at)
    rows = connection.execute(next_sessions(select(*untyped_times(columns)), after, limit)).all()
    open_sessions = []
    for row in rows:
        if row.status == "in_progress" and SET_ASIDE not in row.user_id:
            key = SessionKey(row.survey_id, row.user_id)
            with suppress(ValueError, TypeError):  # a time edited by hand
                expires_at = None if row.expires_at is None else from_datetime(row.expires_at)
                updated_at = from_datetime(row.updated_at)
                open_sessions.append(OpenSession(key, row.survey_revision, row.version, updated_at, expires_at))
    return Chunk(len(rows), SessionKey(*rows[-1][:2]) if rows else None, open_sessions)


def update_deadlines(connection: Connection, corrections: Sequence[OpenSession]) -> None:
    c = sessions.c
    is_session = and_(c.user_id == bindparam("of_user"), c.survey_id == bindparam("of_survey"))
    is_unchanged = and_(is_session, c.version == bindparam("of_version"), c.status == "in_progress")
    values = [
        {
            "of_user": session.key.user_id,
            "of_survey": session.key.survey_id,
            "of_version": session.version,
            "expires_at": session.expires_at,
        }
        for session in corrections
    ]
    connection.execute(update(sessions).where(is_unchanged), values)
