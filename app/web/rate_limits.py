"""How much one participant and one address may ask for: rates that all connections and processes share.

Counted by ``limits``, in a sliding window: in memory, or in Redis where REDIS_URL is set, so that several server
processes count together. While Redis is away each process counts for itself. In development nothing is limited:
all comes from one address there.
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Literal

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from ..errors import RateLimited
from ..settings import Settings

log = logging.getLogger("stepkeep.limits")

Kind = Literal[
    "participant_connections",
    "address_connections",
    "participant_messages",
    "address_messages",
    "address_requests",
    "address_failures",
]
_KINDS: tuple[Kind, ...] = (
    "participant_connections",
    "address_connections",
    "participant_messages",
    "address_messages",
    "address_requests",
    "address_failures",
)

REDIS_WITHIN_S = 0.5
"""Seconds that Redis may take; then memory must do."""

REDIS_AGAIN_S = 5.0
"""Seconds for which Redis is not asked again after it failed."""

MESSAGES_AT_ONCE = 50
"""Messages of a connection that are counted together, or those of REPORTED_S: each count is a call to Redis, or
makes ``limits`` look through its memory. So much a participant may exceed his rate by on each connection."""

REPORTED_S = 1.0


class Limits:
    """The rates of the settings. Safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._is_on = settings.environment == "production"
        self._rates: Mapping[Kind, RateLimitItem] = {kind: parse(getattr(settings, kind)) for kind in _KINDS}
        self._redis_url = settings.redis_url if self._is_on else None
        self._mutex = threading.Lock()
        self._in_memory: SlidingWindowCounterRateLimiter | None = None
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._shared_again_at = 0.0

    def count(self, kind: Kind, whose: str, how_many: int = 1) -> None:
        """Count something in.

        Args:
            whose: the participant or the address.

        Raises:
            RateLimited: that is more than the rate allows; what is beyond it isn't counted.
        """
        if self._is_on and not self._ask("hit", kind, whose, how_many):
            raise RateLimited(self._again_in_s(kind))

    def check(self, kind: Kind, whose: str) -> None:
        """Return if one more would be allowed; nothing is counted.

        Raises:
            RateLimited: it would not.
        """
        if self._is_on and not self._ask("test", kind, whose, 1):
            raise RateLimited(self._again_in_s(kind))

    def _ask(self, what: Literal["hit", "test"], kind: Kind, whose: str, cost: int) -> bool:
        rate = self._rates[kind]
        if self._redis_url and time.monotonic() >= self._shared_again_at:
            try:
                return _asked(self._shared_limiter(self._redis_url), what, rate, (kind, whose), cost)
            except Exception as error:  # noqa: BLE001 - whatever Redis and its driver raise: nobody waits for it
                self._shared_again_at = time.monotonic() + REDIS_AGAIN_S
                log.warning(
                    "rates can't be counted in Redis, and each process counts for itself: %s", type(error).__name__
                )
        return _asked(self._memory_limiter(), what, rate, (kind, whose), cost)

    def _shared_limiter(self, url: str) -> SlidingWindowCounterRateLimiter:
        with self._mutex:
            if self._shared is None:
                waits = {"socket_timeout": REDIS_WITHIN_S, "socket_connect_timeout": REDIS_WITHIN_S}
                self._shared = _limiter(storage_from_string(url, **waits))  # type: ignore[arg-type]  # redis-py's options
            return self._shared

    def _memory_limiter(self) -> SlidingWindowCounterRateLimiter:
        with self._mutex:
            if self._in_memory is None:  # its storage starts a thread
                self._in_memory = _limiter(MemoryStorage())
            return self._in_memory

    def _again_in_s(self, kind: Kind) -> int:
        return min(60, self._rates[kind].get_expiry())


class Meter:
    """The messages of one connection, counted in with their participant's and address's.

    Args:
        per_second, burst: what this connection alone may send, in the long run and at once.
    """

    def __init__(self, limits: Limits, settings: Settings, user: str, address: str) -> None:
        self._limits = limits
        self._whose: tuple[tuple[Kind, str], ...] = (("participant_messages", user), ("address_messages", address))
        self._per_second = settings.messages_per_second
        self._burst = settings.message_burst
        self._tokens = float(settings.message_burst)
        self._at = self._reported_at = time.monotonic()
        self._unreported = 0

    def spend(self) -> None:
        """Count one message in.

        Raises:
            RateLimited: it is one too many.
        """
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second) - 1
        self._at = now
        if self._tokens < 0:
            raise RateLimited(1)
        self._unreported += 1
        if self._unreported >= MESSAGES_AT_ONCE or now - self._reported_at >= REPORTED_S:
            count, self._unreported, self._reported_at = self._unreported, 0, now
            for kind, whose in self._whose:
                self._limits.count(kind, whose, count)


def _limiter(storage: Storage) -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(storage)


def _asked(
    limiter: SlidingWindowCounterRateLimiter,
    what: Literal["hit", "test"],
    rate: RateLimitItem,
    whose: tuple[str, str],
    cost: int,
) -> bool:
    return limiter.hit(rate, *whose, cost=cost) if what == "hit" else limiter.test(rate, *whose, cost=cost)
