"""Summaries for concurrent callers."""

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ...core.progress import Progress, no_progress
from ...errors import RateLimited
from ...sessions import SessionStore
from .filters import Filters

MIN_AGE_S = 2.0

AGE_FACTOR = 4  # times the computing time: polling uses a fifth of the database
MAX_CACHED = 32  # of some 100 KB each
RETRY_AFTER_S = 5

_Key = tuple[str, Filters]


class _Cached(NamedTuple):
    summary: dict[str, Any]
    expires_at: float


def summarize(
    store: SessionStore,
    survey_id: str,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Return a survey's analytics, or raise NoSuchSurvey."""
    from .summary import compute_summary  # noqa: PLC0415 - NumPy takes a tenth of a server's start

    return compute_summary(store, survey_id, filters, progress)


class SummaryCache:
    """Computes one summary at a time, to leave the machine to turns; ``max_waiting`` callers may wait. Thread-safe."""

    def __init__(self, store: SessionStore, max_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._computing = threading.Lock()
        self._cached: dict[_Key, _Cached] = {}
        self._waiting = threading.BoundedSemaphore(max_waiting)

    def get(self, survey_id: str, filters: Filters) -> dict[str, Any]:
        """Return a summary, not to be modified, or raise RateLimited."""
        key = (survey_id, filters)
        summary = self._fresh(key)
        if summary is not None:
            return summary
        if not self._waiting.acquire(blocking=False):
            raise RateLimited(RETRY_AFTER_S)
        try:
            with self._computing:
                return self._fresh(key) or self._compute(key)
        finally:
            self._waiting.release()

    def _fresh(self, key: _Key) -> dict[str, Any] | None:
        cached = self._cached.get(key)
        return cached.summary if cached is not None and self._clock() < cached.expires_at else None

    def _compute(self, key: _Key) -> dict[str, Any]:
        started = self._clock()
        summary = summarize(self._store, *key)
        now = self._clock()
        self._cached.pop(key, None)  # added again at the end
        self._cached[key] = _Cached(summary, now + max(MIN_AGE_S, (now - started) * AGE_FACTOR))
        if len(self._cached) > MAX_CACHED:
            del self._cached[next(iter(self._cached))]
        return summary
