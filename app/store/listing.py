"""Sessions a page at a time, with filters, and without reading more than a bounded part of the table.

A page holds the sessions that fit the filters among the next EXAMINED of the order (of changes: of events). So a
filter that few sessions fit needs no index of its own, which each turn would pay for, and no request can occupy
the database for long; a page may hold fewer than were asked for, even none, and its cursor leads on.

An event's time is when its command arrived, a moment before it was committed: who polls for changes begins
again from some seconds (STEPKEEP_QUEUE_TIMEOUT_S at most) before his last poll, and meets a few sessions twice.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Select, Subquery, and_, or_, select

from ..core.timestamps import from_datetime, to_datetime
from ..errors import InvalidInput
from ..survey import SessionKey
from .keyset import after_key
from .tables import session_history, sessions

SCAN_LIMIT = 5000
"""Sessions, or events, that are looked at for one page, at most: some 5 ms on SQLite."""

_AFTER_ALL = "\U0010ffff"
"""Sorts after each other character, in UTF-8 byte by byte."""


class Cursor(NamedTuple):
    """Where a page ended: at a session's key or, in the order of changes, at an event."""

    user_id: str = ""
    survey_id: str = ""
    event: tuple[int, int] | None = None
    """The event's time, microseconds since 1970 UTC, and its id."""


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
        filters: columns that must be equal; ``status`` is the one at the time ``at``, and ``user_id_prefix`` is what
            ``user_id`` begins with: one range of the key, so that others are not looked at.

    Raises:
        InvalidInput: the cursor is of a list in the other order.
    """
    if after is not None and (after.event is None) != (updated_since is None):
        raise InvalidInput("the cursor is of another list: begin again without it")
    by_key = updated_since is None
    filters, prefix = dict(filters), filters.get("user_id_prefix")
    if by_key:
        filters.pop("user_id_prefix", None)
    examined = _sessions_after(after, prefix) if updated_since is None else _events_after(updated_since, after)
    # The end first, then what fits up to there: what is erased or begun between the two moves no window.
    end = connection.execute(examined.limit(1).offset(SCAN_LIMIT - 1)).first() if filters or not by_key else None
    part = (examined if end is None else examined.where(_up_to(end, by_key=by_key))).order_by(None).subquery()
    if by_key:
        fitting = select(part).where(*_conditions(part, filters, at)).order_by(part.c.user_id, part.c.survey_id)
    else:
        fitting = _last_events(part).where(*_conditions(sessions, filters, at)).order_by(part.c.updated_at, part.c.id)
    rows = connection.execute(fitting.limit(limit)).all()
    last = rows[-1] if len(rows) == limit else end
    keys = [SessionKey(row.survey_id, row.user_id) for row in rows]
    return Page(keys, None if last is None else _cursor(last, updated_since))


def read_keys(connection: Connection, user_id: str, limit: int) -> list[SessionKey]:
    """Return the keys of a participant's sessions."""
    column = sessions.c
    query = select(column.user_id, column.survey_id).where(column.user_id == user_id)
    rows = connection.execute(query.order_by(column.survey_id).limit(limit))
    return [SessionKey(row.survey_id, row.user_id) for row in rows]


def _sessions_after(after: Cursor | None, prefix: str | None) -> Select[Any]:
    c = sessions.c
    query = select(c.user_id, c.survey_id, c.status, c.expires_at, c.current_step).order_by(c.user_id, c.survey_id)
    if prefix is not None:
        query = query.where(_begins_with(c.user_id, prefix))
    return query if after is None else query.where(after_key(sessions, SessionKey(after.survey_id, after.user_id)))


def _events_after(since: int, after: Cursor | None) -> Select[Any]:
    c = session_history.c
    query = select(c.user_id, c.survey_id, c.version, c.id, c.timestamp.label("updated_at")).order_by(c.timestamp, c.id)
    if after is None or after.event is None:
        return query.where(c.timestamp >= to_datetime(since))
    at, number = to_datetime(after.event[0]), after.event[1]
    return query.where(c.timestamp >= at, or_(c.timestamp > at, and_(c.timestamp == at, c.id > number)))


def _up_to(end: Any, *, by_key: bool) -> ColumnElement[bool]:  # noqa: ANN401 - a row
    if by_key:
        c = sessions.c
        before = or_(c.user_id < end.user_id, and_(c.user_id == end.user_id, c.survey_id <= end.survey_id))
        return and_(c.user_id <= end.user_id, before)
    e = session_history.c
    before = or_(e.timestamp < end.updated_at, and_(e.timestamp == end.updated_at, e.id <= end.id))
    return and_(e.timestamp <= end.updated_at, before)


def _last_events(part: Subquery) -> Select[Any]:
    """Of these events those that are the last of their session: each session once, where its last change was."""
    mine = and_(part.c.user_id == sessions.c.user_id, part.c.survey_id == sessions.c.survey_id)
    return select(part).join(sessions, and_(mine, part.c.version == sessions.c.version))


def _conditions(source: FromClause, filters: Mapping[str, Any], at: int) -> list[ColumnElement[bool]]:
    return [_condition(source, name, value, at) for name, value in filters.items()]


def _condition(source: FromClause, name: str, value: object, at: int) -> ColumnElement[bool]:
    if name == "status":
        return status_condition(source, str(value), at)
    if name == "user_id_prefix":
        return _begins_with(source.c.user_id, str(value))
    return source.c[name] == value


def _begins_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """As a range and not by LIKE: keys are compared byte by byte, and an index can follow."""
    return and_(column >= prefix, column < prefix + _AFTER_ALL)


def status_condition(source: FromClause, status: str, at: int) -> ColumnElement[bool]:
    """A session whose time is over is expired before anything says so in its row."""
    column = source.c
    over = and_(column.status == "in_progress", column.expires_at.is_not(None), column.expires_at <= to_datetime(at))
    if status == "expired":
        return or_(column.status == status, over)
    return and_(column.status == status, ~over)


def _cursor(row: Any, updated_since: int | None) -> Cursor:  # noqa: ANN401 - a row
    if updated_since is None:
        return Cursor(row.user_id, row.survey_id)
    return Cursor(event=(from_datetime(row.updated_at), row.id))
