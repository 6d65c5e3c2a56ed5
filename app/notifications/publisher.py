"""Sends this process's commits in a thread of its own.

PostgreSQL serializes the commits of transactions that notify (src/backend/commands/async.c).
"""

import threading
from collections.abc import Callable

from ..survey import SessionKey
from .transport import OutageLog, Transport, encode, log

GATHER_S = 0.02  # between sends: a busy server batches hundreds, an idle one sends at once
QUEUE_LIMIT = 100_000  # sessions queued during an outage, some 20 MB; polling finds further changes
RETRY_S = (0.5, 1.0, 2.0, 5.0)  # between attempts to reconnect; the last value repeats
CLOSE_S = 2.0  # closing waits this long for the queue

_ACTIVITY = "publishing"


class Publisher:
    """Safe from any thread."""

    def __init__(self, token: str, connect: Callable[[], Transport], outages: OutageLog) -> None:
        self._token = token
        self._connect = connect
        self._outages = outages
        self._mutex = threading.Lock()
        self._queue: dict[SessionKey, int] = {}
        self._has_queued = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.transport: Transport | None = None

    def put(self, key: SessionKey, version: int) -> None:
        with self._mutex:
            if not self._keep(key, version) or self._closing.is_set():
                return
            if self._thread is None:
                self._thread = self._outages.start(self._run, "stepkeep-notification-sender")
        if not self._has_queued.is_set():
            self._has_queued.set()

    def close(self) -> None:
        with self._mutex:
            self._closing.set()
        self._has_queued.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _keep(self, key: SessionKey, version: int) -> bool:
        # Threads may arrive in another order than they committed in.
        known = self._queue.get(key, 0)
        if version <= known or (not known and len(self._queue) >= QUEUE_LIMIT):
            return False
        self._queue[key] = version
        return True

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set() or self._queue:
            self._has_queued.wait()
            self._has_queued.clear()
            if self._send_queue():
                failures = 0
                self._closing.wait(GATHER_S)
                continue
            if self._closing.wait(RETRY_S[min(failures, len(RETRY_S) - 1)]):
                break  # the last attempt; others poll
            failures += 1
            self._has_queued.set()
        self._disconnect()

    def _send_queue(self) -> bool:
        with self._mutex:
            taken, self._queue = self._queue, {}
        if not taken:
            return True
        try:
            self._deliver(encode(self._token, taken))
        except ConnectionError as error:
            self._outages.begin(_ACTIVITY, type(error.__cause__ or error).__name__)
            with self._mutex:
                for key, version in taken.items():
                    self._keep(key, version)
            return False
        except Exception:  # noqa: BLE001 - the thread must go on; others find these changes by polling
            log.exception("Unexpected error while publishing changes; continuing.")
            return True
        self._outages.end(_ACTIVITY)
        return True

    def _deliver(self, payloads: list[str]) -> None:
        was_connected = self.transport is not None
        self.transport = self.transport or self._connect()
        try:
            self.transport.send(payloads)
        except ConnectionError:
            self._disconnect()
            if not was_connected:
                raise
            self._deliver(payloads)  # servers close idle connections: no outage if a new one works

    def _disconnect(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close()
