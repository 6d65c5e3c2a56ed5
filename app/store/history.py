"""Sessions and their history as support, lists and erasure see them, through SQLAlchemy's Core.

Every function works on a connection whose transaction its caller owns. A row that can't be read is
:class:`~app.errors.SessionUnreadable`, never a crash and never overwritten. A turn's way through the same
tables is ``batch.py``'s.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from ..core.timestamps import to_datetime
from ..survey import SessionKey, SessionState, fold, from_record
from .encryption import SET_ASIDE, Cipher
from .rows import (
    ENTRY_COLUMNS,
    RECORD_COLUMNS,
    STATE_COLUMNS,
    HistoryEntry,
    StoredSessions,
    parse_entry,
    parse_events,
    parse_record,
    parse_states,
)
from .tables import session_history, sessions, survey_revisions, webhook_deliveries

__all__ = ["HistoryEntry", "SessionKey", "parse_events"]

NEWEST = 50
"""Events of which :func:`find_missing_key` looks at the values: some hold none."""


def read_states(connection: Connection, keys: Sequence[SessionKey], *, cipher: Cipher, locked: bool) -> StoredSessions:
    """Return the sessions that there are; ``locked`` holds them until the transaction ends."""
    query = select(*STATE_COLUMNS).where(_any_of(sessions.c, keys)).order_by(sessions.c.user_id, sessions.c.survey_id)
    if locked:
        query = query.with_for_update()
    return parse_states((tuple(row) for row in connection.execute(query)), cipher)


def read_versions(connection: Connection, keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
    """Return the versions of those sessions that there are."""
    users: dict[str, list[str]] = {}
    for key in keys:
        users.setdefault(key.survey_id, []).append(key.user_id)
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    found: dict[SessionKey, int] = {}
    # On the driver itself: through Core a look at 10,000 sessions takes twice the time.
    for survey_id, wanted in users.items():
        marks = ", ".join([mark] * len(wanted))
        query = f"SELECT user_id, version FROM sessions WHERE survey_id = {mark} AND user_id IN ({marks})"  # noqa: S608 - marks only
        rows = connection.exec_driver_sql(query, (survey_id, *wanted))
        found |= {SessionKey(survey_id, user): version for user, version in rows}
    return found


def count_sessions(connection: Connection) -> int:
    """Return how many sessions there are."""
    return cast("int", connection.execute(select(func.count()).select_from(sessions)).scalar())


def read_keys_after(connection: Connection, after: SessionKey | None, limit: int) -> list[SessionKey]:
    """Return the next keys of all, in their order."""
    column = sessions.c
    query = select(column.survey_id, column.user_id).order_by(column.user_id, column.survey_id).limit(limit)
    if after is not None:
        is_later = and_(column.user_id == after.user_id, column.survey_id > after.survey_id)
        query = query.where(column.user_id >= after.user_id, or_(column.user_id > after.user_id, is_later))
    return [SessionKey(survey_id, user_id) for survey_id, user_id in connection.execute(query).all()]


def read_history(
    connection: Connection,
    key: SessionKey,
    *,
    cipher: Cipher,
    after_version: int = 0,
    limit: int | None = None,
    newest_first: bool = False,
) -> list[HistoryEntry]:
    """Return a session's events after a version.

    Raises:
        MissingKey: one is sealed with a key that is not there.
        ValueError: one can't be read.
    """
    column = session_history.c
    query = select(*ENTRY_COLUMNS).where(
        column.user_id == key.user_id, column.survey_id == key.survey_id, column.version > after_version
    )
    order = column.version.desc() if newest_first else column.version
    return [parse_entry(row, key, cipher) for row in connection.execute(query.order_by(order).limit(limit))]


def replay_history(connection: Connection, key: SessionKey, version: int, *, cipher: Cipher) -> SessionState | None:
    """Return the session as it was at a version, folded from its events as they are read.

    Raises:
        MissingKey: an event is sealed with a key that is not there.
        UnknownEvent: an event is of no known type.
    """
    column = session_history.c
    query = select(*RECORD_COLUMNS).where(
        column.user_id == key.user_id, column.survey_id == key.survey_id, column.version <= version
    )
    rows = connection.execute(query.order_by(column.version))
    return fold(from_record(parse_record(row, key, cipher)) for row in rows)


def erase(connection: Connection, key: SessionKey) -> bool:
    """Erase a session, its history, and what webhooks were or would be told of it; return whether there was one."""
    column = webhook_deliveries.c
    connection.execute(
        delete(webhook_deliveries).where(column.user_id == key.user_id, column.survey_id == key.survey_id)
    )
    return _erase_rows(connection, key)


def _erase_rows(connection: Connection, key: SessionKey) -> bool:
    removed = 0
    for table in (session_history, sessions):
        where = (table.c.user_id == key.user_id, table.c.survey_id == key.survey_id)
        removed = connection.execute(delete(table).where(*where)).rowcount
    return removed > 0


def set_aside(connection: Connection, key: SessionKey, at: int) -> str:
    """Move an unreadable session and its history to a name that no participant can have; return it.

    The name is the user id, ``~set-aside-`` and the time: support finds it with LIKE 'user123~%'. Sealed values go
    with it as they are: they are bound to the name without what was added (``sealing.py``).
    """
    name = f"{key.user_id}{SET_ASIDE}{to_datetime(at):%Y%m%dT%H%M%S%f}"
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
    _erase_rows(connection, key)  # what webhooks are to be told of it has happened
    return name


def find_missing_key(connection: Connection, cipher: Cipher) -> str | None:
    """Return the id of a key that opens the newest answers and is not there; None where none is missing.

    A look at NEWEST events only, so that a forgotten key is found at the start, whatever the size of the history.
    Of a session that was set aside no key need be there; and one event among others that open is a broken one.
    """
    column = session_history.c
    query = select(column.user_id, column.answer, column.data).order_by(column.id.desc()).limit(NEWEST)
    missing: Counter[str | None] = Counter()
    for user_id, *values in connection.execute(query):
        if SET_ASIDE not in user_id:
            missing.update({next((lacking for value in values if (lacking := cipher.missing_key_id(value))), None)})
    opened = missing.pop(None, 0)
    found, count = next(iter(missing.most_common(1)), (None, 0))
    return found if count > 1 or not opened else None


def read_definition(connection: Connection, survey_id: str, revision: str) -> str | None:
    """Return the definition of a revision that sessions may be pinned to."""
    query = select(survey_revisions.c.definition).where(
        survey_revisions.c.survey_id == survey_id, survey_revisions.c.revision == revision
    )
    return cast("str | None", connection.execute(query).scalar())


def read_revisions(connection: Connection, survey_id: str) -> list[str]:
    """Return the revisions of the survey that are kept, the newest first."""
    column = survey_revisions.c
    query = select(column.revision).where(column.survey_id == survey_id)
    return list(connection.execute(query.order_by(column.created_at.desc(), column.revision)).scalars())


def keep_definition(connection: Connection, survey_id: str, revision: str, definition: str, at: int) -> None:
    """Keep a revision's definition, so that sessions pinned to it can go on; again is harmless."""
    if read_definition(connection, survey_id, revision) is None:
        connection.execute(
            insert(survey_revisions).values(
                survey_id=survey_id, revision=revision, definition=definition, created_at=to_datetime(at)
            )
        )


def _any_of(column: Any, keys: Sequence[SessionKey]) -> Any:  # noqa: ANN401 - SQLAlchemy's column collection
    by_survey: dict[str, list[str]] = {}
    for key in keys:
        by_survey.setdefault(key.survey_id, []).append(key.user_id)
    return or_(*(and_(column.user_id.in_(users), column.survey_id == survey) for survey, users in by_survey.items()))
