"""Rate limits of participants and addresses, and other limits of requests and connections."""

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Literal, get_args

from limits import RateLimitItem, RateLimitItemPerHour, parse
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
    "address_participants",
    "public_participants",
    "address_bytes",
]

_PROBLEMS: Mapping[Rate, str] = {
    "address_participants": "Too many new participants from this network",
    "public_participants": "Too many new participants",
    "address_bytes": "Too much was saved from this network in an hour",
}

REDIS_TIMEOUT_S = 0.5  # after this, the rate is counted in memory
REDIS_RETRY_S = 5.0  # without Redis after a failure
REFUSALS = 10_000  # remembered, of subjects that exceeded a rate counted in Redis

# Counted together: each count calls Redis or scans memory. A participant may exceed their rate by this on each
# connection.
MESSAGE_CHUNK = 50
MESSAGE_CHUNK_S = 1.0

BYTES_CHUNK = 16 * 1024  # counted in advance: a connection that is closed before it has saved so many wastes the rest

BUFFERED_EXPORTS = 2  # concurrent exports written to a file first: they take disk space
PARTICIPANT_READS = 2  # concurrent exports and histories of a participant
ADDRESS_READS = 8  # likewise of all participants of an address, such as a clinic's
EXPORT_RETRY_S = 10


class RateLimits:
    """The settings' rates, counted in Redis or else in each process. Safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._is_enabled = settings.environment == "production"  # else everything comes from one address
        per_hour = {"address_bytes": RateLimitItemPerHour(settings.address_mib_per_hour * 2**20)}
        self._rates: dict[Rate, RateLimitItem] = {
            rate: per_hour.get(rate) or parse(getattr(settings, rate)) for rate in get_args(Rate)
        }
        self._redis_url = settings.redis_url if self._is_enabled else None
        self._mutex = threading.Lock()
        self._limiters: dict[str, SlidingWindowCounterRateLimiter] = {}
        self._redis_retry_at = 0.0
        self._remote = ThreadPoolExecutor(1, "stepkeep-rates")
        self._refusals: dict[tuple[Rate, str], tuple[float, RateLimited]] = {}

    def count(self, rate: Rate, subject: str, cost: int = 1) -> None:
        """Raise RateLimited if the rate is exceeded; the excess is not counted."""
        if self._is_enabled and not self._is_within(rate, subject, cost):
            code = "too_many_participants" if rate.endswith("_participants") else "rate_limited"
            raise RateLimited(min(60, self._rates[rate].get_expiry()), _PROBLEMS.get(rate, "Too many requests"), code)

    def count_soon(self, rate: Rate, subject: str, cost: int) -> None:
        """Count without waiting for Redis: with it, the subject's next call raises."""
        if self._redis_url is None:
            self.count(rate, subject, cost)
            return
        with self._mutex:
            until, error = self._refusals.get((rate, subject), (0.0, None))
        if error is not None and time.monotonic() < until:
            raise error
        self._remote.submit(self._count_remotely, rate, subject, cost)

    def _count_remotely(self, rate: Rate, subject: str, cost: int) -> None:
        try:
            self.count(rate, subject, cost)
        except RateLimited as error:
            with self._mutex:
                if len(self._refusals) >= REFUSALS:
                    self._refusals.clear()
                self._refusals[rate, subject] = time.monotonic() + error.retry_after_s, error

    @contextmanager
    def counting_failures(self, address: str) -> Iterator[None]:
        """Count an Unauthorized as the address's failure, or raise RateLimited in its place.

        Valid credentials are never refused: a whole hospital may share one address.
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
    """The messages and saved bytes of one connection."""

    def __init__(
        self, limits: RateLimits, settings: Settings, participant: str, address: str, *, counts_bytes: bool
    ) -> None:
        self._limits = limits
        self._address = address
        self._counts_bytes = counts_bytes
        self._bytes_left = 0
        self._chunk_bytes = 0  # the first command alone, so that many short connections waste nothing
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
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._consumed_at) * self._per_second) - 1
        self._consumed_at = now
        if self._tokens < 0:
            raise RateLimited(1)
        self._uncounted += 1
        if self._uncounted >= MESSAGE_CHUNK or now - self._counted_at >= MESSAGE_CHUNK_S:
            count, self._uncounted, self._counted_at = self._uncounted, 0, now
            for rate, subject in self._subjects:
                self._limits.count_soon(rate, subject, count)

    def count_bytes(self, size_bytes: int) -> None:
        if not self._counts_bytes:
            return
        if size_bytes > self._bytes_left:
            count = max(size_bytes - self._bytes_left, self._chunk_bytes)
            self._limits.count_soon("address_bytes", self._address, count)
            self._bytes_left += count
            self._chunk_bytes = BYTES_CHUNK
        self._bytes_left -= size_bytes


class Slots:
    """Counts what is under way, by kind and name. Safe from any thread."""

    def __init__(self, limits: Mapping[str, int], retry_after_s: int) -> None:
        self._limits = limits
        self._retry_after_s = retry_after_s
        self._changed = threading.Condition()
        self._taken: Counter[tuple[str, str]] = Counter()

    def taken(self, kind: str) -> int:
        with self._changed:
            return sum(count for (other, _), count in self._taken.items() if other == kind)

    @contextmanager
    def slot(self, kind: str, name: str = "") -> Iterator[None]:
        slot = kind, name
        with self._changed:
            if self._taken[slot] >= self._limits.get(kind, sys.maxsize):
                raise RateLimited(self._retry_after_s)
            self._taken[slot] += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken[slot] -= 1
                if not self._taken[slot]:
                    del self._taken[slot]
                self._changed.notify_all()

    def acquire(self, *slots: tuple[str, str]) -> ExitStack:
        with ExitStack() as acquired:
            for kind, name in slots:
                acquired.enter_context(self.slot(kind, name))
            return acquired.pop_all()

    def wait_until_free(self, kind: str, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._taken[kind, ""], timeout_s)


class ConnectionLimits:
    """Counts open WebSockets; in development only the total. Safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        limits = {"open": settings.max_connections}
        if settings.environment == "production":
            limits |= {
                "address": settings.address_sockets,
                "participant": settings.participant_sockets,
                "anonymous": max(4, settings.max_connections // 10),  # few of all: others need room
                "anonymous_address": max(4, settings.max_connections // 20),
            }
        self.slots = Slots(limits, 1)
        self.stopping = False

    @property
    def open(self) -> int:
        return self.slots.taken("open")

    @contextmanager
    def slot(self, kind: str, name: str = "") -> Iterator[None]:
        with self.slots.slot(kind, name):
            if kind == "open" and self.stopping:  # only now: `wait_until_closed` sees the slots taken before
                raise RateLimited(1)
            yield

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Return False on timeout; closed connections have saved their drafts."""
        return self.slots.wait_until_free("open", timeout_s)


class ExportSlots:
    """Exports and long reads: each takes memory and a thread until the client has read it."""

    def __init__(self, settings: Settings) -> None:
        threads = settings.rest_threads  # the other ones stay free
        limits = {"all": max(1, threads // 4), "buffered": BUFFERED_EXPORTS, "own": max(1, threads // 2)}
        if settings.environment == "production":
            limits |= {"participant": PARTICIPANT_READS, "address": ADDRESS_READS}
        self.slots = Slots(limits, EXPORT_RETRY_S)

    def acquire(self, *, is_streamed: bool) -> ExitStack:
        return self.slots.acquire(("all", ""), *(() if is_streamed else (("buffered", ""),)))

    def acquire_own(self, participant: str, address: str) -> ExitStack:
        return self.slots.acquire(("participant", participant), ("address", address), ("own", ""))


class Throttle:
    """Whether something is due again; forgets all when full. Safe from any thread."""

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
