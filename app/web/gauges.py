"""Gauges of queues and connections, refreshed every second and at each scrape.

Setting them at each turn would slow turns; set by the writer alone, they would freeze whenever the writer does.
"""

import threading

from ..core.fork_hooks import ForkAware, register
from ..observability import metrics
from ..sessions import SessionStore
from .ws.connection_limits import ConnectionLimits

REFRESH_S = 1.0
"""Seconds between two refreshes: other server processes' gauges are at most this old."""

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
        """Start the thread that refreshes this process's gauges; idempotent."""
        if self._thread is None:
            with self._mutex:
                self._start_once()

    def close(self) -> None:
        """Stop the thread."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSING_S)

    def after_fork_in_child(self) -> None:
        """Forget the thread, which the next request starts again."""
        self._mutex, self._closing = threading.Lock(), threading.Event()
        self._thread = None

    def refresh(self) -> None:
        """Set the gauges to the present values."""
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
