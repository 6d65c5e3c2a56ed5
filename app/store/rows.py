"""How sessions and events lie in rows: the columns in one order, values into them and out of them.

The same for every database but for times, which each gives and takes in its own form: ``to_time`` comes
from the gateway. Answers are sealed as rows are made, and opened as they are read (``sealing.py``). Imported by
the rest of ``store/``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson

from ..core.timestamps import format_timestamp, from_datetime
from ..errors import MissingKey, SessionUnreadable
from ..survey import AnyEvent, Record, SessionKey, SessionState, Status, from_record, to_record
from .encryption import ANSWER, ANSWERS, DATA, DRAFTS, PLAIN, SESSION_DATA, Cipher
from .tables import session_history, sessions

FINGERPRINT = "fingerprint"
"""Where history's data keeps the hash of the command that made the event."""

Row = tuple[Any, ...]
ToTime = Callable[[int], object]
"""Makes microseconds since 1970 UTC what the driver writes into a column of times."""

_READ = (
    "user_id",
    "survey_id",
    "current_step",
    "answers",
    "step_history",
    "created_at",
    "updated_at",
    "is_audio_mode",
    "session_data",
    "survey_revision",
    "version",
    "status",
    "drafts",
    "completed_at",
)
_CHANGED = (
    "current_step",
    "answers",
    "step_history",
    "updated_at",
    "is_audio_mode",
    "session_data",
    "survey_revision",
    "version",
    "status",
    "drafts",
    "completed_at",
    "expires_at",
)
_EVENT = ("user_id", "survey_id", "version", "message_id", "action", "step", "answer", "timestamp", "data")

STATE_COLUMNS = tuple(sessions.c[name] for name in _READ)
"""What :func:`state_of` takes, in its order."""

KEY_COLUMNS = (sessions.c.user_id, sessions.c.survey_id)

UPDATE_COLUMNS = tuple(sessions.c[name] for name in _CHANGED)
"""What :func:`changed_row` gives, in its order, before the key's columns."""

INSERT_COLUMNS = (*KEY_COLUMNS, *UPDATE_COLUMNS[:3], sessions.c.created_at, *UPDATE_COLUMNS[3:])
"""What :func:`new_row` gives, in its order."""

EVENT_COLUMNS = tuple(session_history.c[name] for name in _EVENT)
"""What :func:`event_row` gives, in its order."""

RECORD_COLUMNS = tuple(session_history.c[name] for name in ("version", "action", "timestamp", "step", "answer", "data"))
"""What :func:`record_of` takes, in its order."""

ENTRY_COLUMNS = (session_history.c.message_id, *RECORD_COLUMNS)
"""What :func:`entry_of` takes, in its order."""

MESSAGE_COLUMNS = tuple(session_history.c[name] for name in ("user_id", "survey_id", "message_id", "version", "data"))
"""What :func:`known_message` takes, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One event in a session's history."""

    version: int
    message_id: str | None
    record: Record

    def to_dict(self) -> dict[str, Any]:
        """Return the event as the interfaces show it (docs/protocol.md)."""
        return {
            "version": self.version,
            "action": self.record.action,
            "step": self.record.step,
            "answer": self.record.answer,
            "timestamp": format_timestamp(self.record.at),
            "message_id": self.message_id,
            "data": self.record.data,
        }


class KnownMessage(NamedTuple):
    """A message id that a session has seen, and what it was used for, unless that is locked."""

    version: int
    fingerprint: str | None
    missing_key: MissingKey | None = None


class RowFormat(NamedTuple):
    """The form in which rows are written: how the driver takes times, and what seals answers."""

    to_time: ToTime
    cipher: Cipher = PLAIN


StoredSession = SessionState | SessionUnreadable | MissingKey
"""A session that is stored, or why it can't be read: it is corrupt, or a key is missing."""

StoredSessions = Mapping[SessionKey, StoredSession]
FoundSessions = Mapping[SessionKey, Row | SessionState]
"""Sessions as a gateway gives them: STATE_COLUMNS, or what it remembers."""

WrittenSessions = Mapping[SessionKey, SessionState | None]


def rows_by_key(read: Iterable[Row]) -> dict[SessionKey, Row | SessionState]:
    """Return rows of STATE_COLUMNS by their sessions' keys."""
    return {SessionKey(row[1], row[0]): row for row in read}


def parse_states(read: Iterable[Row], cipher: Cipher) -> dict[SessionKey, StoredSession]:
    """Return the sessions in rows of STATE_COLUMNS."""
    return {SessionKey(row[1], row[0]): parse_state(row, cipher) for row in read}


def parse_state(row: Row, cipher: Cipher = PLAIN) -> StoredSession:
    """Return the session in a row of STATE_COLUMNS, or why it can't be read."""
    try:
        return _state_of(row, cipher)
    except MissingKey as locked:
        return locked
    except (ValueError, TypeError, AttributeError) as error:
        return SessionUnreadable(row[1], row[0], f"{type(error).__name__} in its row")


def changed_row(key: SessionKey, state: SessionState, expires_at: int | None, form: RowFormat) -> Row:
    """Return what an update writes of a session: CHANGED_COLUMNS, then KEY_COLUMNS."""
    to_time, cipher = form
    answers = dumps(state.answers)
    data = None if state.session_data is None else dumps(state.session_data)
    drafts = dumps(state.drafts) if state.drafts else None
    if cipher.is_on:  # asked once a row: without keys a turn pays for no more than that
        answers = cipher.encrypt(answers, (ANSWERS, *key))
        data = None if data is None else cipher.encrypt(data, (SESSION_DATA, *key))
        drafts = None if drafts is None else cipher.encrypt(drafts, (DRAFTS, *key))
    return (
        state.current_step,
        answers,
        dumps(state.step_history),
        to_time(state.updated_at),
        int(state.is_audio_mode),
        data,
        state.survey_revision,
        state.version,
        state.status,
        drafts,
        None if state.completed_at is None else to_time(state.completed_at),
        None if expires_at is None else to_time(expires_at),
        key.user_id,
        key.survey_id,
    )


