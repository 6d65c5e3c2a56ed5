"""Rebuilding: a session's row is made again from its history, which is the truth. History is never touched.

Under the session's lock, so that it can be done beside a running server. Refused where the row may know more than the
history does: then the fold would lose what was acknowledged.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, update

from ...core.timestamps import to_datetime
from ...errors import InvalidInput, MissingKey, NoSuchSession
from ...sessions import SessionStore
from ...store import ReplayedHistory, SessionAndReplay, audit, integrity, rows, tables
from ...survey import SessionKey, SessionState, Survey, expires_at
from .verify import Checked, fields_that_differ, holds_state, verify_sessions


class CanNotBeRebuilt(InvalidInput):
    """The session's history does not tell its whole state; nothing was changed."""

    code = "can_not_be_rebuilt"

    def __init__(self, key: SessionKey, problem: str) -> None:
        self.key = key
        self.problem = problem
        super().__init__(f"the session of {key.user_id!r} in {key.survey_id!r} stays as it is: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What was done to one session.

    Attributes:
        changed: the fields of its row that were made anew, by name; ``row`` where it could not be read.
    """

    key: SessionKey
    changed: tuple[str, ...]


def rebuild(
    store: SessionStore, key: SessionKey, *, dry_run: bool = False, lossy: bool = False, actor: str = "operator"
) -> Rebuilt:
    """Make the session's row what its history folds to; say what was changed, which may be nothing.

    Noted in the audit log (``session_rebuilt``) where something was. The connections that show the session see it at
    its next change.

    Args:
        dry_run: only say what would be changed.
        lossy: also where events are missing in the history, though the row may hold what they brought.
        actor: who asks for it, for the audit log.

    Raises:
        NoSuchSession: there is no such row.
        CanNotBeRebuilt: its history can't be read, holds no state, or lacks events.
        MissingKey: a key is missing.
        Unavailable: it was not done, or that is not known; asking again is safe.
    """
    seen = store.run_read(lambda connection: integrity.read_session(connection, key, store.cipher, locked=False))
    revision = seen.replay.state.survey_revision if seen.replay.state is not None else None
    survey = store.queries.survey_revision(key.survey_id, revision)  # before the row is locked: it may have to be read

    def work(connection: Connection) -> Rebuilt:
        pair = integrity.read_session(connection, key, store.cipher, locked=True)
        state = _state_for(pair, lossy=lossy)
        changed = _changed(pair, state)
        if changed and not dry_run:
            _write(connection, store, key, state, survey)
            _note(connection, store, key, changed, actor)
        return Rebuilt(key=key, changed=changed)

    return store.run_read(work) if dry_run else store.run_transaction(work)


def rebuild_all(
    store: SessionStore,
    *,
    dry_run: bool = False,
    lossy: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> "list[Rebuilt | CanNotBeRebuilt]":
    """Rebuild every session that differs from its history; return what came of each."""
    differing = [one for one in verify_sessions(store, progress=progress) if one.verdict == "differs"]
    return [_tried(store, one, dry_run=dry_run, lossy=lossy) for one in differing]


def _tried(store: SessionStore, checked: Checked, *, dry_run: bool, lossy: bool) -> "Rebuilt | CanNotBeRebuilt":
    try:
        return rebuild(store, checked.key, dry_run=dry_run, lossy=lossy)
    except CanNotBeRebuilt as refused:
        return refused
    except NoSuchSession:
        return CanNotBeRebuilt(checked.key, checked.problem or "its row is gone")


def _state_for(pair: SessionAndReplay, *, lossy: bool) -> SessionState:
    """Return the state that the row is to have."""
    key, stored, folded = pair.key, pair.stored, pair.replay
    if stored is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    locked = stored if isinstance(stored, MissingKey) else folded.missing_key
    if locked is not None:
        raise locked
    if folded.state is None or not holds_state(folded):
        raise CanNotBeRebuilt(key, folded.problem or "it began in a program without versions; its history has no state")
    state = replace(folded.state, version=folded.last_version)
    if not lossy and (lacking := _lacking(pair, folded, state)) is not None:
        raise CanNotBeRebuilt(
            key,
            f"{lacking} is missing in its history, and the row may hold what it brought; --lossy rebuilds it anyway",
        )
    if isinstance(stored, SessionState) and not folded.has_start:  # adopted: when it began only the row knows
        return replace(state, started_at=min(state.started_at, stored.started_at))
    return state


def _lacking(pair: SessionAndReplay, folded: ReplayedHistory, state: SessionState) -> str | None:
    """Return which version the history lacks; None where the row can know no more than it."""
    if folded.first_missing is not None:
        return f"version {folded.first_missing}"
    if pair.version <= folded.last_version:
        return None
    stored = pair.stored
    if isinstance(stored, SessionState) and fields_that_differ(stored, state) == ("version",):
        return None  # the number alone is wrong
    return f"version {folded.last_version + 1}"


def _changed(pair: SessionAndReplay, state: SessionState) -> tuple[str, ...]:
    return fields_that_differ(pair.stored, state) if isinstance(pair.stored, SessionState) else ("row",)


def _write(
    connection: Connection, store: SessionStore, key: SessionKey, state: SessionState, survey: Survey | None
) -> None:
    values = rows.changed_row(key, state, expires_at(survey, state), rows.RowFormat(to_datetime, store.cipher))
    row = dict(
        zip((column.name for column in rows.UPDATE_COLUMNS), values, strict=False)
    )  # then come the key's columns
    row["created_at"] = to_datetime(state.started_at)
    where = (tables.sessions.c.user_id == key.user_id, tables.sessions.c.survey_id == key.survey_id)
    connection.execute(update(tables.sessions).where(*where).values(row))


def _note(connection: Connection, store: SessionStore, key: SessionKey, changed: tuple[str, ...], actor: str) -> None:
    entry = audit.AuditEntry(
        at=store.clock(),
        actor=actor,
        action="session_rebuilt",
        survey_id=key.survey_id,
        user_id=key.user_id,
        detail={"changed": " ".join(changed)},
    )
    audit.record(connection, entry)
