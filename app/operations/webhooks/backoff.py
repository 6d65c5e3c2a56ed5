"""When a delivery is tried again, and when an address is left alone for a while. Pure: time and chance are given."""

from dataclasses import dataclass

SECOND_US = 1_000_000

FIRST_S = 10
FACTOR = 4
LONGEST_S = 14 * 3600
"""After 10 s, 40 s, 3 min, 11 min, 43 min, 3 h, 11 h, then every 14 h: with 12 attempts 71 h in all, about three days.
An outage of a minute costs a minute; one of a weekend loses nothing."""

JITTER = 0.2
"""A share of the delay, up or down: what failed together does not come back together."""

ASKED_LONGEST_S = 24 * 3600
"""Of what a receiver asks for by Retry-After, at most."""

FAILURES = 3
"""In a row, of whatever events, after which an address is left alone for a while."""

PAUSE_FIRST_S = 10
PAUSE_LONGEST_S = 600
"""Then it is tried with one delivery; the others wait without using up their attempts."""


def again_in_us(attempts: int, chance: float, asked_s: float | None = None) -> int:
    """Return how long after its last attempt a delivery is tried again.

    Args:
        attempts: that were made, 1 or more.
        chance: from 0 to 1.
        asked_s: what the receiver asked for; it is never tried earlier.
    """
    delay_s = float(min(FIRST_S * FACTOR ** min(attempts - 1, 20), LONGEST_S))
    delay_s *= 1 + JITTER * (2 * chance - 1)
    if asked_s is not None:
        delay_s = max(delay_s, min(asked_s, ASKED_LONGEST_S))
    return int(delay_s * SECOND_US)


@dataclass(frozen=True, slots=True)
class Circuit:
    """How an address did lately.

    Attributes:
        failures: in a row.
        until: when it may be tried again, microseconds since 1970 UTC.
    """

    failures: int = 0
    until: int = 0

    def after(self, at: int, *, is_well: bool) -> "Circuit":
        """Return it after one more attempt."""
        if is_well:
            return Circuit()
        failures = self.failures + 1
        beyond = failures - FAILURES
        if beyond < 0:
            return Circuit(failures)
        pause_s = min(PAUSE_FIRST_S * 2 ** min(beyond, 20), PAUSE_LONGEST_S)
        return Circuit(failures, at + pause_s * SECOND_US)

    @property
    def is_failing(self) -> bool:
        """Whether it is tried with one delivery at a time."""
        return self.failures >= FAILURES

    def allows(self, at: int) -> bool:
        """Return whether it may be tried now."""
        return at >= self.until
