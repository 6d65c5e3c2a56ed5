"""Erase sessions unchanged for the ``retention`` of their survey, or STEPKEEP_RETENTION.

Expiry does not count as a change. Safe to run beside servers and other runs, to interrupt and to repeat.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from ...sessions import SessionStore
from ...store import retention, sessions
from ...survey import SessionKey
from .purge_archive import PurgeArchive

MAX_SESSIONS = 100

SCAN_LIMIT = 5000

TARGET_S = 0.025
"""Intended duration of a transaction: turns wait for it."""

SESSION_WEIGHT = 20
"""Cost of erasing a session besides its events, in events."""

MIN_EVENTS, MAX_EVENTS = 100, 2000

T = TypeVar("T")

Progress = Callable[[int, int], None]


def purge(
    store: SessionStore,
    *,
    dry_run: bool = False,
    archive: PurgeArchive | None = None,
    progress: Progress = lambda _done, _total: None,
    actor: str = "operator",
) -> Mapping[str, int]:
    """Erase sessions past their retention, and return their number by survey with a retention.

    The audit log and ``erasures`` record each transaction, without user ids. Tokens stay valid.

    Args:
        archive: sessions are synced there before they are erased.

    Raises:
        InvalidInput: the archive can't be written; it contains what was erased before.
        Unavailable: sessions erased before stay erased.
    """
    cutoffs = _cutoffs(store)
    eraser = _Eraser(store, cutoffs, archive, actor)
    try:
        return _purge(store, None if dry_run else eraser, cutoffs, progress)
    finally:
        if eraser.has_erased:
            store.erasure.truncate_wal()


def _purge(
    store: SessionStore, eraser: "_Eraser | None", cutoffs: retention.Cutoffs, progress: Progress
) -> Mapping[str, int]:
    counts: Counter[str] = Counter(dict.fromkeys(cutoffs, 0))
    total = store.run_read(sessions.count_sessions) if cutoffs else 0
    after, done = None, 0
    while cutoffs:
        page = store.run_read(partial(retention.scan, after=after, cutoffs=cutoffs, limit=SCAN_LIMIT))
        for keys in [[session.key for session in page.old]] if eraser is None else eraser.erase(page.old):
            counts.update(key.survey_id for key in keys)
            progress(done, max(done, total))
        after, done = page.last, done + page.size
        progress(done, max(done, total))
        if page.size < SCAN_LIMIT:
            break
    return dict(counts)


def _cutoffs(store: SessionStore) -> retention.Cutoffs:
    at = store.clock()
    return {
        survey.id: at - survey.retention_us
        for survey in store.catalogue.surveys.values()
        if survey.retention_us is not None
    }


class TransactionPacer:
    """Chooses how many events fit into TARGET_S."""

    def __init__(self) -> None:
        self.limit = MIN_EVENTS * 3

    def adjust(self, took_s: float) -> None:
        if took_s > TARGET_S:
            self.limit = max(MIN_EVENTS, self.limit // 2)
        elif took_s < TARGET_S / 2:
            self.limit = min(MAX_EVENTS, self.limit + self.limit // 4)

    def pause(self, took_s: float) -> None:
        """Adjust the limit, and let others write for as long as the transaction took."""
        self.adjust(took_s)
        # Writers of a SQLite file in other processes do not queue: they poll for the lock.
        time.sleep(min(took_s, TARGET_S * 4))


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
        rest = list(stale)
        while rest:
            size = self._batch_size(rest)
            batch, rest = rest[:size], rest[size:]
            archived = batch if self._archive is None else self._archive.write(batch)
            for session in archived:
                if session.version > self._event_pacer.limit:
                    self._shrink(session)
            work = retention.Purge(archived, self._cutoffs, at=self._store.clock(), actor=self._actor)
            keys = self._run(work, self._session_pacer)
            self._drop(keys)
            if self._archive is not None:
                erased = set(keys)
                self._archive.record_erased(session for session in archived if session.key in erased)
            yield keys

    def _drop(self, keys: Sequence[SessionKey]) -> None:
        self.has_erased = self.has_erased or bool(keys)
        self._store.subscribers.drop(keys)

    def _batch_size(self, stale: Sequence[retention.StaleSession]) -> int:
        weight = 0
        for number, session in enumerate(stale[:MAX_SESSIONS]):
            weight += SESSION_WEIGHT + session.version
            if weight > self._session_pacer.limit:
                return max(number, 1)
        return min(len(stale), MAX_SESSIONS)

    def _shrink(self, session: retention.StaleSession) -> None:
        """A participant who returns after the blanking starts again."""
        if self._run(partial(retention.blank, session=session, cutoffs=self._cutoffs), self._event_pacer):
            self._drop([session.key])
            while self._trim(session):
                pass

    def _trim(self, session: retention.StaleSession) -> bool:
        pacer = self._event_pacer
        return self._run(
            partial(retention.trim_history, session=session, cutoffs=self._cutoffs, limit=pacer.limit), pacer
        )

    def _run(self, work: Callable[[Connection], T], pacer: TransactionPacer) -> T:
        """Measure only the last attempt."""
        started: list[float] = []

        def timed(connection: Connection) -> T:
            started.append(time.monotonic())
            return work(connection)

        result = self._store.run_transaction(timed)
        pacer.pause(time.monotonic() - started[-1])
        return result
