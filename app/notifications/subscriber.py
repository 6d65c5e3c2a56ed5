"""The thread that receives other processes' changes. It also polls, because a lost connection loses notifications."""

import threading
from collections.abc import Callable
from contextlib import closing
from time import monotonic

from ..core.jitter import JITTER
from ..errors import StepkeepError
from .transport import OutageLog, Transport, log

SAFETY_POLL_S = 15.0  # between polls while the transport works
RECEIVE_S = 0.25  # bounds how long closing takes
IDLE_S = 10.0  # without a notification, before the server is probed
RETRY_S = 0.5
RETRY_MAX_S = 30.0  # before a reconnect, doubling, with jitter
CLOSE_S = 2.0  # a thread blocked by a frozen server ends with the process


class ChangeListener:
    """Without ``connect``, it only polls."""

    def __init__(
        self,
        *,
        poll: Callable[[threading.Event], None],
        on_message: Callable[[str], None],
        connect: Callable[[], Transport] | None,
        has_changed: Callable[[], bool],
        interval_s: float,
        outages: OutageLog,
    ) -> None:
        self._poll_all = poll
        self._on_message = on_message
        self._connect = connect
        self._has_changed = has_changed
        self._interval_s = interval_s
        self._outages = outages
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_behind = False
        self._polled_at = monotonic()
        self.transport: Transport | None = None

    def start(self) -> None:
        """Idempotent; if no thread can start, a later call may succeed."""
        if self._thread is None:
            self._thread = self._outages.start(self._run, "stepkeep-notifications")

    def schedule_poll(self) -> None:
        self._is_behind = True

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                if self._connect is None:
                    self._poll_for(float("inf"))
                else:
                    self._listen_until_closed(self._connect)
            except Exception:  # noqa: BLE001 - without this thread no change would arrive
                log.exception("Unexpected error in the notification thread; continuing.")
                self._closing.wait(self._interval_s)

    def _listen_until_closed(self, connect: Callable[[], Transport]) -> None:
        delay_s = RETRY_S
        while not self._closing.is_set():
            try:
                with closing(connect()) as transport:
                    transport.listen()
                    self.transport = transport
                    delay_s = RETRY_S
                    self._outages.end("listening")
                    self._listen(transport)
            except ConnectionError as error:
                self._outages.begin("listening", type(error.__cause__ or error).__name__)
                self._poll_for(delay_s * JITTER.uniform(0.5, 1.0))
                delay_s = min(delay_s * 2, RETRY_MAX_S)
            finally:
                self.transport = None

    def _listen(self, transport: Transport) -> None:
        self._poll()  # for what was missed
        received_at = monotonic()
        while not self._closing.is_set():
            for payload in transport.receive(RECEIVE_S):
                received_at = monotonic()
                self._on_message(payload)
            if monotonic() - received_at > IDLE_S:
                transport.probe()
                received_at = monotonic()
            if monotonic() - self._polled_at > (self._interval_s if self._is_behind else SAFETY_POLL_S):
                self._poll()

    def _poll_for(self, seconds: float) -> None:
        until = monotonic() + seconds
        while (left_s := until - monotonic()) > 0 and not self._closing.wait(min(left_s, self._interval_s)):
            self._poll_if_needed()

    def _poll_if_needed(self) -> None:
        # Called each time: it reports a change once, kept until a poll succeeds.
        if self._has_changed() or monotonic() - self._polled_at > SAFETY_POLL_S:
            self._is_behind = True
        if self._is_behind:
            self._poll()

    def _poll(self) -> None:
        self._is_behind = False
        try:
            self._poll_all(self._closing)
        except StepkeepError as error:
            self._is_behind = True
            self._outages.begin("polling", type(error).__name__)
        else:
            self._outages.end("polling")
        self._polled_at = monotonic()
