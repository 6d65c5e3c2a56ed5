"""What a survey's figures are counted from, a part of its sessions at a time: their rows, and their events in short.

Of an event only its version, action, step and time are read, and of these nothing is ever sealed. The database makes
three texts of the events of a session, in forms that take a third of the time of a row an event: a million rows would
cost the driver, and Python's lock with it, a second. Times stay as the database writes them, each as wide as the next,
so that NumPy reads them all at once. Every function works on a connection whose transaction its caller owns.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, String, case, func, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from .encryption import SET_ASIDE
from .tables import session_history, sessions

CODES = 16
ACTIONS = ("started", "restarted", "answered", "went_back", "went_to", "saved", "drafted", "mode_set")
"""What a participant, or who acts for one, does; an action's code is its place here. Other events are not read."""

OTHER = CODES - 1
"""The code of every other action."""

_CODES = {action: code for code, action in sorted(enumerate(ACTIONS), key=lambda one: one[1] != "answered")}
"""The commonest first: a database compares one after the other."""

LONGEST_TEXT = 256 * 1024 * 1024
"""Bytes of a session's text on MariaDB, whose own bound is 1 MiB and cuts."""


TIME_WIDTH = 26
"""Characters of a time: ``2026-11-24 16:00:00.123456``, with spaces behind it where it has fewer."""

NO_TIME = -(2**62)
"""Stands where nobody knows when it was."""

_HYPHENS = [4, 7]
_POINT = 19
_MAY_BE_BLANK = [11, 12, 14, 15, 17, 18, 20, 21, 22, 23, 24, 25]
_DIGITS = [0, 1, 2, 3, 5, 6, 8, 9, *_MAY_BE_BLANK]


SESSIONS_A_ROW = 50
"""Sessions that SQLite gives in one row: 50 MB where each is as large as it can be."""


class EventColumns(NamedTuple):
    """The events of some sessions: those of one session stand together, in no order.

    Attributes:
        user_ids: the sessions that have events.
        counts: how many each of them has.
        codes: version * CODES + code of the action, with commas between them.
        steps: JSON strings, ``null`` where there is none, with commas between them.
        times: TIME_WIDTH characters each, see :func:`microseconds_of`.
    """

    user_ids: Sequence[str]
    counts: Sequence[int]
    codes: str
    steps: str
    times: str


class SessionRow(NamedTuple):
    """A session as far as figures need it; times in microseconds since 1970 UTC."""

    user_id: str
    version: int
    current_step: str
    answers: str
    step_history: str
    started_at: int | None
    completed_at: int | None
    is_audio_mode: int | None
    revision: str | None
    status: str
    expires_at: int | None


class cast_text(GenericFunction[str]):  # noqa: N801 - SQLAlchemy's functions are called so
    """A number as text, where the database wants to be told."""

    type = String()
    inherit_cache = True
    name = "as_text"


class padded_time(GenericFunction[str]):  # noqa: N801 - SQLAlchemy's functions are called so
    """A column of times as text of TIME_WIDTH characters; spaces where it is NULL."""

    type = String()
    inherit_cache = True
    name = "time_text"


class json_quote(GenericFunction[str]):  # noqa: N801 - as above
    """A text as JSON."""

    type = String()
    inherit_cache = True
    name = "quoted"


class string_agg(GenericFunction[str]):  # noqa: N801 - as above
    """The texts of a group, with the second argument between them: a literal."""

    type = String()
    inherit_cache = True
    name = "joined"


def read_sessions(connection: Connection, survey_id: str, after: str | None, limit: int) -> list[SessionRow]:
    """Return the next sessions of the survey in the order of their user ids, those that were set aside too."""
    column = sessions.c
    query = select(
        column.user_id,
        column.version,
        column.current_step,
        column.answers,
        column.step_history,
        padded_time(column.created_at).label("started_at"),
        padded_time(column.completed_at).label("completed_at"),
        column.is_audio_mode,
        column.survey_revision,
        column.status,
        padded_time(column.expires_at).label("expires_at"),
    ).where(column.survey_id == survey_id)
    if after is not None:
        query = query.where(column.user_id > after)
    rows = _rows_of(connection, query.order_by(column.user_id).limit(limit))
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for place, name in enumerate(SessionRow._fields if columns else ()):
        if name.endswith("_at"):
            times = parse_times("".join(columns[place])).tolist()
            columns[place] = [None if time == NO_TIME else time for time in times]
    return [SessionRow(*row) for row in zip(*columns, strict=True)]


def read_event_columns(
    connection: Connection, survey_id: str, first: str, last: str, only: Sequence[str] | None = None
) -> EventColumns:
    """Return the events of the survey's sessions from one user id to another, both included.

    Sessions without events are missing. All of it is in memory at once: the caller chooses no more than that bears.

    Args:
        only: the user ids that are wanted, where they are few of those in between; None: all.
    """
    if connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(text(f"SET SESSION group_concat_max_len = {LONGEST_TEXT}"))
    column = session_history.c
    code = column.version * CODES + case(_CODES, value=column.action, else_=OTHER)
    step = func.coalesce(json_quote(column.step), "null")
    query = (
        select(
            column.user_id,
            func.count().label("count"),
            string_agg(cast_text(code), ",").label("codes"),
            string_agg(step, ",").label("steps"),
            string_agg(padded_time(column.timestamp), "").label("times"),
        )
        .where(column.survey_id == survey_id, column.user_id >= first, column.user_id <= last)
        .group_by(column.user_id)
    )
    if only is not None:
        query = query.where(column.user_id.in_(only))
    if connection.dialect.name == "sqlite":
        return _walks_at_once(connection, query)
    rows = connection.execute(query).all()
    user_ids, counts, codes, steps, times = zip(*rows, strict=True) if rows else ((),) * len(EventColumns._fields)
    return EventColumns(user_ids, counts, ",".join(codes), ",".join(steps), "".join(times))


