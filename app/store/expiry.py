"""Unfinished sessions and when their time is over, read and corrected in small parts.

``sessions.expires_at`` says it for lists and counts; what decides is the survey (``flow.status_at``). The two differ
where STEPKEEP_EXPIRES_AFTER was changed since a session's last change, until :func:`correct`.
Every function works on a connection whose transaction its caller owns.
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
    """A session that is under way, as its row says it.

    Attributes:
        updated_at: microseconds since 1970 UTC.
        expires_at: as ``updated_at``; None where nothing ends it.
    """

    key: SessionKey
    revision: str | None
    version: int
    updated_at: int
    expires_at: int | None


class Chunk(NamedTuple):
    """A part of all sessions: how many they are, the last one, and those of them that are unfinished."""

    size: int
    last: SessionKey | None
    unfinished: list[OpenSession]


class DeadlineUpdate(NamedTuple):
    """When a session's time is over, as its survey says it now, for as long as the session is at this version."""

    key: SessionKey
    version: int
    expires_at: int | None


def read_chunk(connection: Connection, after: SessionKey | None, limit: int) -> Chunk:
    """Return the next sessions of all, in the order of their keys.

    Left out are those that were set aside, and those with a time that can't be read.
    """
    c = sessions.c
    columns = (c.survey_id, c.user_id, c.status, c.survey_revision, c.version, c.updated_at, c.expires_at)
    query = select(*untyped_times(columns))
    if after is not None:
        query = query.where(after_key(sessions, after))
    rows = connection.execute(query.order_by(c.user_id, c.survey_id).limit(limit)).all()
    found = []
    for row in rows:
        if row.status == "in_progress" and SET_ASIDE not in row.user_id:
            key = SessionKey(row.survey_id, row.user_id)
            with suppress(ValueError, TypeError):  # a time that somebody wrote by hand
                expires_at = None if row.expires_at is None else from_datetime(row.expires_at)
                found.append(
                    OpenSession(key, row.survey_revision, row.version, from_datetime(row.updated_at), expires_at)
                )
    return Chunk(len(rows), SessionKey(*rows[-1][:2]) if rows else None, found)


def update_deadlines(connection: Connection, corrections: Sequence[DeadlineUpdate]) -> None:
    """Let rows say when their sessions' time is over; one that has changed since says so by itself."""
    c = sessions.c
    mine = and_(c.user_id == bindparam("of_user"), c.survey_id == bindparam("of_survey"))
    statement = (
        update(sessions)
        .where(mine, c.version == bindparam("of_version"), c.status == "in_progress")
        .values(expires_at=bindparam("to_expires_at"))
    )
    values = [
        {
            "of_user": one.key.user_id,
            "of_survey": one.key.survey_id,
            "of_version": one.version,
            "to_expires_at": None if one.expires_at is None else to_datetime(one.expires_at),
        }
        for one in corrections
    ]
    connection.execute(statement, values)
