"""Sessions a page at a time, with filters, and without reading more than a bounded part of the table.

A page holds the sessions that fit the filters among the next EXAMINED of the order. So a filter that few
sessions fit needs no index of its own, which each turn would pay for, and no request can occupy the database
for long; a page may hold fewer than were asked for, even none, and its cursor leads on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, or_, select

from app.errors import InvalidInput
from app.store.models import sessions
from app.store.rows import SessionKey, from_time, to_time

EXAMINED = 5000
"""Sessions that are looked at for one page, at most: some 5 ms on SQLite."""


class Cursor(NamedTuple):
    """Where a page ended. ``updated_at`` (microseconds since 1970 UTC) where the order is by time."""

    user_id: str
    survey_id: str
    updated_at: int | None = None


class Page(NamedTuple):
    """Keys of sessions in order, and where the next page begins; None after the last one."""

    keys: list[SessionKey]
    following: Cursor | None


def read_page(
    connection: Connection,
    *,
    after: Cursor | None,
    limit: int,
    filters: Mapping[str, Any],
    updated_since: int | None,
    at: int,
) -> Page:
    """Return the next sessions: in the order of their keys, or of their last change with ``updated_since``.

    Args:
        filters: columns that must be equal; ``status`` is the one at the time ``at``.

    Raises:
        InvalidInput: the cursor is of a list in the other order.
    """
    order = _order(sessions, updated_since)
    examined = _following(updated_since, after).order_by(*order).limit(EXAMINED if filters else limit)
    if not filters:
        rows = connection.execute(examined).all()
        return Page(_keys(rows), _cursor(rows[-1], updated_since) if len(rows) == limit else None)
    part = examined.subquery()
    fitting = select(part).where(*_conditions(part, filters, at)).order_by(*_order(part, updated_since)).limit(limit)
    rows = connection.execute(fitting).all()
    if len(rows) == limit:
        return Page(_keys(rows), _cursor(rows[-1], updated_since))
    last = connection.execute(examined.limit(1).offset(EXAMINED - 1)).first()
    return Page(_keys(rows), _cursor(last, updated_since) if last is not None else None)


def read_keys(connection: Connection, user_id: str, limit: int) -> list[SessionKey]:
    """Return the keys of a participant's sessions."""
    column = sessions.c
    query = select(column.user_id, column.survey_id).where(column.user_id == user_id)
    return _keys(connection.execute(query.order_by(column.survey_id).limit(limit)).all())


def _following(updated_since: int | None, after: Cursor | None) -> Select[Any]:
    c = sessions.c
    query = select(c.user_id, c.survey_id, c.updated_at, c.status, c.expires_at, c.current_step)
    if updated_since is not None:
        query = query.where(c.updated_at >= to_time(updated_since))
    if after is None:
        return query
    if (after.updated_at is None) != (updated_since is None):
        raise InvalidInput("the cursor is of another list: begin again without it")
    # The first condition is in the second one already; it is what MariaDB takes as the index's range.
    later = or_(c.user_id > after.user_id, and_(c.user_id == after.user_id, c.survey_id > after.survey_id))
    if after.updated_at is None:
        return query.where(c.user_id >= after.user_id, later)
    then = to_time(after.updated_at)
    return query.where(c.updated_at >= then, or_(c.updated_at > then, and_(c.updated_at == then, later)))


def _order(source: FromClause, updated_since: int | None) -> Sequence[ColumnElement[Any]]:
    key = (source.c.user_id, source.c.survey_id)
    return key if updated_since is None else (source.c.updated_at, *key)


def _conditions(source: FromClause, filters: Mapping[str, Any], at: int) -> list[ColumnElement[bool]]:
    return [
        _has_status(source, str(value), at) if name == "status" else source.c[name] == value
        for name, value in filters.items()
    ]


def _has_status(source: FromClause, status: str, at: int) -> ColumnElement[bool]:
    """A session whose time is over is expired before anything says so in its row."""
    column = source.c
    over = and_(column.status == "in_progress", column.expires_at.is_not(None), column.expires_at <= to_time(at))
    if status == "expired":
        return or_(column.status == status, over)
    return and_(column.status == status, ~over)


def _keys(rows: Sequence[Any]) -> list[SessionKey]:
    return [SessionKey(row.survey_id, row.user_id) for row in rows]


def _cursor(row: Any, updated_since: int | None) -> Cursor:  # noqa: ANN401 - a row
    return Cursor(row.user_id, row.survey_id, None if updated_since is None else from_time(row.updated_at))
