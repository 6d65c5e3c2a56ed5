"""Retention: sessions are erased when they have not changed for as long as their survey says (``retention: 365d``).

STEPKEEP_RETENTION says it for surveys that don't. Only surveys of the catalogue are looked at; sessions of all others
stay. That a session expired is no change. With an archive, nothing is erased before it lies there, on the disk.

Safe beside a server and beside another purge, and it can be stopped and run again at any time.
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
from .purge_archive import Archive

TOGETHER = 100
"""Sessions that are erased in one transaction, at most."""

EXAMINED = 5000
"""Sessions that are looked at together."""

AIM_S = 0.025
"""Seconds that one transaction of a purge should take: turns wait for it."""

WEIGHT = 20
"""What a session costs besides its events, in events."""

LIGHTEST, HEAVIEST = 100, 2000
"""Between these the events of one transaction are chosen, so that it takes AIM_S at most on this machine."""

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Told how many sessions were looked at, and of how many."""


def purge(
    store: SessionStore,
    *,
    dry_run: bool = False,
    archive: Archive | None = None,
    progress: Progress = lambda _done, _total: None,
    actor: str = "operator",
) -> Mapping[str, int]:
    """Erase the sessions that are too old; return how many, by survey with a retention.

    Each part is committed with a row of ``erasures`` and an entry of the audit log (``sessions_purged``), which say
    how many they were and not whose. Tokens of the erased stay as they are: one that still holds begins anew.

    Args:
        dry_run: only count.
        archive: what is erased is written there first.
        actor: who asks for it, for the audit log.

    Raises:
        InvalidInput: the archive can't be written; what was erased by then is in it.
        Unavailable: the database is away; what was erased by then is.
    """
    cutoffs = _cutoffs(store)
    eraser = _Eraser(store, cutoffs, archive, actor)
    try:
        return _purged(store, eraser if not dry_run else None, cutoffs, progress)
    finally:
        if eraser.has_erased:
            store.erasure.truncate_wal()


def _purged(
    store: SessionStore, eraser: "_Eraser | None", cutoffs: retention.Cutoffs, progress: Progress
) -> Mapping[str, int]:
    """Erase, or only count where there is no eraser; return how many, by survey."""
    counts: Counter[str] = Counter(dict.fromkeys(cutoffs, 0))
    total = store.run_read(sessions.count_sessions) if cutoffs else 0
    after: SessionKey | None = None
    done = 0
    while cutoffs:
        part = store.run_read(partial(retention.scan, after=after, cutoffs=cutoffs, limit=EXAMINED))
        for keys in [[one.key for one in part.old]] if eraser is None else eraser.erase(part.old):
            counts.update(key.survey_id for key in keys)
            progress(done, max(done, total))
        after, done = part.last, done + part.size
        progress(done, max(done, total))
        if part.size < EXAMINED:
            break
    return dict(counts)


def _cutoffs(store: SessionStore) -> retention.Cutoffs:
    at = store.clock()
    return {
        survey.id: at - survey.retention_us
        for survey in store.catalogue.surveys.values()
        if survey.retention_us is not None
    }


class Pace:
    """How many events may go in one transaction, learnt from how long those before took. At first, few."""

    def __init__(self) -> None:
        self.bound = LIGHTEST * 3

    def learn(self, took_s: float) -> None:
        """Go down at once where it took too long, and up slowly: an overshoot is a turn that waits."""
        if took_s > AIM_S:
            self.bound = max(LIGHTEST, self.bound // 2)
        elif took_s < AIM_S / 2:
            self.bound = min(HEAVIEST, self.bound + self.bound // 4)

    def rest(self, took_s: float) -> None:
        """Learn, and let others write for as long as it took."""
        self.learn(took_s)
        # Another process that wants to write to a SQLite file does not queue: it looks again and again.
        time.sleep(min(took_s, AIM_S * 4))


class _Eraser:
    """Erases sessions a few at a time: as many as take AIM_S, and then it lets others write for as long."""

    def __init__(self, store: SessionStore, cutoffs: retention.Cutoffs, archive: Archive | None, actor: str) -> None:
        self._store = store
        self._cutoffs = cutoffs
        self._archive = archive
        self._actor = actor
        self.has_erased = False
        self._sessions, self._events = Pace(), Pace()  # those of one session go faster

    def erase(self, old: Sequence[retention.StaleSession]) -> Iterator[list[SessionKey]]:
        """Erase those that are still too old, and yield them part by part."""
        rest = list(old)
        while rest:
            taken = self._taken(rest)
            some, rest = rest[:taken], rest[taken:]
            kept = some if self._archive is None else self._archive.keep(some)
            for one in kept:
                if one.version > self._events.bound:
                    self._shrink(one)
            purge_some = retention.Purge(kept, self._cutoffs, at=self._store.clock(), actor=self._actor)
            keys = self._write(purge_some, self._sessions)
            self._tell(keys)
            if self._archive is not None:
                erased = set(keys)
                self._archive.note_erased(one for one in kept if one.key in erased)
            yield keys

    def _tell(self, keys: Sequence[SessionKey]) -> None:
        self.has_erased = self.has_erased or bool(keys)
        self._store.subscribers.drop(keys)

    def _taken(self, old: Sequence[retention.StaleSession]) -> int:
        """Return how many go together; a session of more events than may go at once goes alone."""
        weight = 0
        for number, one in enumerate(old[:TOGETHER]):
            weight += WEIGHT + one.version
            if weight > self._sessions.bound:
                return max(number, 1)
        return min(len(old), TOGETHER)

    def _shrink(self, one: retention.StaleSession) -> None:
        """Take a session's events away, but for the last few; whoever comes back to it from here on begins anew."""
        if self._write(partial(retention.blank, session=one, cutoffs=self._cutoffs), self._events):
            self._tell([one.key])
            while self._trimmed(one):
                pass

    def _trimmed(self, one: retention.StaleSession) -> bool:
        pace = self._events
        return self._write(partial(retention.trim_history, session=one, cutoffs=self._cutoffs, limit=pace.bound), pace)

    def _write(self, work: Callable[[Connection], T], pace: Pace) -> T:
        """Do it in a transaction of its own, learn how much fits into one, and let others write as long as it took."""
        began: list[float] = []

        def timed(connection: Connection) -> T:
            began.append(time.monotonic())
            return work(connection)

        result = self._store.run_transaction(timed)
        pace.rest(time.monotonic() - began[-1])
        return result
