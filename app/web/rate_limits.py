"""Rate limits of participants and addresses, and other limits of requests and connections.

A sliding window counts in Redis if REDIS_URL is set; without Redis each process counts alone. Development has no rates:
everything comes from one address.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal, get_args

from limits import RateLimitItem, parse
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from ..errors import RateLimited, Unauthorized
from ..settings import Settings

log = logging.getLogger("stepkeep.limits")

Rate = Literal[
    "participant_connections",
    "address_connections",
    "participant_messages",
    "address_messages",
    "address_requests",
    "address_failures",
]

REDIS_TIMEOUT_S = 0.5
"""After this, the rate is counted in memory."""

REDIS_RETRY_S = 5.0
"""Seconds without Redis after a failure."""

MESSAGE_CHUNK = 50
"""Counted together: each count calls Redis or scans memory. A participant may exceed their rate by this
on each connection."""

MESSAGE_CHUNK_S = 1.0

BUFFERED_EXPORTS = 2
"""Concurrent exports written to a file first: they take disk space."""

EXPORT_RETRY_S = 10


class RateLimits:
    """The settings' rates. Safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._is_enabled = settings.environment == "production"
        self._rates: dict[Rate, RateLimitItem] = {rate: parse(getattr(settings, rate)) for rate in get_args(Rate)}
        self._redis_url = settings.redis_url if self._is_enabled else None
        self._mutex = threading.Lock()
        self._limiters: dict[str, SlidingWindowCounterRateLimiter] = {}
        self._redis_retry_at = 0.0

    def count(self, rate: Rate, subject: str, cost: int = 1) -> None:
        """Raise RateLimited if the rate is exceeded; the excess is not counted."""
        if self._is_enabled and not self._is_within(rate, subject, cost):
            raise RateLimited(min(60, self._rates[rate].get_expiry()))

    @contextmanager
    def counting_failures(self, address: str) -> Iterator[None]:
        """Count an Unauthorized as the address's failure; raise RateLimited in its place if it had too many.

        The credential is checked first: a whole hospital may share one address, and a valid one is not a guess.
        """
        try:
            yield
        except Unauthorized:
            self.count("address_failures", address)
            raise

    def _is_within(self, rate: Rate, subject: str, cost: int) -> bool:
        item = self._rates[rate]
        if self._redis_url and time.monotonic() >= self._redis_retry_at:
            try:
                return self._limiter(self._redis_url).hit(item, rate, subject, cost=cost)
            except Exception as error:  # noqa: BLE001 - whatever Redis and its driver raise: requests go on
                self._redis_retry_at = time.monotonic() + REDIS_RETRY_S
                log.warning("Redis is unavailable; each process counts rates alone: %s", type(error).__name__)
        return self._limiter("memory://").hit(item, rate, subject, cost=cost)

    def _limiter(self, url: str) -> SlidingWindowCounterRateLimiter:
        with self._mutex:
            if url not in self._limiters:  # only now: in memory it starts a thread
                timeouts = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
                storage = storage_from_string(url, **timeouts)
                self._limiters[url] = SlidingWindowCounterRateLimiter(storage)
            return self._limiters[url]


class MessageBudget:
    """The messages of one connection, counted also for its participant and address."""

    def __init__(self, limits: RateLimits, settings: Settings, participant: str, address: str) -> None:
        self._limits = limits
        self._subjects: tuple[tuple[Rate, str], ...] = (
            ("participant_messages", participant),
            ("address_messages", address),
        )
        self._per_second = settings.messages_per_second
        self._burst = settings.message_burst
        self._tokens = float(settings.message_burst)
        self._consumed_at = self._counted_at = time.monotonic()
        self._uncounted = 0

    def consume(self) -> None:
        """Count one message; raise RateLimited if it exceeds a rate."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._consumed_at) * self._per_second) - 1
        self._consumed_at = now
        if self._tokens < 0:
            raise RateLimited(1)
        self._uncounted += 1
        if self._uncounted >= MESSAGE_CHUNK or now - self._counted_at >= MESSAGE_CHUNK_S:
            count, self._uncounted, self._counted_at = self._uncounted, 0, now
            for rate, subject in self._subjects:
                self._limits.count(rate, subject, count)


class ConnectionLimits:
    """Counts open WebSockets. Safe from any thread.

    Development has only the total: all comes from one address.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = {"open": settings.max_connections}
        if settings.environment == "production":
            self._limits |= {
                "address": settings.address_sockets,
                "participant": settings.participant_sockets,
                "anonymous": max(4, settings.max_connections // 10),
            }
        self._changed = threading.Condition()
        self._slots: Counter[tuple[str, str]] = Counter()
        self.stopping = False

    @property
    def open(self) -> int:
        return self._slots["open", ""]

    @contextmanager
    def slot(self, kind: str, name: str = "") -> Iterator[None]:
        """Count a connection while the block runs; raise RateLimited if too many, or, when it opens, shutting down."""
        slot = kind, name
        with self._changed:
            if self._slots[slot] >= self._limits.get(kind, self._limits["open"]) or (kind == "open" and self.stopping):
                raise RateLimited(1)
            self._slots[slot] += 1
        try:
            yield
        finally:
            with self._changed:
                self._slots[slot] -= 1
                if not self._slots[slot]:
                    del self._slots[slot]
                self._changed.notify_all()

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Return False on timeout; closed connections have saved their drafts."""
        with self._changed:
            return self._changed.wait_for(lambda: self.open == 0, timeout_s)


class ExportSlots:
    """This process's exports: each takes a REST thread for minutes. Safe from any thread."""

    def __init__(self, count: int) -> None:
        self._all = threading.BoundedSemaphore(count)
        self._buffered = threading.BoundedSemaphore(BUFFERED_EXPORTS)

    def acquire(self, *, is_streamed: bool) -> ExitStack:
        """Return a slot, to be closed at the export's end; raise RateLimited if all are taken."""
        with ExitStack() as acquired:
            for semaphore in (self._all,) if is_streamed else (self._all, self._buffered):
                if not semaphore.acquire(blocking=False):
                    raise RateLimited(EXPORT_RETRY_S)
                acquired.callback(semaphore.release)
            return acquired.pop_all()


class Throttle:
    """Whether something is due again; forgets all when full. Safe from any thread.

    Args:
        clock: returns microseconds since 1970 UTC.
    """

    def __init__(self, every_us: int, clock: Callable[[], int], limit: int = 1000) -> None:
        self._every_us = every_us
        self._clock = clock
        self._limit = limit
        self._recorded_at: dict[Hashable, int] = {}

    def is_due(self, item: Hashable) -> bool:
        return self._clock() - self._recorded_at.get(item, -self._every_us) >= self._every_us

    def record(self, item: Hashable) -> None:
        if len(self._recorded_at) >= self._limit:
            self._recorded_at.clear()
        self._recorded_at[item] = self._clock()
