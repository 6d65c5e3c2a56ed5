"""Sessions and their history, in rows: read, write, list, erase.

Every function works on a connection whose transaction its caller owns. A row that can't be read is
:class:`~app.errors.SessionUnreadable`, never a crash and never overwritten.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, or_, select, update

from app import exact_json
from app.errors import SessionUnreadable
from app.store.models import session_history, sessions, survey_revisions
from app.survey.events import AnyEvent, Record, from_record, to_record
from app.survey.state import SessionState, Status

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - the columns hold naive UTC
_US = datetime.timedelta(microseconds=1)

FINGERPRINT = "fingerprint"
"""Where history's data keeps the hash of the command that made the event."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Which session: one participant's of one survey."""

    survey_id: str
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event in a session's history."""

    version: int
    message_id: str | None
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMessage:
    """A message id that a session has seen, and what it was used for."""

    version: int
    fingerprint: str | None


def read_states(
    connection: Connection, keys: Sequence[SessionKey], *, locked: bool
) -> dict[SessionKey, SessionState | SessionUnreadable]:
    """Return the sessions that there are; ``locked`` holds them until the transaction ends."""
    query = select(sessions).where(_any_of(sessions.c, keys)).order_by(sessions.c.user_id, sessions.c.survey_id)
    if locked:
        query = query.with_for_update()
    found: dict[SessionKey, SessionState | SessionUnreadable] = {}
    for row in connection.execute(query):
        key = SessionKey(row.survey_id, row.user_id)
        try:
            found[key] = _state(row)
        except (ValueError, TypeError, AttributeError) as error:
            found[key] = SessionUnreadable(key.survey_id, key.user_id, f"{type(error).__name__} in its row")
    return found


def read_known_messages(
    connection: Connection, messages: Sequence[tuple[SessionKey, str]]
) -> dict[tuple[SessionKey, str], KnownMessage]:
    """Return which of these messages their sessions have in their history."""
    if not messages:
        return {}
    column = session_history.c
    query = select(column.survey_id, column.user_id, column.message_id, column.version, column.data).where(
        or_(
            *(
                and_(column.user_id == key.user_id, column.survey_id == key.survey_id, column.message_id == id_)
                for key, id_ in messages
            )
        )
    )
    return {
        (SessionKey(row.survey_id, row.user_id), row.message_id): KnownMessage(
            version=row.version, fingerprint=_load(row.data or "{}").get(FINGERPRINT)
        )
        for row in connection.execute(query)
    }


def write_states(
    connection: Connection,
    new: Mapping[SessionKey, tuple[SessionState, int | None]],
    changed: Mapping[SessionKey, tuple[SessionState, int | None]],
) -> None:
    """Write session rows: those that are new, and those that are there; each with when it expires."""
    if new:
        connection.execute(insert(sessions), [_row(key, *value) for key, value in new.items()])
    if changed:
        connection.execute(_UPDATE, [_bound(_row(key, *value)) for key, value in changed.items()])


def append(connection: Connection, entries: Iterable[tuple[SessionKey, int, AnyEvent, str | None, str | None]]) -> None:
    """Append events: each with its session, version, message id and the fingerprint of its command."""
    rows = []
    for key, version, event, message_id, fingerprint in entries:
        record = to_record(event)
        data = dict(record.data)
        if fingerprint is not None:
            data[FINGERPRINT] = fingerprint
        rows.append(
            {
                "user_id": key.user_id,
                "survey_id": key.survey_id,
                "version": version,
                "message_id": message_id,
                "action": record.action,
                "step": record.step,
                "answer": None if record.answer is None else exact_json.encode(record.answer),
                "timestamp": to_time(record.at),
                "data": exact_json.encode(data) if data else None,
            }
        )
    if rows:
        connection.execute(insert(session_history), rows)


