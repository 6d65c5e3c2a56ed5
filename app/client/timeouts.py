"""Timeouts, delays and attempts of the client."""

import logging
import random
import threading
from dataclasses import dataclass
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
from .errors import PermanentlyRefused

log = logging.getLogger("stepkeep.client")

BUSY_CODES = frozenset({1013, 4429})
"""The server is overloaded, or a rate limit exceeded (docs/protocol.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimeouts:
    """Timeouts, delays and attempts.

    Attributes:
        connect_attempts: quick ones; slow ones follow until closing.
        connect_delay_s: doubles up to ``connect_delay_max_s``; random below that, so that clients do not return all at
            once.
        slow_delay_s: give or take a quarter.
        busy_delay_s: after close code 1013 or 4429, or up to half more.
        send_attempts: on one connection.
        send_delay_s: times the number of attempts.
        unavailable_delay_s: after ``unavailable`` or ``rate_limited``; doubles up to ``slow_delay_s`` while nothing is
            acknowledged.
        open_timeout_s: for connection and handshake.
        state_timeout_s: then for the first message.
        ping_timeout_s: for a pong or TCP's acknowledgement.
    """

    connect_attempts: int = 5
    connect_delay_s: float = 0.5
    connect_delay_max_s: float = 8.0
    slow_delay_s: float = 20.0
    busy_delay_s: float = 30.0
    send_attempts: int = 3
    send_delay_s: float = 0.2
    unavailable_delay_s: float = 1.0
    open_timeout_s: float = 10.0
    state_timeout_s: float = 30.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    close_timeout_s: float = 2.0


DEFAULT_TIMEOUTS = ClientTimeouts()


class NotConnected(Unavailable):
    """An attempt to connect failed."""

    def __init__(self, close_code: int, problem: str) -> None:
        self.close_code = close_code
        super().__init__(f"No connection ({problem}).")


def reconnect_policy(timeouts: ClientTimeouts, closing: threading.Event) -> Retrying:
    """Retry until a useful connection ends, PermanentlyRefused, or ``closing`` is set."""
    return Retrying(
        retry=retry_if_not_exception_type(PermanentlyRefused),
        stop=stop_when_event_set(closing),
        wait=partial(_delay_s, timeouts),
        sleep=sleep_using_event(closing),
        before_sleep=_log_attempt,
        reraise=True,
    )


def reconnect_delay_s(timeouts: ClientTimeouts, close_code: int) -> float:
    """Return the delay after a useful connection: short, unless the server is busy."""
    return _busy_delay_s(timeouts) if close_code in BUSY_CODES else jittered(timeouts.connect_delay_s, 0, 1)


def jittered(delay_s: float, least: float, most: float) -> float:
    """Return a random time between two multiples of a delay."""
    return delay_s * random.uniform(least, most)  # noqa: S311 - not a secret


def _busy_delay_s(timeouts: ClientTimeouts) -> float:
    return jittered(timeouts.busy_delay_s, 1, 1.5)


def _delay_s(timeouts: ClientTimeouts, attempt: RetryCallState) -> float:
    error = _error(attempt)
    if isinstance(error, NotConnected) and error.close_code in BUSY_CODES:
        return _busy_delay_s(timeouts)
    if attempt.attempt_number >= timeouts.connect_attempts:
        return jittered(timeouts.slow_delay_s, 0.75, 1.25)
    quick = wait_random_exponential(multiplier=timeouts.connect_delay_s, max=timeouts.connect_delay_max_s)
    return quick(attempt)


def _error(attempt: RetryCallState) -> BaseException | None:
    return None if attempt.outcome is None else attempt.outcome.exception()


def _log_attempt(attempt: RetryCallState) -> None:
    error = _error(attempt)
    if isinstance(error, NotConnected):
        log.info("Connection attempt %d failed: %s", attempt.attempt_number, error)
    else:
        log.error("Unexpected error in connection attempt %d.", attempt.attempt_number, exc_info=error)
