"""A clock that never goes back."""

import logging
from collections.abc import Callable

log = logging.getLogger("stepkeep.clock")

MAX_STEP_BACK_US = 24 * 3600 * 1_000_000
"""Wrong time zones and summer time make smaller steps; a larger one corrects a clock that was far ahead."""


class ForwardClock:
    """Microseconds since 1970 UTC; stands still, to keep events in time order, when the clock is set back."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._newest = 0

    def __call__(self) -> int:
        now = self._clock()
        if now < self._newest:
            now = self._stand_still(now)
        self._newest = now
        return now

    def start_at(self, at: int) -> None:
        self._newest = max(self._newest, at)
        self()

    def _stand_still(self, now: int) -> int:
        if self._newest - now <= MAX_STEP_BACK_US:
            return self._newest
        log.warning("The clock is more than a day behind the newest event; new events get earlier times than that.")
        return now
