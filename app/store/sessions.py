"""Rows of sessions. Pages hold the matches among SCAN_LIMIT rows: filters need no index, which would slow turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Select, Subquery, and_, asc, case, desc, func, or_, select

from ..errors import InvalidInput, OtherRelease
from ..survey import SessionKey
from . import keyset
from .encryption import SET_ASIDE, Cipher
from .keyset import Page, after_key, any_of, before, next_sessions, up_to
from .rows import STATE_COLUMNS, STATUSES, StoredSessions, parse_state
from .tables import session_history, sessions

SCAN_LIMIT = 5000  # examined for one page: about 5 ms on SQLite
# The columns that take most of a session's bytes.
TEXTS = tuple(sessions.c[name] for name in ("answers", "step_history", "session_data", "drafts", "context"))
_AFTER_ALL = "\U0010ffff"  # sorts after all other characters in UTF-8


class Cursor(NamedTuple):
    """Where a page ended."""

    user_id: str = ""
    survey_id: str = ""
    event: tuple[int, int] | None = None  # time and id


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyCount:
    """A survey's sessions by status, without those set aside."""

    survey_id: str
    in_progress: int
    completed: int
    expired: int
    changed_at: int | None  # their last change


def read_states(connection: Connection, keys: Sequence[SessionKey], *, cipher: Cipher, locked: bool) -> StoredSessions:
    query = select(*STATE_COLUMNS).where(any_of(sessions, keys)).order_by(sessions.c.user_id, sessions.c.survey_id)
    rows = map(tuple, connection.execute(query.with_for_update() if locked else query))
    return {SessionKey(row[1], row[0]): parse_state(row, cipher) for row in rows}


