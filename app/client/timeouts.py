"""The clients' timeouts."""

from dataclasses import dataclass

from ..core.jitter import JITTER

INTERNAL_ERROR = 1011
ABNORMAL_CLOSURE = 1006
"""The connection ended without a close frame (RFC 6455, 7.1.5)."""

BUSY_CODES = frozenset({1013, 4429})
"""The server is overloaded, or a rate limit exceeded (docs/protocol.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimeouts:
    """Timeouts, delays, which are random, and attempts.

    Attributes:
        connect_attempts: quick ones; slow ones follow.
        connect_delay_s: doubles up to ``connect_delay_max_s``.
        busy_delay_s: after close code 1013 or 4429.
        send_delay_s: times the number of attempts on a connection.
        unavailable_delay_s: after ``unavailable`` or ``rate_limited``; doubles up to ``slow_delay_s``.
        state_timeout_s: for the first message.
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

    def reconnect_after_s(self, close_code: int, failures: int) -> float:
        if close_code in BUSY_CODES:
            return _jittered(self.busy_delay_s, 1, 1.5)
        if failures >= self.connect_attempts:
            return _jittered(self.slow_delay_s, 0.75, 1.25)
        return _jittered(_doubled(self.connect_delay_s, failures - 1, self.connect_delay_max_s), 0, 1)

    def resend_after_s(self, refusals: int) -> float:
        return _jittered(_doubled(self.unavailable_delay_s, refusals, self.slow_delay_s), 0.5, 1)


DEFAULT_TIMEOUTS = ClientTimeouts()


def _doubled(delay_s: float, times: int, longest_s: float) -> float:
    return min(delay_s * 2.0 ** min(max(times, 0), 64), longest_s)  # larger powers can't become a float


def _jittered(delay_s: float, least: float, most: float) -> float:
    return delay_s * JITTER.uniform(least, most)