def read_history(
    connection: Connection,
    key: SessionKey,
    *,
    after_version: int = 0,
    before_version: int | None = None,
    limit: int | None = None,
    newest_first: bool = False,
) -> list[Entry]:
    """Return a session's events with ``after_version < version < before_version``."""
    column = session_history.c
    query = select(session_history).where(
        column.user_id == key.user_id, column.survey_id == key.survey_id, column.version > after_version
    )
    if before_version is not None:
        query = query.where(column.version < before_version)
    order = column.version.desc() if newest_first else column.version
    return [_entry(row) for row in connection.execute(query.order_by(order).limit(limit))]


def events_of(entries: Iterable[Entry]) -> Iterator[AnyEvent]:
    """Yield the events of entries; UnknownEvent is raised for one that is of no known type."""
    for entry in entries:
        yield from_record(entry.record)


def read_keys(  # noqa: PLR0913 - each is a condition of its own
    connection: Connection,
    *,
    after: SessionKey | None = None,
    limit: int = 100,
    user_id: str | None = None,
    filters: Mapping[str, Any] | None = None,
    updated_since: int | None = None,
    at: int = 0,
) -> list[SessionKey]:
    """Return the keys of sessions in the order of the key.

    Args:
        filters: columns that must be equal; ``status`` is the one at the time ``at``.
    """
    column = sessions.c
    query = select(column.survey_id, column.user_id)
    if user_id is not None:
        query = query.where(column.user_id == user_id)
    for name, value in (filters or {}).items():
        query = query.where(_has_status(str(value), at) if name == "status" else column[name] == value)
    if updated_since is not None:
        query = query.where(column.updated_at >= to_time(updated_since))
    if after is not None:
        query = query.where(
            or_(
                column.user_id > after.user_id,
                and_(column.user_id == after.user_id, column.survey_id > after.survey_id),
            )
        )
    ordered = query.order_by(column.user_id, column.survey_id).limit(limit)
    return [SessionKey(row.survey_id, row.user_id) for row in connection.execute(ordered)]


def erase(connection: Connection, key: SessionKey) -> bool:
    """Erase a session and its history; return whether there was one."""
    removed = 0
    for table in (session_history, sessions):
        where = (table.c.user_id == key.user_id, table.c.survey_id == key.survey_id)
        removed = connection.execute(delete(table).where(*where)).rowcount
    return removed > 0


def set_aside(connection: Connection, key: SessionKey, at: int) -> str:
    """Move an unreadable session and its history to a name that no participant can have; return it.

    The name is the user id, ``~set-aside-`` and the time: support finds it with LIKE 'user123~%'.
    """
    name = f"{key.user_id}~set-aside-{to_time(at):%Y%m%dT%H%M%S%f}"
    columns = [column for column in sessions.c if column.name != "user_id"]
    chosen = select(bindparam("name", name), *columns).where(
        sessions.c.user_id == key.user_id, sessions.c.survey_id == key.survey_id
    )
    connection.execute(insert(sessions).from_select(["user_id", *(c.name for c in columns)], chosen))
    connection.execute(
        update(session_history)
        .where(session_history.c.user_id == key.user_id, session_history.c.survey_id == key.survey_id)
        .values(user_id=name)
    )
    erase(connection, key)
    return name


def read_definition(connection: Connection, survey_id: str, revision: str) -> str | None:
    """Return the definition of a revision that sessions may be pinned to."""
    query = select(survey_revisions.c.definition).where(
        survey_revisions.c.survey_id == survey_id, survey_revisions.c.revision == revision
    )
    return cast("str | None", connection.execute(query).scalar())


def keep_definition(connection: Connection, survey_id: str, revision: str, definition: str, at: int) -> None:
    """Keep a revision's definition, so that sessions pinned to it can go on; again is harmless."""
    if read_definition(connection, survey_id, revision) is None:
        connection.execute(
            insert(survey_revisions).values(
                survey_id=survey_id, revision=revision, definition=definition, created_at=to_time(at)
            )
        )


def to_time(at: int) -> datetime.datetime:
    """Return the naive UTC time of microseconds since 1970."""
    return _EPOCH + at * _US


