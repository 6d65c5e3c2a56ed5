"""Close sessions past their deadline; an answer that arrives meanwhile wins."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ...core.progress import Progress, no_progress
from ...errors import OtherRelease, SessionUnreadable, Unavailable, UnreadableHere
from ...sessions import SessionStore
from ...store import expiry
from ...survey import Expire, SessionKey
from ...writer import Committed, Rejected, Result
from .sweep import SESSION_WEIGHT, TransactionPacer, sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryResult:
    """The counts of a run; ``locked`` and ``unreadable`` sessions were left open."""

    expired: Mapping[str, int]
    deadlines_updated: int
    locked: int = 0
    unreadable: int = 0


def expire(
    store: SessionStore, *, dry_run: bool = False, progress: Progress = no_progress, actor: str = "operator"
) -> ExpiryResult:
    """Close the sessions past their deadline; update the deadlines of others. Idempotent."""
    closer = _Closer(store, actor, dry_run=dry_run)
    expired = sweep(store, expiry.read_chunk, closer.process, progress)
    return ExpiryResult(
        expired=dict(sorted(expired.items())),
        deadlines_updated=closer.deadlines_updated,
        locked=closer.locked,
        unreadable=closer.unreadable,
    )


def _classify(
    store: SessionStore, unfinished: Sequence[expiry.OpenSession]
) -> tuple[list[SessionKey], list[expiry.OpenSession]]:
    at = store.clock()
    overdue, updates = [], []
    for session in unfinished:
        try:
            survey = store.queries.revisions.get(session.key.survey_id, session.revision)
        except OtherRelease:  # the server of that release closes it
            continue
        after_us = None if survey is None else survey.expires_after_us
        expires_at = None if after_us is None else session.updated_at + after_us
        if expires_at is not None and expires_at <= at:
            overdue.append(session.key)
        elif expires_at != session.expires_at:
            updates.append(session._replace(expires_at=expires_at))
    return overdue, updates


class _Closer:
    def __init__(self, store: SessionStore, actor: str, *, dry_run: bool) -> None:
        self._store = store
        self._actor = actor
        self._dry_run = dry_run
        self._pacer = TransactionPacer()
        self.deadlines_updated = self.locked = self.unreadable = 0

    def process(self, unfinished: Sequence[expiry.OpenSession]) -> Iterator[list[SessionKey]]:
        overdue, updates = _classify(self._store, unfinished)
        self.deadlines_updated += len(updates)
        if self._dry_run:
            yield overdue
            return
        for batch in self._pacer.batches(overdue, lambda _key: SESSION_WEIGHT):
            started = time.monotonic()
            closed = self._close(batch)
            self._pacer.pause(time.monotonic() - started)
            yield closed
        for corrections in self._pacer.batches(updates):
            self._store.run_transaction(partial(expiry.update_deadlines, corrections=corrections))

    def _close(self, keys: Sequence[SessionKey]) -> list[SessionKey]:
        at = self._store.clock()
        results = self._store.turns.submit_many([(key, Expire(at=at)) for key in keys])
        closed = [key for key, result in zip(keys, results, strict=True) if _is_closed(result, at)]
        self.locked += sum(isinstance(result, UnreadableHere) for result in results)
        self.unreadable += sum(isinstance(result, SessionUnreadable) for result in results)
        for survey_id, count in sorted(Counter(key.survey_id for key in closed).items()):
            self._store.audit_log.record(
                self._actor, "sessions_expired", survey_id=survey_id, detail={"sessions": count}
            )
        for result in results:
            if isinstance(result, Unavailable) and not isinstance(result, UnreadableHere):
                raise result
        return closed


def _is_closed(result: Result | Exception, at: int) -> bool:
    if isinstance(result, Committed):
        return True
    # A commit whose response was lost was retried, and rejected because of its own event.
    return (
        isinstance(result, Rejected)
        and result.snapshot is not None
        and (result.snapshot.state.status, result.snapshot.state.updated_at) == ("expired", at)
    )
