"""Keyset pagination by user id, then survey id, the order in which all writers lock."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, String, and_, or_, true, type_coerce

from ..survey import SessionKey
from .encryption import SET_ASIDE

Position = TypeVar("Position")
Item = TypeVar("Item")
T = TypeVar("T")

TIMES = frozenset({"created_at", "updated_at", "completed_at", "expires_at", "timestamp"})


class Run(Protocol):
    """Runs a function in a transaction of its own, e.g. ``SessionStore.run_read``."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


def pages(
    run: Run,
    read: Callable[[Connection, Position], Sequence[Item]],
    start: Position,
    cursor: Callable[[Item], Position],
    limit: int | None = None,
) -> Iterator[Sequence[Item]]:
    """Yield pages until one is empty or, with ``limit``, shorter than that.

    Args:
        run: called for each page, so nothing is held between two.
        cursor: returns the cursor past an item.
        limit: None reads on after a short page.
    """
    while page := run(partial(_flipped, read, start)):
        yield page
        if limit is not None and len(page) < limit:
            return
        start = cursor(page[-1])


def _flipped(read: Callable[[Connection, Position], T], cursor: Position, connection: Connection) -> T:
    return read(connection, cursor)


def after(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of rows beyond these values, which may be fewer than the columns or none.

    The bound of the first column is implied, but is the range that MariaDB reads from the index.
    """
    if not values:
        return true()
    column, value = columns[0], values[0]
    beyond: ColumnElement[bool] = column > value
    return and_(column >= value, or_(beyond, after(columns[1:], values[1:]))) if values[1:] else beyond


def up_to(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of the other rows; of all if there are no values."""
    if not values:
        return true()
    column, value = columns[0], values[0]
    within: ColumnElement[bool] = column <= value
    return and_(within, or_(column < value, up_to(columns[1:], values[1:]))) if values[1:] else within


def after_key(table: FromClause, key: SessionKey) -> ColumnElement[bool]:
    """Return the condition of later sessions' rows."""
    return after((table.c.user_id, table.c.survey_id), (key.user_id, key.survey_id))


def up_to_key(table: FromClause, key: SessionKey) -> ColumnElement[bool]:
    """Return the condition of rows up to this session."""
    return up_to((table.c.user_id, table.c.survey_id), (key.user_id, key.survey_id))


def of_session(table: FromClause, key: SessionKey) -> ColumnElement[bool]:
    """Return the condition of this session's rows."""
    return and_(table.c.user_id == key.user_id, table.c.survey_id == key.survey_id)


def any_of(table: FromClause, keys: Iterable[SessionKey]) -> ColumnElement[bool]:
    """Return the condition of these sessions' rows; at least one session."""
    users: dict[str, list[str]] = {}
    for key in keys:
        users.setdefault(key.survey_id, []).append(key.user_id)
    return or_(*(and_(table.c.user_id.in_(ids), table.c.survey_id == survey) for survey, ids in users.items()))


def belongs_to(column: ColumnElement[Any], user_id: str) -> ColumnElement[bool]:
    """Return the condition of the participant's sessions, those set aside included.

    A range, because ``_`` and ``%`` are LIKE's wildcards; ids contain no ``~``.
    """
    prefix = f"{user_id}{SET_ASIDE}"
    end = f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"
    return or_(column == user_id, and_(column >= prefix, column < end))


def owner_of(user_id: str) -> str:
    """Return the participant's id, also of a session set aside."""
    return user_id.partition(SET_ASIDE)[0]


def untyped_times(columns: Iterable[Any]) -> Iterator[Any]:
    """Yield the columns without SQLAlchemy's types for times.

    Otherwise one time edited by hand would make the whole result unreadable.
    """
    for column in columns:
        yield type_coerce(column, String()).label(column.name) if column.name in TIMES else column
