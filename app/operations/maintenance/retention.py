"""Erase sessions past their retention, and old entries of the audit log."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from ...core.progress import Progress, no_progress
from ...sessions import SessionStore
from ...store import audit, retention
from ...survey import SessionKey
from .purge_archive import PurgeArchive
from .sweep import SESSION_WEIGHT, TransactionPacer, sweep


def purge(
    store: SessionStore,
    *,
    dry_run: bool = False,
    archive: PurgeArchive | None = None,
    progress: Progress = no_progress,
    actor: str = "operator",
) -> Mapping[str, int]:
    """Erase sessions past their retention, and return their number by survey. Idempotent.

    Raises InvalidInput if the archive can't be written; it contains what was erased before.
    """
    at = store.clock()
    cutoffs = {
        survey.id: at - survey.retention_us
        for survey in store.catalogue.surveys.values()
        if survey.retention_us is not None
    }
    if not cutoffs:
        return {}
    eraser = _Eraser(store, cutoffs, archive, actor)
    try:
        scan = partial(retention.scan, cutoffs=cutoffs)
        process = (lambda stale: [[session.key for session in stale]]) if dry_run else eraser.erase
        counts = sweep(store, scan, process, progress)
    finally:
        if eraser.has_erased:
            store.erasure.truncate_wal()
    return {survey_id: counts[survey_id] for survey_id in cutoffs}


class _Eraser:
    def __init__(
        self, store: SessionStore, cutoffs: retention.Cutoffs, archive: PurgeArchive | None, actor: str
    ) -> None:
        self._store = store
        self._cutoffs = cutoffs
        self._archive = archive
        self._actor = actor
        self.has_erased = False
        # The events of a single session are erased faster.
        self._session_pacer, self._event_pacer = TransactionPacer(), TransactionPacer()

    def erase(self, stale: Sequence[retention.StaleSession]) -> Iterator[list[SessionKey]]:
        for batch in self._session_pacer.batches(stale, lambda session: SESSION_WEIGHT + session.version):
            archived = batch if self._archive is None else self._archive.write(batch)
            for session in archived:
                if session.version > self._event_pacer.limit:
                    self._shrink(session)
            work = retention.Purge(archived, self._cutoffs, at=self._store.clock(), actor=self._actor)
            keys = self._session_pacer.run(self._store, work)
            self._drop(keys)
            if self._archive is not None:
                self._archive.record_erased(session for session in archived if session.key in keys)
            yield keys

    def _drop(self, keys: Sequence[SessionKey]) -> None:
        self.has_erased = self.has_erased or bool(keys)
        self._store.subscribers.drop(keys)

    def _shrink(self, session: retention.StaleSession) -> None:
        """A participant who returns after the blanking starts again."""
        pacer = self._event_pacer
        blank = partial(retention.blank, session=session, cutoffs=self._cutoffs)
        trim = partial(retention.trim_history, session=session, cutoffs=self._cutoffs)
        if pacer.run(self._store, blank):
            self._drop([session.key])
            while pacer.run(self._store, partial(trim, limit=pacer.limit)):
                pass


def purge_audit_log(store: SessionStore, before: int, *, actor: str = "operator") -> int:
    """Remove the entries up to the first as recent as ``before`` (us since 1970 UTC); return how many.

    Each transaction leaves a valid chain, and an entry.
    """
    last_id, number = _read_start(store)
    # Not later than now: the purge would never reach the end of its own entries.
    purge = audit.Purge(before=min(before, store.clock()), actor=actor, last_id=last_id, number=number)
    pacer = TransactionPacer()
    total = 0
    while removed := pacer.run(store, partial(purge, at=store.clock(), limit=pacer.limit)):
        total += removed
    return total


def _read_start(store: SessionStore) -> tuple[int, int]:
    """Return the newest entry's id, and the number of the entry before the first.

    If entries were removed by other means, a purge of what is before the gap makes the chain valid again.
    """
    last_id, number = store.run_read(audit.read_newest)
    after_id: int | None = None
    while True:
        count, after_id = store.run_read(partial(audit.count_chained, after_id=after_id, last_id=last_id))
        if after_id is None:
            return last_id, number
        number -= count
