"""A survey's sessions and events in a compact form for analytics: joined texts take a third of the time of rows."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Select, String, case, cast, func, null, select, text, type_coerce

from .sessions import has_status
from .tables import session_history, sessions

CODES = 16
# An action's code is its position.
ACTIONS = (
    "started",
    "restarted",
    "answered",
    "went_back",
    "went_to",
    "saved",
    "drafted",
    "mode_set",
    "language_set",
    "noted",
    "expired",
)
OTHER = CODES - 1  # an action that this release does not know
# The most frequent first: the database compares in order.
_CODES = {action: code for code, action in sorted(enumerate(ACTIONS), key=lambda one: one[1] != "answered")}
LONGEST_TEXT = 256 * 1024 * 1024  # bytes of a session; MariaDB's default, 1 MiB, truncates
TIME_WIDTH = 26  # as ``2026-11-24 16:00:00.123456``, padded with spaces
NO_TIME = -(2**62)
SESSIONS_A_ROW = 50  # at most 50 MB

_HYPHENS = [4, 7]
_POINT = 19
_MAY_BE_BLANK = [11, 12, 14, 15, 17, 18, 20, 21, 22, 23, 24, 25]
_DIGITS = [0, 1, 2, 3, 5, 6, 8, 9, *_MAY_BE_BLANK]


class EventColumns(NamedTuple):
    """Events by session, unordered within."""

    user_ids: Sequence[str]
    counts: Sequence[int]  # events of each session
    codes: str  # version * CODES + code of the action, comma-separated
    steps: str  # JSON strings or ``null``, comma-separated
    times: str  # TIME_WIDTH characters each


class SessionRow(NamedTuple):
    """A session's columns for analytics."""

    user_id: str
    version: int
    current_step: str
    answers: str  # perhaps encrypted, as the context
    step_history: str
    started_at: int | None
    completed_at: int | None
    mode: str
    revision: str | None
    status: str
    context: str | None


def read_sessions(
    connection: Connection, survey_id: str, at: int, after: str | None, limit: int, *, has_context: bool
) -> list[SessionRow]:
    column = sessions.c
    query = select(
        column.user_id,
        column.version,
        column.current_step,
        column.answers,
        column.step_history,
        _padded_time(connection, column.created_at).label("started_at"),
        _padded_time(connection, column.completed_at).label("completed_at"),
        case((column.is_audio_mode != 0, "audio"), else_="text").label("mode"),
        column.survey_revision,
        case((has_status(sessions, "expired", at), "expired"), else_=column.status).label("status"),
        (column.context if has_context else null()).label("context"),
    ).where(column.survey_id == survey_id)
    if after is not None:
        query = query.where(column.user_id > after)
    rows = _rows(connection, query.order_by(column.user_id).limit(limit))
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for place, name in enumerate(SessionRow._fields if columns else ()):
        if name.endswith("_at"):
            times = parse_times("".join(columns[place])).tolist()
            columns[place] = [None if time == NO_TIME else time for time in times]
    return [SessionRow(*row) for row in zip(*columns, strict=True)]


def read_event_columns(
    connection: Connection, survey_id: str, first: str, last: str, only: Sequence[str] | None = None
) -> EventColumns:
    if connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(text(f"SET SESSION group_concat_max_len = {LONGEST_TEXT}"))
    column = session_history.c
    code = column.version * CODES + case(_CODES, value=column.action, else_=OTHER)
    step = func.coalesce(_json_text(connection, column.step), "null")
    query = (
        select(
            column.user_id,
            func.count().label("count"),
            func.aggregate_strings(cast(code, String()), ",").label("codes"),
            func.aggregate_strings(step, ",").label("steps"),
            func.aggregate_strings(_padded_time(connection, column.timestamp), "").label("times"),
        )
        .where(column.survey_id == survey_id, column.user_id >= first, column.user_id <= last)
        .group_by(column.user_id)
    )
    if only is not None:
        query = query.where(column.user_id.in_(only))
    if connection.dialect.name == "sqlite":
        return _read_packed(connection, query)
    rows = connection.execute(query).all()
    user_ids, counts, codes, steps, times = zip(*rows, strict=True) if rows else ((),) * len(EventColumns._fields)
    return EventColumns(user_ids, counts, ",".join(codes), ",".join(steps), "".join(times))


