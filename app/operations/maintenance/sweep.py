"""Work through all sessions in short transactions."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from ...core.progress import Progress
from ...sessions import SessionStore
from ...store import sessions
from ...survey import SessionKey

SCAN_LIMIT = 5000

MAX_SESSIONS = 100  # the pacer may choose fewer
TARGET_S = 0.025  # intended duration of a transaction: turns wait for it
SESSION_WEIGHT = 20  # cost of closing or erasing a session in addition to its events, in events
MIN_EVENTS, MAX_EVENTS = 100, 2000

T = TypeVar("T")


def sweep(
    store: SessionStore,
    read: Callable[..., tuple[int, SessionKey | None, Sequence[T]]],
    process: Callable[[Sequence[T]], Iterable[Sequence[SessionKey]]],
    progress: Progress,
) -> Counter[str]:
    """Process all sessions, and return the numbers of changed ones by survey.

    ``read`` returns the number of the next sessions, the last key, and those to process; ``process`` yields the keys of
    changed ones after each transaction.
    """
    changed: Counter[str] = Counter()
    total, done, after = store.run_read(sessions.count_sessions), 0, None
    while True:
        size, last, found = store.run_read(partial(read, after=after, limit=SCAN_LIMIT))
        for keys in process(found):
            changed.update(key.survey_id for key in keys)
            progress(done, max(done, total))
        after, done = last, done + size
        progress(done, max(done, total))
        if size < SCAN_LIMIT:
            return changed


class TransactionPacer:
    """Chooses how many events fit into TARGET_S."""

    def __init__(self) -> None:
        self.limit = MIN_EVENTS * 3

    def batches(self, items: Iterable[T], weight: Callable[[T], int] = lambda _item: 0) -> Iterator[list[T]]:
        """Yield up to MAX_SESSIONS items, of at most the limit in all, but at least one."""
        batch: list[T] = []
        total = 0
        for item in items:
            if batch and (total + weight(item) > self.limit or len(batch) == MAX_SESSIONS):
                yield batch
                batch, total = [], 0
            batch.append(item)
            total += weight(item)
        if batch:
            yield batch

    def adjust(self, took_s: float) -> None:
        if took_s > TARGET_S:
            self.limit = max(MIN_EVENTS, self.limit // 2)
        elif took_s < TARGET_S / 2:
            self.limit = min(MAX_EVENTS, self.limit + self.limit // 4)

    def run(self, store: SessionStore, work: Callable[[Connection], T]) -> T:
        """Run a transaction, then pause for as long as its last attempt took."""
        started: list[float] = []

        def timed(connection: Connection) -> T:
            started.append(time.monotonic())
            return work(connection)

        result = store.run_transaction(timed)
        self.pause(time.monotonic() - started[-1])
        return result

    def pause(self, took_s: float) -> None:
        self.adjust(took_s)
        # Writers of a SQLite file in other processes do not queue: they poll for the lock.
        time.sleep(min(took_s, TARGET_S * 4))
