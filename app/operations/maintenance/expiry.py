"""Expiry: sessions whose time is over are closed, and their history says so (``expired``).

A session's time is over when it has not changed for as long as its survey says (``expires_after: 30d``, of the revision
that it is pinned to), or STEPKEEP_EXPIRES_AFTER where that says nothing. Doors treat it as expired from then on, with
or without this; closing it lets its history, webhooks and open pages know. A participant who answers at that moment
wins: each session is judged again, locked. Who lets his session begin anew goes on as ever.

Safe beside servers and beside another run, and it can be stopped and run again at any time.
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
from .retention import WEIGHT, Pace

TOGETHER = 200
"""Sessions that are closed, or corrected, in one transaction, at most; fewer where it takes long, as a purge does."""

EXAMINED = 5000
"""Sessions that are looked at together."""

Progress = Callable[[int, int], None]
"""Told how many sessions were looked at, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """What a run did.

    Attributes:
        expired: how many sessions were closed, by survey; none that could not be read.
        corrected: rows whose deadline was updated because STEPKEEP_EXPIRES_AFTER was changed.
        locked: sessions that stay open, because they are sealed with a key that is not there; 0 where it only counted.
        unreadable: sessions that stay open, because they can't be read; likewise.
    """

    expired: Mapping[str, int]
    corrected: int
    locked: int = 0
    unreadable: int = 0


def expire(
    store: SessionStore,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
    actor: str = "operator",
) -> Expiry:
    """Close the sessions whose time is over, and let the rows of all others say when theirs will be.

    For each part of them the audit log has an entry a survey (``sessions_expired``).

    Args:
        dry_run: only count.
        actor: who asks for it, for the audit log.

    Raises:
        Unavailable: the database is away; what was closed by then is.
    """
    expired: Counter[str] = Counter()
    closer = _Closer(store, actor)
    corrected, done, after = 0, 0, None
    total = store.run_read(sessions.count_sessions)
    while True:
        part = store.run_read(partial(expiry.read_chunk, after=after, limit=EXAMINED))
        over, wrong = _judged(store, part.unfinished)
        for keys in [over] if dry_run else closer.close(over):
            expired.update(key.survey_id for key in keys)
            progress(done, max(done, total))
        corrected += len(wrong) if dry_run else _corrected(store, wrong)
        after, done = part.last, done + part.size
        progress(done, max(done, total))
        if part.size < EXAMINED:
            counts = dict(sorted(expired.items()))
            return Expiry(expired=counts, corrected=corrected, locked=closer.locked, unreadable=closer.unreadable)


def _judged(
    store: SessionStore, unfinished: Sequence[expiry.OpenSession]
) -> tuple[list[SessionKey], list[expiry.DeadlineUpdate]]:
    """Return the sessions whose time is over, and the others whose row says another end of it than their survey."""
    at = store.clock()
    over, wrong = [], []
    for one in unfinished:
        survey = store.queries.survey_revision(one.key.survey_id, one.revision)
        after_us = None if survey is None else survey.expires_after_us
        expires_at = None if after_us is None else one.updated_at + after_us
        if expires_at is not None and expires_at <= at:
            over.append(one.key)
        elif expires_at != one.expires_at:
            wrong.append(expiry.DeadlineUpdate(one.key, one.version, expires_at))
    return over, wrong


class _Closer:
    """Closes sessions a few at a time, at the pace of a purge, and counts those that it can't."""

    def __init__(self, store: SessionStore, actor: str) -> None:
        self._store = store
        self._actor = actor
        self._pace = Pace()
        self.locked = 0
        self.unreadable = 0

    def close(self, over: Sequence[SessionKey]) -> Iterator[list[SessionKey]]:
        """Close those of the sessions whose time is still over, and yield them part by part."""
        rest = list(over)
        while rest:
            taken = min(TOGETHER, max(1, self._pace.bound // WEIGHT))
            some, rest = rest[:taken], rest[taken:]
            began = time.monotonic()
            closed = self._closed(some)
            self._pace.rest(time.monotonic() - began)
            yield closed

    def _closed(self, keys: Sequence[SessionKey]) -> list[SessionKey]:
        at = self._store.clock()
        results = self._store.turns.submit_many([(key, Expire(at=at)) for key in keys])
        closed = [key for key, result in zip(keys, results, strict=True) if _is_closed(result, at)]
        self.locked += sum(isinstance(one, MissingKey) for one in results)
        self.unreadable += sum(isinstance(one, SessionUnreadable) for one in results)
        for survey_id, count in sorted(Counter(key.survey_id for key in closed).items()):
            detail = {"sessions": count}
            entry = audit.AuditEntry(
                at=at, actor=self._actor, action="sessions_expired", survey_id=survey_id, detail=detail
            )
            self._store.run_transaction(partial(audit.record, entry=entry))
        away = next((one for one in results if isinstance(one, Unavailable) and not isinstance(one, MissingKey)), None)
        if away is not None:
            raise away
        return closed


def _is_closed(result: Result | Exception, at: int) -> bool:
    if isinstance(result, Committed):
        return True
    # A commit whose answer was lost was done again, and then found its own work.
    return (
        isinstance(result, Rejected)
        and result.state is not None
        and (result.state.status, result.state.updated_at) == ("expired", at)
    )


def _corrected(store: SessionStore, wrong: Sequence[expiry.DeadlineUpdate]) -> int:
    for start in range(0, len(wrong), TOGETHER):
        store.run_transaction(partial(expiry.update_deadlines, corrections=wrong[start : start + TOGETHER]))
    return len(wrong)
