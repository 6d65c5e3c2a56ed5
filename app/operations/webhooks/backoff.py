"""Retry delays and the circuit breaker of webhooks. Pure."""

from dataclasses import dataclass

SECOND_US = 1_000_000

FIRST_DELAY_S = 10
FACTOR = 4
MAX_DELAY_S = 14 * 3600  # 10 s, 40 s, ... 11 h, then 14 h each: 12 attempts take 71 hours
JITTER = 0.2  # as a fraction: failed deliveries must not all return at once
MAX_RETRY_AFTER_S = 24 * 3600

FAILURE_THRESHOLD = 3

FIRST_OPEN_S = 10
MAX_OPEN_S = 600  # an open circuit then tries one delivery; the others use no attempts


def retry_delay_us(attempts: int, chance: float, retry_after_s: float | None = None) -> int:
    """Return the delay after an attempt; the chance is from 0 to 1."""
    delay_s = float(min(FIRST_DELAY_S * FACTOR ** min(attempts - 1, 20), MAX_DELAY_S))
    delay_s *= 1 + JITTER * (2 * chance - 1)
    if retry_after_s is not None:
        delay_s = max(delay_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    return int(delay_s * SECOND_US)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Consecutive failures of an endpoint; times are in us since 1970 UTC."""

    failures: int = 0
    open_until: int = 0

    def after_attempt(self, at: int, *, succeeded: bool) -> "CircuitBreaker":
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
        return self.failures >= FAILURE_THRESHOLD

    def allows(self, at: int) -> bool:
        return at >= self.open_until