def _read_packed(connection: Connection, query: Select[Any]) -> EventColumns:
    result = query.subquery().c
    ids, counts = func.json_group_array(result.user_id), func.json_group_array(result.count)
    parts = ((result.codes, ","), (result.steps, ","), (result.times, ""))
    row = connection.execute(select(ids, counts, *(func.aggregate_strings(*part) for part in parts))).one()
    return EventColumns(orjson.loads(row[0]), orjson.loads(row[1]), row[2] or "", row[3] or "", row[4] or "")


def _rows(connection: Connection, query: Select[Any]) -> Iterable[Sequence[Any]]:
    if connection.dialect.name != "sqlite":
        return connection.execute(query).all()
    # The driver releases the interpreter's lock for each row, which another busy thread then holds for 5 ms.
    rows = query.subquery()  # outside the limit; inside, all rows would be numbered
    *columns, number = select(*rows.c, func.row_number().over().label("number")).subquery().c
    packed = select(func.json_group_array(func.json_array(*columns))).group_by(number // SESSIONS_A_ROW)
    return chain.from_iterable(map(orjson.loads, connection.execute(packed).scalars().all()))


def parse_times(times: str) -> NDArray[np.int64]:
    """Parse TIME_WIDTH characters each; NO_TIME if invalid."""
    # A row edited by hand may contain any text, on some of which NumPy's own cast crashes.
    letters = np.frombuffer(times.encode("ascii", "replace"), dtype=np.uint8).reshape(-1, TIME_WIDTH)
    digits = np.ascontiguousarray(letters.T).astype(np.int32) - ord("0")
    is_blank = digits == ord(" ") - ord("0")
    digits[_MAY_BE_BLANK] = np.where(is_blank[_MAY_BE_BLANK], 0, digits[_MAY_BE_BLANK])
    month, day = _number(digits[5:7]), _number(digits[8:10])
    is_time = _is_between(digits[_DIGITS], 0, 9).all(axis=0)
    is_time &= (digits[_HYPHENS] == ord("-") - ord("0")).all(axis=0)
    is_time &= is_blank[_POINT] | (digits[_POINT] == ord(".") - ord("0"))
    is_time &= _is_between(month, 1, 12) & _is_between(day, 1, 31)
    months = (_number(digits[0:4]).astype(np.int64) - 1970) * 12 + month - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + day - 1
    seconds = (_number(digits[11:13]) * 60 + _number(digits[14:16])) * 60 + _number(digits[17:19])
    result = (days * 86_400 + seconds) * 1_000_000 + _number(digits[20:26])
    return np.where(is_time, result, NO_TIME)


def _is_between(numbers: NDArray[np.int32], first: int, last: int) -> NDArray[np.bool_]:
    return (numbers >= first) & (numbers <= last)


def _number(digits: NDArray[np.int32]) -> NDArray[np.int32]:
    powers = 10 ** np.arange(len(digits) - 1, -1, -1, dtype=np.int32)
    number: NDArray[np.int32] = powers @ digits
    return number


def _padded_time(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[str]:
    if connection.dialect.name == "sqlite":
        text_column = func.coalesce(type_coerce(column, String()), "")
        return func.substr(text_column.concat(" " * TIME_WIDTH), 1, TIME_WIDTH)
    return func.rpad(func.coalesce(cast(column, String()), ""), TIME_WIDTH, " ")


def _json_text(connection: Connection, column: ColumnElement[str]) -> ColumnElement[str]:
    if connection.dialect.name == "postgresql":
        return cast(func.to_json(column), String())
    # In SQLite, a row edited by hand may contain a number.
    return func.json_quote(cast(column, String()) if connection.dialect.name == "sqlite" else column)
