"""Verify that replaying each session's history gives its row."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Literal

from sqlalchemy import Connection

from ...core.progress import Progress, no_progress
from ...errors import UnreadableHere
from ...sessions import SessionStore
from ...store import SET_ASIDE, integrity, rows, sessions
from ...survey import SessionKey, SessionState

SESSIONS_A_PAGE = 500

MAX_ATTEMPTS = 5  # a session that keeps changing then counts as differing
Verdict = Literal["same", "differs", "adopted", "set_aside", "locked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCheck:
    """``adopted`` sessions were started by a program without versions."""

    key: SessionKey
    verdict: Verdict
    differing: tuple[str, ...] = ()  # names of fields, never values; ``history`` or ``row`` if these are incomplete
    problem: str | None = None


def verify_sessions(
    store: SessionStore, survey_id: str | None = None, *, progress: Progress = no_progress
) -> Iterator[SessionCheck]:
    """Yield the result for every session in key order."""
    total = store.run_read(sessions.count_sessions) if survey_id is None else 0
    after: SessionKey | None = None
    done = 0
    while True:
        page = store.run_read(
            partial(integrity.read_page, survey_id=survey_id, after=after, limit=SESSIONS_A_PAGE, cipher=store.cipher)
        )
        for session in page.items:
            result = check_session(session)
            if result is not None and result.verdict == "differs":
                result = _check_again(store, session.key)
            if result is not None:
                yield result
        done += len(page.items)
        progress(done, max(done, total))
        after = page.following
        if after is None:
            return


def check_session(session: integrity.SessionAndReplay) -> SessionCheck | None:
    """Compare a session with its replay; None if there is neither."""
    key, stored, replay = session.key, session.stored, session.replay
    if SET_ASIDE in key.user_id:
        return SessionCheck(key=key, verdict="set_aside")
    if isinstance(stored, UnreadableHere) or replay.unreadable_here is not None:
        return SessionCheck(key=key, verdict="locked")
    if stored is None:
        if not replay.last_version:
            return None
        return SessionCheck(key=key, verdict="differs", differing=("row",), problem="it has history but no session")
    if session.version == 0 and (replay.last_version == 0 or not has_state(replay)):
        return SessionCheck(key=key, verdict="adopted")
    if not isinstance(stored, SessionState):
        return SessionCheck(key=key, verdict="differs", differing=("row",), problem=stored.problem)
    if replay.state is None:
        problem = replay.problem or "it has no history"
        return SessionCheck(key=key, verdict="differs", differing=("history",), problem=problem)
    return _compare(key, stored, replay)


def differing_fields(row: SessionState, replayed: SessionState) -> tuple[str, ...]:
    """Return differing fields; types of numbers and the order of answers count."""
    if rows.dumps(row) == rows.dumps(replayed):
        return ()
    names = (field.name for field in fields(SessionState))
    return tuple(name for name in names if rows.dumps(getattr(row, name)) != rows.dumps(getattr(replayed, name)))


def has_state(replay: integrity.ReplayedHistory) -> bool:
    """Return whether an event set the state; those of other programs do not."""
    return replay.state is not None and replay.state.current_step != ""


def _compare(key: SessionKey, row: SessionState, replay: integrity.ReplayedHistory) -> SessionCheck:
    assert replay.state is not None  # noqa: S101 - ensured by the only caller
    differing = differing_fields(row, replay.state)
    if replay.first_missing is not None:
        problem = f"version {replay.first_missing} is missing in its history"
        return SessionCheck(key=key, verdict="differs", differing=(*differing, "history"), problem=problem)
    if not differing:
        return SessionCheck(key=key, verdict="same")
    # No event has the start of an adopted session.
    if differing == ("started_at",) and not replay.has_start and row.started_at <= replay.state.started_at:
        return SessionCheck(key=key, verdict="adopted")
    return SessionCheck(key=key, verdict="differs", differing=differing)


def _check_again(store: SessionStore, key: SessionKey) -> SessionCheck | None:
    def read(connection: Connection) -> integrity.SessionAndReplay:
        return integrity.read_session(connection, key, store.cipher, locked=False)

    session = store.run_read(read)
    for _ in range(MAX_ATTEMPTS):
        result, later = check_session(session), store.run_read(read)
        if result is None or result.verdict != "differs" or later.version == session.version:
            return result
        session = later
    return check_session(session)
