"""Rebuild sessions from their history."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select, update

from ...core.progress import Progress, no_progress
from ...errors import InvalidInput, NoSuchSession, UnreadableHere
from ...sessions import SessionStore
from ...store import audit, integrity, keyset, rows, tables
from ...survey import SessionKey, SessionState, Survey, expires_at
from .verify import differing_fields, has_state, verify_sessions


class RebuildRefused(InvalidInput):
    """The history lacks the complete state; nothing was changed."""

    code = "can_not_be_rebuilt"

    def __init__(self, key: SessionKey, problem: str) -> None:
        self.key = key
        self.problem = problem
        super().__init__(f"the session of {key.user_id!r} in {key.survey_id!r} was not rebuilt: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildResult:
    """Names of changed fields, or ``row`` if it was unreadable."""

    key: SessionKey
    changed: tuple[str, ...]


def rebuild_session(
    store: SessionStore, key: SessionKey, *, dry_run: bool = False, lossy: bool = False, actor: str = "operator"
) -> RebuildResult:
    """Replace the session's row by the replay of its history, under its lock. Idempotent.

    Raises:
        NoSuchSession: there is no such session.
        RebuildRefused: the history is unreadable, has no state, or lacks events (unless ``lossy``).
        UnreadableHere: a key is missing, or another release wrote it.
    """
    current = store.run_read(lambda connection: integrity.read_session(connection, key, store.cipher, locked=False))
    revision = current.replay.state.survey_revision if current.replay.state is not None else None
    survey = store.queries.revisions.get(key.survey_id, revision)  # may read the database: before the row is locked

    def work(connection: Connection) -> RebuildResult:
        session = integrity.read_session(connection, key, store.cipher, locked=True)
        state = _replayed_state(session, lossy=lossy)
        changed = differing_fields(session.stored, state) if isinstance(session.stored, SessionState) else ("row",)
        if changed and not dry_run:
            _write(connection, store, key, state, survey)
            detail = {"changed": " ".join(changed)}
            entry = audit.AuditEntry(
                at=store.clock(), actor=actor, action="session_rebuilt", **key._asdict(), detail=detail
            )
            audit.record(connection, entry)
        return RebuildResult(key=key, changed=changed)

    return store.run_read(work) if dry_run else store.run_transaction(work)


def rebuild_all(
    store: SessionStore,
    *,
    dry_run: bool = False,
    lossy: bool = False,
    progress: Progress = no_progress,
) -> "list[RebuildResult | RebuildRefused]":
    """Rebuild every session that differs from its history."""
    results: list[RebuildResult | RebuildRefused] = []
    for check in [check for check in verify_sessions(store, progress=progress) if check.verdict == "differs"]:
        try:
            results.append(rebuild_session(store, check.key, dry_run=dry_run, lossy=lossy))
        except RebuildRefused as refused:
            results.append(refused)
        except NoSuchSession:
            results.append(RebuildRefused(check.key, check.problem or "its row does not exist"))
    return results


def _replayed_state(session: integrity.SessionAndReplay, *, lossy: bool) -> SessionState:
    key, stored, replay = session.key, session.stored, session.replay
    if stored is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    unreadable_here = stored if isinstance(stored, UnreadableHere) else replay.unreadable_here
    if unreadable_here is not None:
        raise unreadable_here
    if replay.state is None or not has_state(replay):
        raise RebuildRefused(key, replay.problem or "no event has a state: a program without versions started it")
    state = replace(replay.state, version=replay.last_version)
    if not lossy and (missing := _missing_version(session, replay, state)) is not None:
        raise RebuildRefused(
            key,
            f"version {missing} is missing in its history; the row may contain its answer (--lossy rebuilds it anyway)",
        )
    if isinstance(stored, SessionState) and not replay.has_start:  # adopted: only the row has its start
        return replace(state, started_at=min(state.started_at, stored.started_at))
    return state


def _missing_version(
    session: integrity.SessionAndReplay, replay: integrity.ReplayedHistory, state: SessionState
) -> int | None:
    if replay.first_missing is not None:
        return replay.first_missing
    if session.version <= replay.last_version:
        return None
    stored = session.stored
    if isinstance(stored, SessionState) and differing_fields(stored, state) == ("version",):
        return None  # only the number is wrong
    return replay.last_version + 1


def _write(
    connection: Connection, store: SessionStore, key: SessionKey, state: SessionState, survey: Survey | None
) -> None:
    column = tables.session_history.c
    size = func.sum(keyset.text_size(connection, (column.answer, column.data)))
    history_bytes = connection.execute(select(size).where(keyset.of_session(tables.session_history, key))).scalar()
    session = rows.WrittenSession(state, int(history_bytes or 0))
    values = rows.changed_row(key, session, expires_at(survey, state), rows.RowFormat(int, store.cipher))
    # The values end with the key, which does not change.
    row = dict(zip((column.name for column in rows.UPDATE_COLUMNS), values, strict=False))
    row["created_at"] = state.started_at
    connection.execute(update(tables.sessions).where(keyset.of_session(tables.sessions, key)).values(row))
