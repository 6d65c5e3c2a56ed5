"""Close sessions past their deadline, with the event ``expired``.

Each is checked again under its lock, so an answer that arrives meanwhile wins. Safe to run beside servers
and other runs, to interrupt and to repeat.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ...errors import MissingKey, SessionUnreadable, Unavailable
from ...sessions import SessionStore
from ...store import audit, expiry, sessions
from ...survey import Expire, SessionKey
from ...writer import Committed, Rejected, Result
from .retention import SESSION_WEIGHT, TransactionPacer

MAX_SESSIONS = 200
"""The pacer may choose fewer."""

SCAN_LIMIT = 5000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryResult:
    """The counts of a run.

    Attributes:
        deadlines_updated: after a change of STEPKEEP_EXPIRES_AFTER.
        locked, unreadable: left open; 0 in a dry run.
    """

    expired: Mapping[str, int]
    deadlines_updated: int
    locked: int = 0
    unreadable: int = 0


def expire(
    store: SessionStore,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
    actor: str = "operator",
) -> ExpiryResult:
    """Close the sessions past their deadline; update the deadlines of all others.

    Raises:
        Unavailable: sessions closed before stay closed.
    """
    expired: Counter[str] = Counter()
    closer = _Closer(store, actor)
    updated, done, after = 0, 0, None
    total = store.run_read(sessions.count_sessions)
    while True:
        chunk = store.run_read(partial(expiry.read_chunk, after=after, limit=SCAN_LIMIT))
        overdue, updates = _classify(store, chunk.unfinished)
        for keys in [overdue] if dry_run else closer.close(overdue):
            expired.update(key.survey_id for key in keys)
            progress(done, max(done, total))
        updated += len(updates) if dry_run else _update_deadlines(store, updates)
        after, done = chunk.last, done + chunk.size
        progress(done, max(done, total))
        if chunk.size < SCAN_LIMIT:
            return ExpiryResult(
                expired=dict(sorted(expired.items())),
                deadlines_updated=updated,
                locked=closer.locked,
                unreadable=closer.unreadable,
            )


def _classify(
    store: SessionStore, unfinished: Sequence[expiry.OpenSession]
) -> tuple[list[SessionKey], list[expiry.DeadlineUpdate]]:
    at = store.clock()
    overdue, updates = [], []
    for session in unfinished:
        survey = store.queries.survey_revision(session.key.survey_id, session.revision)
        after_us = None if survey is None else survey.expires_after_us
        expires_at = None if after_us is None else session.updated_at + after_us
        if expires_at is not None and expires_at <= at:
            overdue.append(session.key)
        elif expires_at != session.expires_at:
            updates.append(expiry.DeadlineUpdate(session.key, session.version, expires_at))
    return overdue, updates


class _Closer:
    def __init__(self, store: SessionStore, actor: str) -> None:
        self._store = store
        self._actor = actor
        self._pacer = TransactionPacer()
        self.locked = 0
        self.unreadable = 0

    def close(self, overdue: Sequence[SessionKey]) -> Iterator[list[SessionKey]]:
        rest = list(overdue)
        while rest:
            size = min(MAX_SESSIONS, max(1, self._pacer.limit // SESSION_WEIGHT))
            batch, rest = rest[:size], rest[size:]
            started = time.monotonic()
            closed = self._close(batch)
            self._pacer.pause(time.monotonic() - started)
            yield closed

    def _close(self, keys: Sequence[SessionKey]) -> list[SessionKey]:
        at = self._store.clock()
        results = self._store.turns.submit_many([(key, Expire(at=at)) for key in keys])
        closed = [key for key, result in zip(keys, results, strict=True) if _is_closed(result, at)]
        self.locked += sum(isinstance(result, MissingKey) for result in results)
        self.unreadable += sum(isinstance(result, SessionUnreadable) for result in results)
        for survey_id, count in sorted(Counter(key.survey_id for key in closed).items()):
            entry = audit.AuditEntry(
                at=at, actor=self._actor, action="sessions_expired", survey_id=survey_id, detail={"sessions": count}
            )
            self._store.run_transaction(partial(audit.record, entry=entry))
        for result in results:
            if isinstance(result, Unavailable) and not isinstance(result, MissingKey):
                raise result
        return closed


def _is_closed(result: Result | Exception, at: int) -> bool:
    if isinstance(result, Committed):
        return True
    # A commit whose response was lost was retried, and rejected because of its own event.
    return (
        isinstance(result, Rejected)
        and result.state is not None
        and (result.state.status, result.state.updated_at) == ("expired", at)
    )


def _update_deadlines(store: SessionStore, updates: Sequence[expiry.DeadlineUpdate]) -> int:
    for start in range(0, len(updates), MAX_SESSIONS):
        store.run_transaction(partial(expiry.update_deadlines, corrections=updates[start : start + MAX_SESSIONS]))
    return len(updates)
