"""What this process committed, on its way to the others: collected, then sent by a thread of its own.

Never sent in the writer's transaction: PostgreSQL lets transactions that notify commit one after the other only
(src/backend/commands/async.c), and no answer should wait for news.
"""

import threading
from collections.abc import Callable

from ..survey import SessionKey
from .transport import OutageLog, Transport, encode, log

GATHER_S = 0.02
"""Seconds between two sendings: a busy server tells of hundreds of changes at once, a quiet one at once of each."""

WAITING_LIMIT = 100_000
"""Sessions whose news may wait for a link that is lost, some 20 MB; of more the others learn by looking."""

RETRY_S = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while the link is lost; the last for all further ones."""

CLOSE_S = 2.0
"""Seconds that closing waits for what has not been sent."""

_WHAT = "telling them"


class Publisher:
    """The news that wait to be sent, and the thread that sends them. Safe from any thread.

    Args:
        token: who sends.
        open_link: connects, or raises ConnectionError.
    """

    def __init__(self, token: str, open_link: Callable[[], Transport], outages: OutageLog) -> None:
        self._token = token
        self._open_link = open_link
        self._outages = outages
        self._mutex = threading.Lock()
        self._waiting: dict[SessionKey, int] = {}
        self._is_filled = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.link: Transport | None = None

    def put(self, key: SessionKey, version: int) -> None:
        """Send it soon; the first call starts the thread."""
        with self._mutex:
            if not self._keep(key, version) or self._closing.is_set():
                return
            if self._thread is None:
                self._start()
        if not self._is_filled.is_set():
            self._is_filled.set()

    def close(self) -> None:
        """Send what waits, if that takes no longer than CLOSE_S, and end."""
        with self._mutex:
            self._closing.set()
        self._is_filled.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _keep(self, key: SessionKey, version: int) -> bool:
        # Threads that committed one after the other may come here in another order.
        known = self._waiting.get(key, 0)
        if version <= known or (not known and len(self._waiting) >= WAITING_LIMIT):
            return False
        self._waiting[key] = version
        return True

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="stepkeep-news-sender", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter ends: the others learn by looking
            self._outages.begin(_WHAT, type(error).__name__)
        else:
            self._thread = thread

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set() or self._waiting:
            self._is_filled.wait()
            self._is_filled.clear()
            if self._send_waiting():
                failures = 0
                self._closing.wait(GATHER_S)
                continue
            if self._closing.wait(RETRY_S[min(failures, len(RETRY_S) - 1)]):
                break  # it was tried; what the others miss they find by looking
            failures += 1
            self._is_filled.set()
        self._hang_up()

    def _send_waiting(self) -> bool:
        with self._mutex:
            taken, self._waiting = self._waiting, {}
        if not taken:
            return True
        try:
            self._deliver(encode(self._token, taken))
        except ConnectionError as error:
            self._outages.begin(_WHAT, type(error.__cause__ or error).__name__)
            with self._mutex:
                for key, version in taken.items():
                    self._keep(key, version)
            return False
        except Exception:  # noqa: BLE001 - others' news must go on; these are found by looking
            log.exception("news could not be sent, by a fault of ours")
            return True
        self._outages.end(_WHAT)
        return True

    def _deliver(self, payloads: list[str]) -> None:
        if self.link is not None:
            try:
                self.link.send(payloads)
            except ConnectionError:
                self._hang_up()  # servers end connections that were idle: no outage, if a new one works
            else:
                return
        self.link = self._open_link()
        try:
            self.link.send(payloads)
        except ConnectionError:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.close()
