"""Attempts to connect: a few quick ones, then slow ones for as long as the client is open."""

import logging
import random
import threading
from functools import partial

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_not_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from ..errors import Unavailable
from .errors import RefusedForGood
from .timeouts import ClientTimes

log = logging.getLogger("stepkeep.client")

BUSY_CODES = frozenset({1013, 4429})
"""Close codes of a server that has too much to do: come back, but not soon (PROTOCOL.md)."""


class NotConnected(Unavailable):
    """An attempt to connect that came to nothing."""

    def __init__(self, close_code: int, problem: str) -> None:
        self.close_code = close_code
        super().__init__(f"no connection ({problem})")


def attempts(times: ClientTimes, closing: threading.Event) -> Retrying:
    """Return the policy: it ends with a connection that was of use, with RefusedForGood, or when ``closing`` is set."""
    return Retrying(
        retry=retry_if_not_exception_type(RefusedForGood),
        stop=stop_when_event_set(closing),
        wait=partial(_wait, times),
        sleep=sleep_using_event(closing),
        before_sleep=_log_attempt,
        reraise=True,
    )


def busy_delay_s(times: ClientTimes) -> float:
    """Return how long to keep away from a server that is busy."""
    return jittered(times.busy_delay_s, 1, 1.5)


def jittered(delay_s: float, least: float, most: float) -> float:
    """Return a random time between two shares of it: clients that lost one server don't come back as one."""
    return delay_s * random.uniform(least, most)  # noqa: S311 - no secret


def _wait(times: ClientTimes, attempt: RetryCallState) -> float:
    error = _error_of(attempt)
    if isinstance(error, NotConnected) and error.close_code in BUSY_CODES:
        return busy_delay_s(times)
    if attempt.attempt_number >= times.connect_attempts:
        return jittered(times.slow_delay_s, 0.75, 1.25)
    quick = wait_random_exponential(multiplier=times.connect_delay_s, max=times.connect_delay_max_s)
    return quick(attempt)


def _error_of(attempt: RetryCallState) -> BaseException | None:
    return None if attempt.outcome is None else attempt.outcome.exception()


def _log_attempt(attempt: RetryCallState) -> None:
    error = _error_of(attempt)
    if isinstance(error, NotConnected):
        log.info("attempt %d: %s", attempt.attempt_number, error)
    else:
        log.error("attempt %d ended by a fault of the client's", attempt.attempt_number, exc_info=error)
