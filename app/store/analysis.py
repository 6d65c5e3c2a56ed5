"""What a survey's figures are counted from, a part of its sessions at a time: their rows, and their events in short.

Of an event only its version, action, step and time are read, and of these nothing is ever sealed. The database makes
one JSON text of the events of a session, in a form that takes a third of the time of a row an event: a million rows
would cost the driver, and Python's lock with it, a second. Every function works on a connection whose transaction its
caller owns.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import orjson
from sqlalchemy import BigInteger, Connection, Select, String, case, func, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from app.store.models import session_history, sessions, survey_revisions
from app.store.sealing import SET_ASIDE

Walks = Mapping[str, str]
"""By user id, a session's events as a JSON list without its brackets: :data:`EVENT_PARTS` for each, in no order."""

EVENT_PARTS = 3
"""Version * CODES + code of the action, the step (null: none), microseconds since 1970 UTC (null: unknown)."""

CODES = 16
ACTIONS = ("started", "restarted", "answered", "went_back", "went_to", "saved", "drafted", "mode_set")
"""What a participant, or who acts for one, does; an action's code is its place here. Other events are not read."""

_CODES = {action: code for code, action in sorted(enumerate(ACTIONS), key=lambda one: one[1] != "answered")}
"""The commonest first: a database compares one after the other."""

LONGEST_TEXT = 256 * 1024 * 1024
"""Bytes of a session's text on MariaDB, whose own bound is 1 MiB and cuts."""


PACKED = 50
"""Sessions that SQLite gives in one row: 50 MB where each is as large as it can be."""

ALL = 2**31
"""More rows than there are."""


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


class as_text(GenericFunction[str]):  # noqa: N801 - SQLAlchemy's functions are called so
    """A number as text, where the database wants to be told."""

    type = String()
    inherit_cache = True
    name = "as_text"


class microseconds(GenericFunction[int]):  # noqa: N801 - SQLAlchemy's functions are called so
    """A column of times as microseconds since 1970 UTC, NULL where it holds no time."""

    type = BigInteger()
    inherit_cache = True
    name = "microseconds"


class quoted(GenericFunction[str]):  # noqa: N801 - as above
    """A text as JSON."""

    type = String()
    inherit_cache = True
    name = "quoted"


class joined(GenericFunction[str]):  # noqa: N801 - as above
    """The texts of a group, with commas between them."""

    type = String()
    inherit_cache = True
    name = "joined"


def count_sessions(connection: Connection, survey_id: str) -> int:
    """Return how many sessions of the survey there are, those that were set aside among them."""
    query = select(func.count()).select_from(sessions).where(sessions.c.survey_id == survey_id)
    return int(connection.execute(query).scalar() or 0)


def read_revisions(connection: Connection, survey_id: str) -> list[str]:
    """Return the revisions of the survey that sessions may be pinned to, newest first."""
    column = survey_revisions.c
    query = select(column.revision).where(column.survey_id == survey_id)
    return list(connection.execute(query.order_by(column.created_at.desc(), column.revision)).scalars())


def read_sessions(connection: Connection, survey_id: str, after: str | None, limit: int) -> list[SessionRow]:
    """Return the next sessions of the survey in the order of their user ids, those that were set aside too."""
    column = sessions.c
    query = select(
        column.user_id,
        column.version,
        column.current_step,
        column.answers,
        column.step_history,
        microseconds(column.created_at).label("started_at"),
        microseconds(column.completed_at).label("completed_at"),
        column.is_audio_mode,
        column.survey_revision,
        column.status,
        microseconds(column.expires_at).label("expires_at"),
    ).where(column.survey_id == survey_id)
    if after is not None:
        query = query.where(column.user_id > after)
    return [SessionRow(*row) for row in _read(connection, query.order_by(column.user_id).limit(limit), PACKED)]


def read_walks(
    connection: Connection, survey_id: str, first: str, last: str, only: Sequence[str] | None = None
) -> Walks:
    """Return the events of the survey's sessions from one user id to another, both included.

    Sessions without events are missing. All of it is in memory at once: the caller chooses no more than that bears.

    Args:
        only: the user ids that are wanted, where they are few of those in between; None: all.
    """
    if connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(text(f"SET SESSION group_concat_max_len = {LONGEST_TEXT}"))
    column = session_history.c
    code = case(_CODES, value=column.action)
    step = func.coalesce(quoted(column.step), "null")
    at = func.coalesce(as_text(microseconds(column.timestamp)), "null")
    event = as_text(column.version * CODES + code) + "," + step + "," + at
    query = (
        select(column.user_id, joined(event).label("events"))
        .where(column.survey_id == survey_id, column.user_id >= first, column.user_id <= last)
        .group_by(column.user_id)
    )
    if only is not None:
        query = query.where(column.user_id.in_(only))
    return {row[0]: row[1] for row in _read(connection, query, ALL) if row[1] is not None}


def _read(connection: Connection, query: Select[Any], together: int) -> Iterable[Sequence[Any]]:
    """Return the rows of a query; SQLite makes one JSON text of so many ``together``.

    Its driver lets go of the interpreter's lock for each row, and another thread that counts has it for 5 ms then.
    """
    if connection.dialect.name != "sqlite":
        return connection.execute(query).all()
    rows = query.subquery()  # numbered from outside: inside, all that there are would be, whatever the limit
    *columns, number = select(*rows.c, func.row_number().over().label("number")).subquery().c
    packed = select(func.json_group_array(func.json_array(*columns))).group_by(number / together)
    return chain.from_iterable(map(orjson.loads, connection.execute(packed).scalars().all()))


def is_set_aside(row: SessionRow) -> bool:
    """Return whether the session was set aside: it belongs in no figure."""
    return SET_ASIDE in row.user_id


@compiles(microseconds, "sqlite")
def _sqlite_time(element: microseconds, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    column = compiler.process(element.clauses, **options)
    # Behind the seconds' point stand up to six digits; a time that was written by hand may have none.
    fraction = f"CAST(substr({column} || '000000', 21, 6) AS INTEGER)"
    return f"(CAST(strftime('%s', {column}) AS INTEGER) * 1000000 + {fraction})"


@compiles(microseconds, "postgresql")
def _postgresql_time(element: microseconds, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    column = compiler.process(element.clauses, **options)
    return f"CAST(date_part('epoch', {column}) * 1000000 AS BIGINT)"


@compiles(microseconds, "mysql", "mariadb")
def _mysql_time(element: microseconds, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {compiler.process(element.clauses, **options)})"


@compiles(as_text)
def _as_text(element: as_text, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"({compiler.process(element.clauses, **options)})"


@compiles(as_text, "postgresql")
def _as_text_on_postgresql(element: as_text, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(quoted, "sqlite")
def _quote_on_sqlite(element: quoted, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    # A row that somebody wrote by hand may hold a number in a column of texts.
    return f"json_quote(CAST({compiler.process(element.clauses, **options)} AS TEXT))"


@compiles(quoted, "mysql", "mariadb")
def _quote(element: quoted, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"json_quote({compiler.process(element.clauses, **options)})"


@compiles(quoted, "postgresql")
def _quote_on_postgresql(element: quoted, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"CAST(to_json({compiler.process(element.clauses, **options)}) AS TEXT)"


@compiles(joined, "sqlite", "mysql", "mariadb")
def _join(element: joined, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"group_concat({compiler.process(element.clauses, **options)})"


@compiles(joined, "postgresql")
def _join_on_postgresql(element: joined, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"string_agg({compiler.process(element.clauses, **options)}, ',')"