def new_row(row: Row, started_at: object) -> Row:
    """Return what an insert writes of a session, NEW_COLUMNS: the :func:`changed_row` and when it began."""
    return (*row[-2:], *row[:3], started_at, *row[3:-2])


def text_length(row: Row) -> int:
    """Return the length of what a participant or integrator can make long in a :func:`changed_row`.

    A sealed value is a third longer than its JSON.
    """
    return len(row[1]) + len(row[5] or "") + len(row[9] or "")


def event_row(
    key: SessionKey, version: int, event: AnyEvent, message_id: str | None, fingerprint: str | None, form: RowFormat
) -> Row:
    """Return what an insert writes of an event: EVENT_COLUMNS."""
    to_time, cipher = form
    action, at, step, answer, data = to_record(event)
    if fingerprint is not None:
        data = {**data, FINGERPRINT: fingerprint}
    answer_text = None if answer is None else dumps(answer)
    data_text = dumps(data) if data else None
    if cipher.is_on:
        answer_text = None if answer_text is None else cipher.encrypt(answer_text, (ANSWER, *key, version))
        data_text = None if data_text is None else cipher.encrypt(data_text, (DATA, *key, version))
    return (
        key.user_id,
        key.survey_id,
        version,
        message_id,
        action,
        step,
        answer_text,
        to_time(at),
        data_text,
    )


def parse_known_message(row: Row, cipher: Cipher = PLAIN) -> tuple[tuple[SessionKey, str], KnownMessage]:
    """Return what a row of KNOWN_COLUMNS says: the session and its message id, and what is known of it."""
    user_id, survey_id, message_id, version, data = row
    fingerprint, missing_key = None, None
    try:
        opened = cipher.decrypt(data or "{}", (DATA, survey_id, user_id, version))
        fingerprint = loads(opened).get(FINGERPRINT)
    except MissingKey as error:
        missing_key = error
    except (ValueError, AttributeError):  # a corrupt row: that the message is there is what counts
        pass
    return (SessionKey(survey_id, user_id), message_id), KnownMessage(version, fingerprint, missing_key)


def parse_record(row: Row, key: SessionKey, cipher: Cipher) -> Record:
    """Return the event in a row of RECORD_COLUMNS of this session, as history keeps it.

    Raises:
        MissingKey: it is sealed with a key that is not there.
        ValueError: it can't be read.
    """
    version, action, at, step, answer, data = row
    answered = None if answer is None else orjson.loads(cipher.decrypt(answer, (ANSWER, *key, version)))
    kept = {} if data is None else orjson.loads(cipher.decrypt(data, (DATA, *key, version)))
    return Record(action, from_datetime(at), step, answered, kept)


def parse_entry(row: Row, key: SessionKey, cipher: Cipher) -> HistoryEntry:
    """Return the entry in a row of ENTRY_COLUMNS of this session; raises as :func:`record_of`."""
    message_id, version, *_ = row
    record = parse_record(row[1:], key, cipher)
    data = {name: value for name, value in record.data.items() if name != FINGERPRINT}
    return HistoryEntry(version=version, message_id=message_id, record=record._replace(data=data))


def parse_events(entries: Iterable[HistoryEntry]) -> Iterator[AnyEvent]:
    """Yield the events of entries; UnknownEvent is raised for one that is of no known type."""
    for entry in entries:
        yield from_record(entry.record)


def dumps(value: object) -> str:
    """Return the JSON text of a value that passed ``exact_json.check``."""
    return orjson.dumps(value).decode()


def loads(text: str) -> Any:  # noqa: ANN401 - JSON is decoded here
    """Return the value of a JSON text that :func:`dumps` made."""
    return orjson.loads(text)


_STRINGS = frozenset({str})


def _state_of(row: Row, cipher: Cipher) -> SessionState:
    (
        user_id,
        survey_id,
        step,
        answers_text,
        path_text,
        created,
        updated,
        audio,
        data_text,
        revision,
        version,
        status,
        drafts,
        done,
    ) = row
    opened, key = cipher.decrypt, (survey_id, user_id)
    answers, path = orjson.loads(opened(answers_text, (ANSWERS, *key))), orjson.loads(path_text)
    data = orjson.loads(opened(data_text, (SESSION_DATA, *key))) if data_text else None  # '' in some old rows
    kept = {} if drafts is None else orjson.loads(opened(drafts, (DRAFTS, *key)))
    if not (isinstance(answers, dict) and isinstance(path, list) and isinstance(kept, dict)):
        raise TypeError
    if not (data is None or isinstance(data, dict)) or not _STRINGS.issuperset(map(type, path)):
        raise TypeError
    return SessionState(
        version=version,
        survey_revision=revision,
        status=cast("Status", status),
        current_step=step,
        answers=answers,
        step_history=tuple(path),
        is_audio_mode=bool(audio),
        drafts=kept,
        session_data=data,
        started_at=from_datetime(created),
        updated_at=from_datetime(updated),
        completed_at=None if done is None else from_datetime(done),
    )
