"""Keyset pagination in the order in which all writers lock."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import accumulate
from operator import add
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, LargeBinary, Select, and_, cast, func, or_, true

from ..survey import SessionKey
from .encryption import SET_ASIDE
from .tables import sessions

Position = TypeVar("Position")
Item = TypeVar("Item")
T = TypeVar("T")

# Of stored texts in a page of sessions or events: in memory several times, as rows, values and JSON.
PAGE_BYTES = 2 * 2**20


class Page(NamedTuple, Generic[Item, Position]):
    """Items in order, and the next cursor, if any."""

    items: list[Item]
    following: Position | None


class Chunk(NamedTuple, Generic[Item]):
    """The number of sessions examined, the last key, and what was found."""

    size: int
    last: SessionKey | None
    items: list[Item]


class Run(Protocol):
    """Runs a function in a transaction of its own."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


def pages(
    run: Run,
    read: Callable[[Connection, Position], Sequence[Item]],
    start: Position,
    cursor: Callable[[Item], Position],
    limit: int | None = None,
) -> Iterator[Sequence[Item]]:
    """Yield pages until one is empty or shorter than ``limit``."""

    def read_next(connection: Connection) -> Sequence[Item]:
        return read(connection, start)

    while page := run(read_next):
        yield page
        if limit is not None and len(page) < limit:
            return
        start = cursor(page[-1])


def after(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of rows beyond these values; of all rows if there are none."""
    if not values:
        return true()
    column, value = columns[0], values[0]
    # The bound of the first column is implied, but is the range that MariaDB reads from the index.
    beyond: ColumnElement[bool] = column > value
    return and_(column >= value, or_(beyond, after(columns[1:], values[1:]))) if values[1:] else beyond


def up_to(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of the other rows."""
    if not values:
        return true()
    column, value = columns[0], values[0]
    within: ColumnElement[bool] = column <= value
    return and_(within, or_(column < value, up_to(columns[1:], values[1:]))) if values[1:] else within


def before(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of rows short of these values."""
    return and_(up_to(columns, values), or_(*(column != value for column, value in zip(columns, values, strict=True))))


def after_key(table: FromClause, key: SessionKey) -> ColumnElement[bool]:
    return after((table.c.user_id, table.c.survey_id), (key.user_id, key.survey_id))


def next_sessions(query: Select[Any], after: SessionKey | None, limit: int) -> Select[Any]:
    if after is not None:
        query = query.where(after_key(sessions, after))
    return query.order_by(sessions.c.user_id, sessions.c.survey_id).limit(limit)


def text_size(connection: Connection, columns: Iterable[ColumnElement[Any]]) -> ColumnElement[int]:
    """Return the columns' bytes."""
    is_sqlite = connection.dialect.name == "sqlite"  # octet_length is too new there
    sizes = (func.length(cast(column, LargeBinary)) if is_sqlite else func.octet_length(column) for column in columns)
    return reduce(add, (func.coalesce(size, 0) for size in sizes))


def fitting(sizes: Iterable[int]) -> int:
    """Return how many items fit into PAGE_BYTES; at least 1, so that paging never stops."""
    return max(1, sum(total <= PAGE_BYTES for total in accumulate(sizes)))


def of_session(table: FromClause, key: SessionKey) -> ColumnElement[bool]:
    return and_(table.c.user_id == key.user_id, table.c.survey_id == key.survey_id)


def users_by_survey(keys: Iterable[SessionKey]) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for key in keys:
        users.setdefault(key.survey_id, []).append(key.user_id)
    return users


def any_of(table: FromClause, keys: Iterable[SessionKey]) -> ColumnElement[bool]:
    users = users_by_survey(keys).items()
    return or_(*(and_(table.c.user_id.in_(ids), table.c.survey_id == survey) for survey, ids in users))


def belongs_to(table: FromClause, user_id: str, survey_id: str | None = None) -> ColumnElement[bool]:
    """Return the condition of the participant's rows, also of sessions set aside."""
    prefix = f"{user_id}{SET_ASIDE}"  # a range, because ``_`` and ``%`` are LIKE's wildcards
    end = f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"
    column = table.c.user_id
    is_participant = or_(column == user_id, and_(column >= prefix, column < end))
    return is_participant if survey_id is None else and_(is_participant, table.c.survey_id == survey_id)


def owner_of(user_id: str) -> str:
    """Return the participant's id, without SET_ASIDE."""
    return user_id.partition(SET_ASIDE)[0]
