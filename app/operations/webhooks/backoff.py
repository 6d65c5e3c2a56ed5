"""Retry delays and the circuit breaker of webhooks. Pure: time and randomness are parameters."""

from dataclasses import dataclass

SECOND_US = 1_000_000

FIRST_DELAY_S = 10
FACTOR = 4
MAX_DELAY_S = 14 * 3600
"""Delays are 10 s, 40 s, 3 min, 11 min, 43 min, 3 h, 11 h, then 14 h each: 12 attempts take 71 hours."""

JITTER = 0.2
"""Fraction of a delay by which it varies up or down, so that failed deliveries do not all return at once."""

MAX_RETRY_AFTER_S = 24 * 3600

FAILURE_THRESHOLD = 3
"""Consecutive failures that open the circuit of an endpoint."""

FIRST_OPEN_S = 10
MAX_OPEN_S = 600
"""When an open circuit allows attempts again, one delivery is sent; the others wait without using up attempts."""


def retry_delay_us(attempts: int, chance: float, retry_after_s: float | None = None) -> int:
    """Return the time from the last attempt of a delivery to the next one.

    Args:
        attempts: number of attempts so far, 1 or more.
        chance: a random number from 0 to 1.
        retry_after_s: what the receiver requested; a lower bound.
    """
    delay_s = float(min(FIRST_DELAY_S * FACTOR ** min(attempts - 1, 20), MAX_DELAY_S))
    delay_s *= 1 + JITTER * (2 * chance - 1)
    if retry_after_s is not None:
        delay_s = max(delay_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    return int(delay_s * SECOND_US)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Recent failures of an endpoint.

    Attributes:
        failures: number of consecutive ones.
        open_until: no attempts before, in microseconds since 1970 UTC.
    """

    failures: int = 0
    open_until: int = 0

    def after_attempt(self, at: int, *, succeeded: bool) -> "CircuitBreaker":
        """Return the circuit breaker after one more attempt."""
        if succeeded:
            return CircuitBreaker()
        failures = self.failures + 1
        beyond = failures - FAILURE_THRESHOLD
        if beyond < 0:
            return CircuitBreaker(failures)
        open_s = min(FIRST_OPEN_S * 2 ** min(beyond, 20), MAX_OPEN_S)
        return CircuitBreaker(failures, at + open_s * SECOND_US)

    @property
    def is_failing(self) -> bool:
        """Whether only one delivery may be in flight."""
        return self.failures >= FAILURE_THRESHOLD

    def allows(self, at: int) -> bool:
        """Return whether an attempt may start now."""
        return at >= self.open_until
