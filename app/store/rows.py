"""Rows of sessions and events, and their conversion, with encryption, to and from values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast, get_args

import orjson
from sqlalchemy import Column, Table

from ..core.session_dicts import EventDict
from ..core.timestamps import format_timestamp, from_datetime
from ..errors import MissingKey, OtherRelease, SessionUnreadable, UnreadableHere
from ..survey import AnyEvent, Record, SessionContext, SessionKey, SessionState, Status, to_record
from .encryption import ABSENT, ANSWER, ANSWERS, CONTEXT, DATA, DRAFTS, PLAIN, SESSION_DATA, Cipher
from .tables import session_history, sessions, untyped_times

FINGERPRINT = "fingerprint"  # key in the ``data`` of a command's event
STATUSES = frozenset(get_args(Status))
_STRINGS = frozenset({str})
_CONTEXT_FIELDS = {"language": str, "walk_started_at": int, "ending": int, "parameters": dict, "values": dict}

Row = tuple[Any, ...]


def _columns(table: Table, names: str) -> tuple[Column[Any], ...]:
    return tuple(table.c[name] for name in names.split())


STATE_COLUMNS = untyped_times(
    _columns(
        sessions,
        "user_id survey_id current_step answers step_history created_at updated_at is_audio_mode session_data "
        "survey_revision version status drafts completed_at context history_bytes",
    )
)
KEY_COLUMNS = _columns(sessions, "user_id survey_id")
UPDATE_COLUMNS = _columns(
    sessions,
    "current_step answers step_history updated_at is_audio_mode session_data survey_revision version status drafts "
    "completed_at expires_at context history_bytes",
)
INSERT_COLUMNS = (*KEY_COLUMNS, *UPDATE_COLUMNS[:3], sessions.c.created_at, *UPDATE_COLUMNS[3:])
EVENT_COLUMNS = _columns(session_history, "user_id survey_id version message_id action step answer timestamp data")
RECORD_COLUMNS = untyped_times(_columns(session_history, "version action timestamp step answer data"))
ENTRY_COLUMNS = (session_history.c.message_id, *RECORD_COLUMNS)
MESSAGE_COLUMNS = _columns(session_history, "user_id survey_id message_id version data")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One event."""

    version: int
    message_id: str | None
    record: Record

    def to_dict(self) -> EventDict:
        """Return the interfaces' form (docs/protocol.md)."""
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
    """A message id's event."""

    version: int
    fingerprint: str | None  # None if its key is missing
    missing_key: MissingKey | None = None


class RowFormat(NamedTuple):
    """The cipher of answers, and the driver's form of times."""

    to_time: Callable[[int], object]  # from microseconds since 1970 UTC
    cipher: Cipher = PLAIN


StoredSession = SessionState | SessionUnreadable | UnreadableHere
StoredSessions = Mapping[SessionKey, StoredSession]


class WrittenSession(NamedTuple):
    """A session as a batch wrote it."""

    state: SessionState
    history_bytes: int


FoundSessions = Mapping[SessionKey, Row | WrittenSession]  # rows of STATE_COLUMNS, or cached


def by_key(read: Iterable[Row]) -> dict[SessionKey, Row | WrittenSession]:
    """Return rows of STATE_COLUMNS by session key."""
    return {SessionKey(row[1], row[0]): row for row in read}


def parse_state(row: Row, cipher: Cipher = PLAIN) -> StoredSession:
    """Parse STATE_COLUMNS; return why they can't be read."""
    try:
        return _state_of(row, cipher)
    except UnreadableHere as error:
        return error
    except (ValueError, TypeError, AttributeError) as error:
        return SessionUnreadable(row[1], row[0], f"{type(error).__name__} in its row")


def changed_row(key: SessionKey, session: WrittenSession, expires_at: int | None, row_format: RowFormat) -> Row:
    """Return UPDATE_COLUMNS, then KEY_COLUMNS."""
    to_time, cipher = row_format
    state, history_bytes = session
    answers = dumps(state.answers)
    data = None if state.session_data is None else dumps(state.session_data)
    drafts = dumps(state.drafts) if state.drafts else None
    if cipher.is_on:  # the only cost without encryption
        answers = cipher.encrypt(answers, (ANSWERS, *key))
        data = cipher.encrypt(data or ABSENT[SESSION_DATA], (SESSION_DATA, *key))
        drafts = cipher.encrypt(drafts or ABSENT[DRAFTS], (DRAFTS, *key))
    context = None if state.context is None else cipher.encrypt(_dump_context(state.context), (CONTEXT, *key))
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
        context,
        history_bytes,
        key.user_id,
        key.survey_id,
    )


def new_row(row: Row, started_at: object) -> Row:
    """Return INSERT_COLUMNS from a :func:`changed_row`."""
    return (*row[-2:], *row[:3], started_at, *row[3:-2])