def _walks_at_once(connection: Connection, query: Select[Any]) -> EventColumns:
    """Return what the query finds, made one by SQLite; see :func:`_rows_of`."""
    found = query.subquery().c
    ids, counts = func.json_group_array(found.user_id), func.json_group_array(found.count)
    row = connection.execute(
        select(ids, counts, string_agg(found.codes, ","), string_agg(found.steps, ","), string_agg(found.times, ""))
    ).one()
    return EventColumns(orjson.loads(row[0]), orjson.loads(row[1]), row[2] or "", row[3] or "", row[4] or "")


def _rows_of(connection: Connection, query: Select[Any]) -> Iterable[Sequence[Any]]:
    """Return the rows of a query; SQLite makes one JSON text of PACKED rows.

    Its driver lets go of the interpreter's lock for each row, and another thread that counts has it for 5 ms then.
    """
    if connection.dialect.name != "sqlite":
        return connection.execute(query).all()
    rows = query.subquery()  # numbered from outside: inside, all that there are would be, whatever the limit
    *columns, number = select(*rows.c, func.row_number().over().label("number")).subquery().c
    packed = select(func.json_group_array(func.json_array(*columns))).group_by(number // SESSIONS_A_ROW)
    return chain.from_iterable(map(orjson.loads, connection.execute(packed).scalars().all()))


def parse_times(times: str) -> NDArray[np.int64]:
    """Return microseconds since 1970 UTC of times of TIME_WIDTH characters each, NO_TIME where a text is no time.

    Not by NumPy's own cast: version 2.4 crashes on a text that it takes for one with a time zone.
    """
    # A row that somebody wrote by hand may hold any text; what is no ASCII is no time.
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
    found = (days * 86_400 + seconds) * 1_000_000 + _number(digits[20:26])
    return np.where(is_time, found, NO_TIME)


def _is_between(numbers: NDArray[np.int32], first: int, last: int) -> NDArray[np.bool_]:
    return (numbers >= first) & (numbers <= last)


def _number(digits: NDArray[np.int32]) -> NDArray[np.int32]:
    powers = 10 ** np.arange(len(digits) - 1, -1, -1, dtype=np.int32)
    number: NDArray[np.int32] = powers @ digits
    return number


def is_set_aside(row: SessionRow) -> bool:
    """Return whether the session was set aside: it belongs in no figure."""
    return SET_ASIDE in row.user_id


@compiles(padded_time, "sqlite")
def _sqlite_time(element: padded_time, compiler: SQLCompiler, **options: object) -> str:
    column = compiler.process(element.clauses, **options)
    return f"substr(coalesce({column}, '') || '{' ' * TIME_WIDTH}', 1, {TIME_WIDTH})"


@compiles(padded_time, "postgresql", "mysql", "mariadb")
def _time(element: padded_time, compiler: SQLCompiler, **options: object) -> str:
    column = compiler.process(element.clauses, **options)
    written = f"CAST({column} AS TEXT)" if compiler.dialect.name == "postgresql" else column
    return f"rpad(coalesce({written}, ''), {TIME_WIDTH}, ' ')"


@compiles(cast_text)
def _as_text(element: cast_text, compiler: SQLCompiler, **options: object) -> str:
    return f"({compiler.process(element.clauses, **options)})"


@compiles(cast_text, "postgresql")
def _as_text_on_postgresql(element: cast_text, compiler: SQLCompiler, **options: object) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(json_quote, "sqlite")
def _quote_on_sqlite(element: json_quote, compiler: SQLCompiler, **options: object) -> str:
    # A row that somebody wrote by hand may hold a number in a column of texts.
    return f"json_quote(CAST({compiler.process(element.clauses, **options)} AS TEXT))"


@compiles(json_quote, "mysql", "mariadb")
def _quote(element: json_quote, compiler: SQLCompiler, **options: object) -> str:
    return f"json_quote({compiler.process(element.clauses, **options)})"


@compiles(json_quote, "postgresql")
def _quote_on_postgresql(element: json_quote, compiler: SQLCompiler, **options: object) -> str:
    return f"CAST(to_json({compiler.process(element.clauses, **options)}) AS TEXT)"


@compiles(string_agg, "sqlite")
def _join(element: string_agg, compiler: SQLCompiler, **options: object) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)})"


@compiles(string_agg, "mysql", "mariadb")
def _join_on_mysql(element: string_agg, compiler: SQLCompiler, **options: object) -> str:
    texts, between = [compiler.process(clause, literal_binds=True, **options) for clause in element.clauses]
    return f"group_concat({texts} SEPARATOR {between})"


@compiles(string_agg, "postgresql")
def _join_on_postgresql(element: string_agg, compiler: SQLCompiler, **options: object) -> str:
    return f"string_agg({compiler.process(element.clauses, **options)})"