def from_time(time: datetime.datetime) -> int:
    """Return the microseconds since 1970 of a naive UTC time."""
    return (time - _EPOCH) // _US


_UPDATED = tuple(column.name for column in sessions.c if column.name not in {"user_id", "survey_id"})
_UPDATE = (
    update(sessions)
    .where(sessions.c.user_id == bindparam("k_user_id"), sessions.c.survey_id == bindparam("k_survey_id"))
    .values({name: bindparam(f"v_{name}") for name in _UPDATED})
)


def _bound(row: Mapping[str, Any]) -> dict[str, Any]:
    bound = {f"v_{name}": row[name] for name in _UPDATED}
    return {**bound, "k_user_id": row["user_id"], "k_survey_id": row["survey_id"]}


def _has_status(status: str, at: int) -> Any:  # noqa: ANN401 - SQLAlchemy's condition
    """A session whose time is over is expired before anything says so in its row."""
    column = sessions.c
    over = and_(column.status == "in_progress", column.expires_at.is_not(None), column.expires_at <= to_time(at))
    if status == "expired":
        return or_(column.status == status, over)
    return and_(column.status == status, ~over)


def _any_of(column: Any, keys: Sequence[SessionKey]) -> Any:  # noqa: ANN401 - SQLAlchemy's column collection
    by_survey: dict[str, list[str]] = {}
    for key in keys:
        by_survey.setdefault(key.survey_id, []).append(key.user_id)
    return or_(*(and_(column.user_id.in_(users), column.survey_id == survey) for survey, users in by_survey.items()))


def _row(key: SessionKey, state: SessionState, expires_at: int | None) -> dict[str, Any]:
    return {
        "user_id": key.user_id,
        "survey_id": key.survey_id,
        "current_step": state.current_step,
        "answers": exact_json.encode(state.answers),
        "step_history": exact_json.encode(state.step_history),
        "created_at": to_time(state.started_at),
        "updated_at": to_time(state.updated_at),
        "is_audio_mode": int(state.is_audio_mode),
        "session_data": None if state.session_data is None else exact_json.encode(state.session_data),
        "survey_revision": state.survey_revision,
        "version": state.version,
        "status": state.status,
        "drafts": exact_json.encode(state.drafts) if state.drafts else None,
        "completed_at": None if state.completed_at is None else to_time(state.completed_at),
        "expires_at": None if expires_at is None else to_time(expires_at),
    }


def _state(row: Row[Any]) -> SessionState:
    answers, path, drafts = _load(row.answers), _load(row.step_history), _load(row.drafts or "{}")
    data = None if row.session_data is None else _load(row.session_data)
    _require(isinstance(answers, dict), "answers")
    _require(isinstance(path, list) and all(isinstance(step, str) for step in path), "step_history")
    _require(isinstance(drafts, dict), "drafts")
    _require(data is None or isinstance(data, dict), "session_data")
    return SessionState(
        version=row.version,
        survey_revision=row.survey_revision,
        status=cast("Status", row.status),
        current_step=row.current_step,
        answers=answers,
        step_history=tuple(path),
        is_audio_mode=bool(row.is_audio_mode),
        drafts=drafts,
        session_data=data,
        started_at=from_time(row.created_at),
        updated_at=from_time(row.updated_at),
        completed_at=None if row.completed_at is None else from_time(row.completed_at),
    )


def _require(condition: bool, column: str) -> None:  # noqa: FBT001 - a plain check
    if not condition:
        raise ValueError(column)


def _entry(row: Row[Any]) -> Entry:
    data = _load(row.data or "{}")
    data.pop(FINGERPRINT, None)
    return Entry(
        version=row.version,
        message_id=row.message_id,
        record=Record(
            action=row.action,
            at=from_time(row.timestamp),
            step=row.step,
            answer=None if row.answer is None else _load(row.answer),
            data=data,
        ),
    )


def _load(text: str) -> Any:  # noqa: ANN401 - JSON is decoded here
    return orjson.loads(text)
