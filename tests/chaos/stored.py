"""The contents of the database, read by plain SQL, bypassing the proxies and the application."""

import datetime
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, create_engine, inspect, text

from app.store.drivers import sqlite
from app.store.engine import normalise_url
from app.survey.events import Record
from app.survey.snapshot import SessionKey

EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - the columns hold naive UTC
US = datetime.timedelta(microseconds=1)

JSON_COLUMNS = ("answers", "step_history", "session_data", "drafts")
TIME_COLUMNS = ("created_at", "updated_at", "completed_at", "expires_at")

SESSIONS = """SELECT user_id, survey_id, current_step, answers, step_history, created_at, updated_at, is_audio_mode,
session_data, survey_revision, version, status, drafts, completed_at, expires_at FROM sessions"""

HISTORY = """SELECT user_id, survey_id, version, message_id, action, step, answer, timestamp, data
FROM session_history ORDER BY id"""


USER_ID = re.compile(r"[\w-]+-[pb]\d+-v\d+")
"""As participants.py makes them."""


@dataclass(frozen=True, slots=True)
class Event:
    """A row of history."""

    version: int
    message_id: str | None
    record: Record


@dataclass
class Stored:
    """All decoded session rows, all events in the order of their ids, and the tables that mention a user id."""

    rows: dict[SessionKey, Mapping[str, Any]] = field(default_factory=dict)
    events: dict[SessionKey, list[Event]] = field(default_factory=lambda: defaultdict(list))
    tables_by_user: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def read(url: str) -> Stored:
    """Return the contents of the database at this URL."""
    parsed = normalise_url(url)
    options = {"module": sqlite.driver()} if parsed.get_backend_name() == "sqlite" else {}
    engine = create_engine(parsed, **options)
    stored = Stored()
    try:
        with engine.connect() as connection:
            for row in connection.execute(text(SESSIONS)).mappings():
                stored.rows[SessionKey(row["survey_id"], row["user_id"])] = decode_row(dict(row))
            for row in connection.execute(text(HISTORY)).mappings():
                stored.events[SessionKey(row["survey_id"], row["user_id"])].append(decode_event(dict(row)))
            for table, user_id in _mentions(connection):
                stored.tables_by_user[user_id].add(table)
    finally:
        engine.dispose()
    return stored


def _mentions(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each table with each user id in any of its columns."""
    for table in inspect(connection).get_table_names():
        for row in connection.execute(text(f"SELECT * FROM {table}")):  # noqa: S608 - the schema's names
            for user_id in USER_ID.findall(" ".join(map(str, row))):
                yield table, user_id


def decode_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session row with decoded JSON, and times in microseconds since 1970 UTC."""
    values = dict(row)
    for name in JSON_COLUMNS:
        values[name] = None if row[name] is None else json.loads(row[name])
    for name in TIME_COLUMNS:
        values[name] = None if row[name] is None else to_microseconds(row[name])
    return values


def decode_event(row: Mapping[str, Any]) -> Event:
    """Return the event in a history row."""
    answer = None if row["answer"] is None else json.loads(row["answer"])
    data = {} if row["data"] is None else json.loads(row["data"])
    record = Record(row["action"], to_microseconds(row["timestamp"]), row["step"], answer, data)
    return Event(row["version"], row["message_id"], record)


def to_microseconds(time: datetime.datetime | str) -> int:
    """Return a naive UTC time, or its ISO text, in microseconds since 1970 UTC."""
    parsed = datetime.datetime.fromisoformat(time) if isinstance(time, str) else time
    return (parsed - EPOCH) // US