def text_length(row: Row) -> int:
    """Return the length of a :func:`changed_row`'s unbounded values."""
    return len(row[1]) + len(row[5] or "") + len(row[9] or "") + len(row[12] or "")


def event_row(
    key: SessionKey,
    version: int,
    event: AnyEvent,
    message_id: str | None,
    fingerprint: str | None,
    row_format: RowFormat,
) -> Row:
    """Return EVENT_COLUMNS."""
    to_time, cipher = row_format
    action, at, step, answer, data = to_record(event)
    if fingerprint is not None:
        data = {**data, FINGERPRINT: fingerprint}
    answer_text = None if answer is None else dumps(answer)
    data_text = dumps(data) if data else None
    if cipher.is_on:
        answer_text = cipher.encrypt(answer_text or ABSENT[ANSWER], (ANSWER, *key, version))
        data_text = cipher.encrypt(data_text or ABSENT[DATA], (DATA, *key, version))
    return (key.user_id, key.survey_id, version, message_id, action, step, answer_text, to_time(at), data_text)


def event_bytes(row: Row) -> int:
    """Return the bytes of an :func:`event_row`'s unbounded values."""
    answer, data = row[6] or "", row[8] or ""
    is_ascii = answer.isascii() and data.isascii()  # as most are: no copy
    return len(answer) + len(data) if is_ascii else len(answer.encode()) + len(data.encode())


def parse_known_message(row: Row, cipher: Cipher = PLAIN) -> tuple[tuple[SessionKey, str], KnownMessage]:
    user_id, survey_id, message_id, version, data = row
    fingerprint, missing_key = None, None
    try:
        text = cipher.decrypt(data or "{}", (DATA, survey_id, user_id, version))
        fingerprint = orjson.loads(text).get(FINGERPRINT)
    except MissingKey as error:
        missing_key = error
    except (ValueError, AttributeError):  # corrupt: the message is known all the same
        pass
    return (SessionKey(survey_id, user_id), message_id), KnownMessage(version, fingerprint, missing_key)


def parse_record(row: Row, key: SessionKey, cipher: Cipher) -> Record:
    """Parse RECORD_COLUMNS; raise MissingKey or ValueError."""
    version, action, at, step, answer, data = row
    answer_value = None if answer is None else orjson.loads(cipher.decrypt(answer, (ANSWER, *key, version)))
    data_value = {} if data is None else orjson.loads(cipher.decrypt(data, (DATA, *key, version)))
    return Record(action, from_datetime(at), step, answer_value, data_value)


def parse_entry(row: Row, key: SessionKey, cipher: Cipher) -> HistoryEntry:
    """Parse ENTRY_COLUMNS; raises as :func:`parse_record`."""
    message_id, version, *_ = row
    record = parse_record(row[1:], key, cipher)
    data = {name: value for name, value in record.data.items() if name != FINGERPRINT}
    return HistoryEntry(version=version, message_id=message_id, record=record._replace(data=data))


def dumps(value: object) -> str:
    """Serialize a value that passed ``strict_json.check``."""
    return orjson.dumps(value).decode()


def _state_of(row: Row, cipher: Cipher) -> SessionState:
    user_id, survey_id, step, answers_text, path_text, created, updated, *others = row
    audio, data_text, revision, version, status, drafts, done, context, _history_bytes = others
    if status not in STATUSES:
        raise OtherRelease(f"The status {status!r} of a session is of another release.")
    decrypt, key = cipher.decrypt, (survey_id, user_id)
    answers, path = orjson.loads(decrypt(answers_text, (ANSWERS, *key))), orjson.loads(path_text)
    data = orjson.loads(decrypt(data_text, (SESSION_DATA, *key))) if data_text else None  # '' in some old rows
    draft_values = {} if drafts is None else orjson.loads(decrypt(drafts, (DRAFTS, *key)))
    if not (isinstance(answers, dict) and isinstance(path, list) and isinstance(draft_values, dict)):
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
        drafts=draft_values,
        session_data=data,
        started_at=from_datetime(created),
        updated_at=from_datetime(updated),
        completed_at=None if done is None else from_datetime(done),
        context=None if context is None else parse_context(context, SessionKey(*key), cipher),
    )


def _dump_context(context: SessionContext) -> str:
    return dumps({name: value for name in _CONTEXT_FIELDS if (value := getattr(context, name)) is not None})


def parse_context(text: str, key: SessionKey, cipher: Cipher) -> SessionContext:
    """Parse a stored context; raise MissingKey, OtherRelease, ValueError or TypeError."""
    values = orjson.loads(cipher.decrypt(text, (CONTEXT, *key)))
    if not isinstance(values, dict):
        raise TypeError
    if not _CONTEXT_FIELDS.keys() >= values.keys():
        raise OtherRelease("The context of a session is of another release.")
    if any(type(value) is not _CONTEXT_FIELDS[name] for name, value in values.items()):
        raise TypeError
    return SessionContext(**values)
