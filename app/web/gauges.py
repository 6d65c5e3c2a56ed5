"""What changes all the time, looked at every second and whenever somebody reads the figures: queues and connections.

Set at each turn, a gauge would cost the turn something; set by the writer alone, it would stand still when the writer
does, which is when it is looked at.
"""

import os
import threading
from typing import cast

import flask

from ..observability import metrics
from ..sessions.service import SessionStore
from .ws.connection_limits import Connections

LOOK_S = 1.0
"""Seconds between two looks: gauges of other server processes are this old at most."""

CLOSING_S = 5.0


class Gauges:
    """One process's; the application's extension ``stepkeep_gauges``. Safe from any thread."""

    def __init__(self, store: SessionStore, connections: Connections) -> None:
        self._store = store
        self._connections = connections
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._pid: int | None = None
        self._thread: threading.Thread | None = None
        store.add_close_callback(self.close)

    def start(self) -> None:
        """Look every second from now on, in a thread of this process; once more changes nothing."""
        if self._pid == os.getpid():
            return
        if self._pid is not None:  # a forked child: its parent may have held the lock
            self._mutex, self._closing = threading.Lock(), threading.Event()
        with self._mutex:
            if self._pid == os.getpid() or self._closing.is_set():
                return
            self._pid = os.getpid()
            self._thread = threading.Thread(target=self._look, name="stepkeep-gauges", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(CLOSING_S)

    def refresh(self) -> None:
        """Set the gauges to what is now."""
        backlog = self._store.backlog()
        metrics.QUEUE_TURNS.set(backlog.queued)
        metrics.PENDING_TURNS.set(backlog.pending)
        metrics.DATABASE_UNAVAILABLE.set(backlog.is_unavailable)
        metrics.CONNECTIONS.set(self._connections.open)

    def _look(self) -> None:
        while not self._closing.wait(LOOK_S):
            self.refresh()


def gauges() -> Gauges:
    """Return the running application's."""
    return cast("Gauges", flask.current_app.extensions["stepkeep_gauges"])
