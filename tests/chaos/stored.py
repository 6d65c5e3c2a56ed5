"""What the database holds, read by plain SQL of the tests' own, past the proxies and past the application."""

import datetime
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import create_engine, text

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


@dataclass(frozen=True, slots=True)
class Event:
    """A row of history."""

    version: int
    message_id: str | None
    record: Record


@dataclass
class Stored:
    """All sessions' rows, decoded, and all events in the order in which they were written."""

    rows: dict[SessionKey, Mapping[str, Any]] = field(default_factory=dict)
    events: dict[SessionKey, list[Event]] = field(default_factory=lambda: defaultdict(list))


def read(url: str) -> Stored:
    """Return what the database of this URL holds."""
    parsed = normalise_url(url)
    options = {"module": sqlite.driver()} if parsed.get_backend_name() == "sqlite" else {}
    engine = create_engine(parsed, **options)
    stored = Stored()
    try:
        with engine.connect() as connection:
            for row in connection.execute(text(SESSIONS)).mappings():
                stored.rows[SessionKey(row["survey_id"], row["user_id"])] = decoded(dict(row))
            for row in connection.execute(text(HISTORY)).mappings():
                stored.events[SessionKey(row["survey_id"], row["user_id"])].append(event_of(dict(row)))
    finally:
        engine.dispose()
    return stored


def decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of sessions with its JSON decoded and its times as microseconds since 1970."""
    values = dict(row)
    for name in JSON_COLUMNS:
        values[name] = None if row[name] is None else json.loads(row[name])
    for name in TIME_COLUMNS:
        values[name] = None if row[name] is None else microseconds(row[name])
    return values


def event_of(row: Mapping[str, Any]) -> Event:
    """Return a row of history as an event."""
    answer = None if row["answer"] is None else json.loads(row["answer"])
    data = {} if row["data"] is None else json.loads(row["data"])
    record = Record(row["action"], microseconds(row["timestamp"]), row["step"], answer, data)
    return Event(row["version"], row["message_id"], record)


def microseconds(time: datetime.datetime | str) -> int:
    """Return the microseconds since 1970 of a naive UTC time, or of its text."""
    moment = datetime.datetime.fromisoformat(time) if isinstance(time, str) else time
    return (moment - EPOCH) // US
