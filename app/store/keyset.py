"""Walks over all sessions, a page at a time: in the order of their keys, and as they lie in the database."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, FromClause, String, and_, or_, type_coerce

from ..survey import SessionKey

TIMES = frozenset({"created_at", "updated_at", "completed_at", "expires_at", "timestamp"})


def after_key(table: FromClause, key: SessionKey) -> ColumnElement[bool]:
    """Whether a row belongs to a session that comes after this one; by user id, then by survey id."""
    # The first condition is in the second one already; it is what MariaDB takes as the index's range.
    column = table.c
    in_user = and_(column.user_id == key.user_id, column.survey_id > key.survey_id)
    return and_(column.user_id >= key.user_id, or_(column.user_id > key.user_id, in_user))


def of_session(table: FromClause, key: SessionKey) -> ColumnElement[bool]:
    """Whether a row belongs to this session."""
    return and_(table.c.user_id == key.user_id, table.c.survey_id == key.survey_id)


def untyped_times(columns: Iterable[Any]) -> Iterator[Any]:
    """Yield the columns without SQLAlchemy's types for times.

    A time that somebody wrote by hand makes its session unreadable then, and not all others that are read with it.
    """
    for column in columns:
        yield type_coerce(column, String()).label(column.name) if column.name in TIMES else column
