"""Gauges of queues and connections, refreshed every second and at each scrape.

Set at each turn, they would slow turns; set by the writer, they would freeze with it.
"""

import threading

from ..core.fork_hooks import ForkAware, register
from ..observability import metrics
from ..sessions import SessionStore
from .ws.connection_limits import ConnectionLimits

REFRESH_S = 1.0

CLOSING_S = 5.0


class Gauges(ForkAware):
    """Refreshes one process's gauges. Safe from any thread."""

    def __init__(self, store: SessionStore, connections: ConnectionLimits) -> None:
        self._store = store
        self._connections = connections
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        store.add_close_callback(self.close)
        register(self)

    def start(self) -> None:
        """Idempotently start the refreshing thread."""
        if self._thread is None:
            with self._mutex:
                self._start_once()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSING_S)

    def after_fork_in_child(self) -> None:
        self._mutex, self._closing = threading.Lock(), threading.Event()
        self._thread = None

    def refresh(self) -> None:
        backlog = self._store.backlog()
        metrics.QUEUE_TURNS.set(backlog.queued)
        metrics.PENDING_TURNS.set(backlog.pending)
        metrics.DATABASE_UNAVAILABLE.set(backlog.is_unavailable)
        metrics.CONNECTIONS.set(self._connections.open)

    def _start_once(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._run, name="stepkeep-gauges", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(REFRESH_S):
            self.refresh()
