"""The rows that the raw drivers write: those that Stepkeep wrote for one walk, for other participants.

The raw drivers thus write the same columns as the store: a session is walked through the store, its rows are read back
through the raw driver after each turn, and every turn of the measurement writes a copy of them with another user id,
version, message id and time.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.core.message_ids import new_message_id
from app.sessions import SessionStore, now_us
from app.survey.snapshot import SessionKey
from benchmarks.stepkeep import SESSIONS, Walker, begin_many
from benchmarks.workload import STEPS, SURVEY_ID

UNCHANGED = frozenset({"user_id", "survey_id", "created_at"})
"""Columns of a session's row that no turn writes."""

TEMPLATE = SessionKey(SURVEY_ID, "template")

Row = dict[str, Any]


Read = Callable[[str, str], list[Row]]
"""Returns the template's rows of a table, ordered by a column."""


class Cursor(Protocol):
    """The common interface of the three drivers' cursors."""

    description: Sequence[Sequence[Any]]

    def execute(self, query: str) -> object:
        """Run the query."""

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """Return its rows."""


@dataclass(slots=True, kw_only=True)
class Rows:
    """The template rows, and the progress of each participant.

    Attributes:
        begun: the two rows of a session that has begun.
        turns: the two rows of each turn of a walk, a restart last.
        walked: number of turns by participant.
    """

    begun: tuple[Row, Row]
    turns: list[tuple[Row, Row]]
    walked: list[int] = field(default_factory=lambda: [0] * SESSIONS)
    _at: int = 0

    @property
    def session_columns(self) -> list[str]:
        """The columns of a session's row."""
        return list(self.begun[0])

    @property
    def history_columns(self) -> list[str]:
        """The columns of a history row that are written, all but the generated id."""
        return list(self.begun[1])

    @property
    def changed_columns(self) -> list[str]:
        """The columns of a session's row that a turn writes."""
        return [name for name in self.session_columns if name not in UNCHANGED]

    @property
    def update_columns(self) -> list[str]:
        """The columns of an UPDATE's values, in order."""
        return [*self.changed_columns, "user_id", "survey_id"]

    def first(self) -> list[tuple[Row, Row]]:
        """Return the first rows of every participant."""
        pairs = [next_like(self.begun, _user_id(number), 1) for number in range(len(self.walked))]
        return [(session, {**entry, "message_id": None}) for session, entry in pairs]

    def next(self) -> tuple[Row, Row]:
        """Return the rows of the next participant's next turn, round-robin."""
        self._at = (self._at + 1) % len(self.walked)
        return self.next_of(self._at)

    def next_of(self, number: int) -> tuple[Row, Row]:
        """Return the rows of this participant's next turn."""
        turns = self.walked[number]
        self.walked[number] = turns + 1
        return next_like(self.turns[turns % len(self.turns)], _user_id(number), turns + 2)


def next_like(rows: tuple[Row, Row], user_id: str, version: int) -> tuple[Row, Row]:
    """Return copies of the two rows of a turn for another participant, with the current time."""
    session, entry = rows
    changes = {"user_id": user_id, "version": version}
    return (
        {**session, **changes, "updated_at": _now_like(session["updated_at"])},
        {**entry, **changes, "message_id": new_message_id(), "timestamp": _now_like(entry["timestamp"])},
    )


def record_rows(store: SessionStore, read: Read) -> Rows:
    """Walk through the survey, and return the rows of each turn; ``read`` must see new commits."""
    begin_many(store, [TEMPLATE])
    walker = Walker([TEMPLATE], {TEMPLATE: STEPS[0]})
    sessions = read("sessions", "user_id")
    for _ in range(len(STEPS) + 1):
        walker.advance(store.turns.submit(*walker.next_command()))
        sessions += read("sessions", "user_id")
    entries = read("session_history", "version")
    for entry in entries:
        entry.pop("id", None)
    pairs = list(zip(sessions, entries, strict=True))
    return Rows(begun=pairs[0], turns=pairs[1:])


def through(cursor: Cursor) -> Read:
    """Return a reader on a raw driver's cursor."""

    def read(table: str, order: str) -> list[Row]:
        cursor.execute(f"SELECT * FROM {table} WHERE user_id = '{TEMPLATE.user_id}' ORDER BY {order}")  # noqa: S608 - fixed names
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return read


def insert(table: str, columns: Sequence[str], placeholder: str = "%s") -> str:
    """Return the INSERT of one row."""
    placeholders = ", ".join(placeholder for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders})"  # noqa: S608 - fixed names


def update(rows: Rows, placeholder: str = "%s") -> str:
    """Return the UPDATE of a session's row; its values are those of ``rows.update_columns``."""
    assignments = ", ".join(f"{name} = {placeholder}" for name in rows.changed_columns)
    return f"UPDATE sessions SET {assignments} WHERE user_id = {placeholder} AND survey_id = {placeholder}"  # noqa: S608 - fixed names


def values(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    """Return the row's values for these columns."""
    return tuple([row[name] for name in columns])


def _user_id(number: int) -> str:
    return f"participant-{number:06d}"


def _now_like(time: object) -> object:
    """Return the current time in the type in which the driver returned a time."""
    if isinstance(time, int):
        return now_us()
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return now.isoformat(" ", "microseconds") if isinstance(time, str) else now
