"""How many sessions each survey has, by their status. One query on a connection that its caller owns.

It reads the whole table (no index would help, and each turn would pay for it): on SQLite about half a second for a
million sessions, each time, because nothing is kept. So it is for people, not for polling.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, not_, select

from ..core.timestamps import from_datetime, to_datetime
from .encryption import SET_ASIDE
from .tables import sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyCount:
    """A survey's sessions; none of those that were set aside.

    Attributes:
        changed_at: when the last of them changed, microseconds since 1970 UTC; None: that is not known.
    """

    survey_id: str
    in_progress: int
    completed: int
    expired: int
    changed_at: int | None


def count_by_survey(connection: Connection, at: int) -> list[SurveyCount]:
    """Return the counts of all surveys that have sessions, by id.

    Args:
        at: the time now, microseconds since 1970 UTC: a session whose time is over is expired before its row says so.
    """
    column = sessions.c
    over = and_(column.status == "in_progress", column.expires_at.is_not(None), column.expires_at <= to_datetime(at))
    query = select(
        column.survey_id,
        func.sum(case((and_(column.status == "in_progress", not_(over)), 1), else_=0)).label("in_progress"),
        func.sum(case((column.status == "completed", 1), else_=0)).label("completed"),
        func.sum(case((column.status == "expired", 1), (over, 1), else_=0)).label("expired"),
        func.max(column.updated_at).label("changed_at"),
    )
    is_set_aside = column.user_id.contains(SET_ASIDE, autoescape=True)
    rows = connection.execute(query.where(not_(is_set_aside)).group_by(column.survey_id).order_by(column.survey_id))
    return [
        SurveyCount(
            survey_id=row.survey_id,
            in_progress=int(row.in_progress),
            completed=int(row.completed),
            expired=int(row.expired),
            changed_at=None if row.changed_at is None else from_datetime(row.changed_at),
        )
        for row in rows
    ]
