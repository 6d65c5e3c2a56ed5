"""Figures for many who ask at once: counted once, and kept for a moment."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import RateLimited
from ...sessions.service import SessionStore
from .filters import Filters
from .summary import figures_of

KEPT_S = 2.0
"""Seconds for which figures are given again, at least."""

KEPT_TIMES = 4
"""How many times as long as they took to be counted they are given again: who asks all the time, for the same, keeps
the database busy for a fifth of it."""

KEPT = 32
"""Surveys and filters whose figures are kept: some 100 KB each."""

AGAIN_S = 5
"""Seconds after which who was refused may ask again."""

_Wanted = tuple[str, Filters]


class _Kept(NamedTuple):
    figures: dict[str, Any]
    until: float


class SharedFigures:
    """The figures of a store's surveys. Safe from any thread.

    One is counted at a time, whoever asks: turns have the rest of the machine.

    Args:
        waiting: requests that may wait for figures at once, so that others of REST's threads stay free.
        clock: gives seconds that never go back.
    """

    def __init__(self, store: SessionStore, waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._counting = threading.Lock()
        self._kept: OrderedDict[_Wanted, _Kept] = OrderedDict()
        self._places = threading.BoundedSemaphore(waiting)

    def of(self, survey_id: str, filters: Filters) -> dict[str, Any]:
        """Return the figures as :func:`figures_of`; they may be some seconds old. Not to be changed.

        Raises:
            RateLimited: too many wait for figures already.
        """
        wanted = (survey_id, filters)
        found = self._fresh(wanted)
        if found is not None:
            return found
        if not self._places.acquire(blocking=False):
            raise RateLimited(AGAIN_S)
        try:
            with self._counting:
                return self._fresh(wanted) or self._count(wanted)
        finally:
            self._places.release()

    def _fresh(self, wanted: _Wanted) -> dict[str, Any] | None:
        kept = self._kept.get(wanted)
        return kept.figures if kept is not None and self._clock() < kept.until else None

    def _count(self, wanted: _Wanted) -> dict[str, Any]:
        began = self._clock()
        figures = figures_of(self._store, *wanted)
        now = self._clock()
        self._kept[wanted] = _Kept(figures, now + max(KEPT_S, (now - began) * KEPT_TIMES))
        self._kept.move_to_end(wanted)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return figures