def read_versions(connection: Connection, keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    versions: dict[SessionKey, int] = {}
    # On the driver itself: Core takes twice as long.
    for survey_id, user_ids in keyset.users_by_survey(keys).items():
        marks = ", ".join([mark] * len(user_ids))
        query = f"SELECT user_id, version FROM sessions WHERE survey_id = {mark} AND user_id IN ({marks})"  # noqa: S608 - marks only
        rows = connection.exec_driver_sql(query, (survey_id, *user_ids))
        versions |= {SessionKey(survey_id, user_id): version for user_id, version in rows}
    return versions


def read_keys(connection: Connection, after: SessionKey | None, limit: int) -> list[SessionKey]:
    column = sessions.c
    query = next_sessions(select(column.survey_id, column.user_id), after, limit)
    return [SessionKey(*row) for row in connection.execute(query)]


def read_keys_of_user(connection: Connection, user_id: str, limit: int) -> list[SessionKey]:
    column = sessions.c
    query = select(column.survey_id, column.user_id).where(column.user_id == user_id)
    return [SessionKey(*row) for row in connection.execute(query.order_by(column.survey_id).limit(limit))]


def read_page(  # noqa: PLR0913 - a page has a place, a size, filters and an order
    connection: Connection,
    *,
    after: Cursor | None,
    limit: int,
    filters: Mapping[str, Any],
    updated_since: int | None,
    newest_first: bool,
    at: int,
) -> Page[SessionKey, Cursor]:
    """Return the next sessions, by key or, with ``updated_since`` or ``newest_first``, by last change.

    An event's time is before its commit: poll from some seconds before the last poll, and expect duplicates. With
    ``newest_first``, a session that changes moves to the first page. Raise InvalidInput for the other order's cursor.
    """
    is_by_change = updated_since is not None or newest_first
    if after is not None and (after.event is None) == is_by_change:
        raise InvalidInput("The cursor belongs to another list; start without a cursor.")
    filters = dict(filters)
    if is_by_change:
        scanned, order = _events(updated_since, after, newest_first=newest_first)
    else:
        scanned, order = _sessions_after(after, filters.pop("user_id_prefix", None))
    direction = desc if newest_first else asc
    # The window's end first: concurrent changes do not move it.
    last_scanned = scanned.order_by(*map(direction, order)).limit(1).offset(SCAN_LIMIT - 1)
    end = connection.execute(last_scanned).first() if filters or is_by_change else None
    if end is not None:
        scanned = scanned.where(~before(order, end[:2]) if newest_first else up_to(order, end[:2]))
    window = scanned.subquery()
    matches, source = (_last_events(window), sessions) if is_by_change else (select(window), window)
    matches = matches.where(*(_condition(source, name, value, at) for name, value in filters.items()))
    rows = connection.execute(matches.order_by(*map(direction, list(window.c)[:2])).limit(limit)).all()
    keys = [SessionKey(row.survey_id, row.user_id) for row in rows]
    if keys and (count := keyset.fitting(_sizes(connection, keys))) < len(keys):
        limit, rows, keys = count, rows[:count], keys[:count]
    last = rows[-1] if len(rows) == limit else end
    if last is None:
        return Page(keys, None)
    return Page(keys, Cursor(event=(last[0], last[1])) if is_by_change else Cursor(*last[:2]))


def _sizes(connection: Connection, keys: Sequence[SessionKey]) -> list[int]:
    column = sessions.c
    query = select(column.survey_id, column.user_id, keyset.text_size(connection, TEXTS)).where(any_of(sessions, keys))
    sizes = {SessionKey(survey_id, user_id): size for survey_id, user_id, size in connection.execute(query)}
    return [sizes.get(key, 0) for key in keys]


def count_sessions(connection: Connection, survey_id: str | None = None) -> int:
    query = select(func.count()).select_from(sessions)
    if survey_id is not None:
        query = query.where(sessions.c.survey_id == survey_id)
    return connection.execute(query).scalar_one()


def count_by_survey(connection: Connection, at: int) -> list[SurveyCount]:
    """Return all surveys' counts, or raise OtherRelease. Not for polling: a million sessions take half a second."""
    column = sessions.c
    query = select(
        column.survey_id,
        *(
            func.count(case((has_status(sessions, status, at), 1))).label(status)
            for status in ("in_progress", "completed", "expired")
        ),
        func.max(column.updated_at).label("changed_at"),
        func.max(case((column.status.not_in(STATUSES), column.status))).label("unknown"),
    )
    is_set_aside = column.user_id.contains(SET_ASIDE, autoescape=True)
    rows = connection.execute(query.where(~is_set_aside).group_by(column.survey_id).order_by(column.survey_id))
    counts = [row._asdict() for row in rows]
    if unknown := [status for count in counts if (status := count.pop("unknown")) is not None]:
        raise OtherRelease(f"The status {unknown[0]!r} of a session is of another release.")
    return [SurveyCount(**count) for count in counts]


def has_status(source: FromClause, status: str, at: int) -> ColumnElement[bool]:
    """Return the condition of a status; past its deadline, a session is expired before its row says so."""
    column = source.c
    is_overdue = and_(column.status == "in_progress", column.expires_at.is_not(None), column.expires_at <= at)
    if status == "expired":
        return or_(column.status == status, is_overdue)
    if status == "in_progress":
        return and_(column.status == status, ~is_overdue)
    return column.status == status


# A query, and the columns that order it, which are its first two.
Scanned = tuple[Select[Any], tuple[ColumnElement[Any], ColumnElement[Any]]]


def _sessions_after(after: Cursor | None, prefix: str | None) -> Scanned:
    c = sessions.c
    query = select(c.user_id, c.survey_id, c.status, c.expires_at, c.current_step)
    if prefix is not None:
        query = query.where(_begins_with(c.user_id, prefix))
    if after is not None:
        query = query.where(after_key(sessions, SessionKey(after.survey_id, after.user_id)))
    return query, (c.user_id, c.survey_id)


def _events(since: int | None, after: Cursor | None, *, newest_first: bool) -> Scanned:
    c = session_history.c
    order = (c.timestamp, c.id)
    query = select(c.timestamp.label("updated_at"), c.id, c.user_id, c.survey_id, c.version)
    query = query.where(c.timestamp.is_not(None) if since is None else c.timestamp >= since)
    if after is not None and after.event is not None:
        query = query.where((before if newest_first else keyset.after)(order, after.event))
    return query, order


def _last_events(window: Subquery) -> Select[Any]:
    # So that each session appears once.
    same = and_(window.c.user_id == sessions.c.user_id, window.c.survey_id == sessions.c.survey_id)
    return select(window).join(sessions, and_(same, window.c.version == sessions.c.version))


def _condition(source: FromClause, name: str, value: object, at: int) -> ColumnElement[bool]:
    if name == "status":
        return has_status(source, str(value), at)
    if name == "user_id_prefix":
        return _begins_with(source.c.user_id, str(value))
    column: ColumnElement[Any] = source.c[name]
    return column.in_(sorted(value)) if isinstance(value, frozenset) else column == value


def _begins_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    # A range: compared byte by byte, and served by an index.
    return and_(column >= prefix, column < prefix + _AFTER_ALL)
