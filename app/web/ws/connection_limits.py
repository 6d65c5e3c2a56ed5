"""Limits of open WebSockets."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ...errors import RateLimited
from ...settings import Settings


class ConnectionLimits:
    """Counts open WebSockets. Safe from any thread.

    Args:
        limits: by kind (address, participant, anonymous); default: ``limit``.
    """

    def __init__(self, limit: int, limits: Mapping[str, int] | None = None) -> None:
        self._limit = limit
        self._limits = limits or {}
        self._changed = threading.Condition()
        self._open = 0
        self._slots: Counter[tuple[str, str]] = Counter()
        self.stopping = False

    def acquire(self) -> bool:
        """Count a connection; return False if too many, or shutting down."""
        with self._changed:
            if self.stopping or self._open >= self._limit:
                return False
            self._open += 1
            return True

    def release(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    @property
    def open(self) -> int:
        return self._open

    @contextmanager
    def slot(self, kind: str, name: str) -> Iterator[None]:
        """Count a connection while the block runs; raise RateLimited if too many."""
        with self._changed:
            if self._slots[kind, name] >= self._limits.get(kind, self._limit):
                raise RateLimited(1)
            self._slots[kind, name] += 1
        try:
            yield
        finally:
            with self._changed:
                self._slots[kind, name] -= 1
                if not self._slots[kind, name]:
                    del self._slots[kind, name]

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Return False on timeout; closed connections have saved their drafts."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout_s)


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return the limits; development has only the total: all comes from one address."""
    if settings.environment == "development":
        return ConnectionLimits(settings.max_connections)
    limits = {
        "address": settings.address_sockets,
        "participant": settings.participant_sockets,
        "anonymous": max(4, settings.max_connections // 10),
    }
    return ConnectionLimits(settings.max_connections, limits)
