"""The thread that learns of changes by other processes: it listens where something tells of them, else it looks.

While the link is lost it looks, and tries again. Listening alone is not enough: a process that is killed between its
commit and its announcement tells nobody, and what is sent while a link is down is gone. So it looks once after each
connecting, and seldom for ever after.
"""

import random
import threading
from collections.abc import Callable
from contextlib import closing
from time import monotonic

from ..errors import StepkeepError
from .transport import OutageLog, Transport, log

NET_S = 15.0
"""Seconds between two looks at all that is shown here, where news are told."""

RECEIVE_S = 0.25
"""Seconds that one wait for news lasts, at most: how long closing takes."""

IDLE_S = 10.0
"""Seconds without a word after which the other end is asked whether it is there."""

RETRY_S = 0.5
RETRY_MAX_S = 30.0
"""Seconds before a lost link is tried again, doubling, with jitter; meanwhile it looks."""

CLOSE_S = 2.0
"""Seconds that closing waits; a thread that a frozen server holds is left behind, and ends with the process."""


class ChangeListener:
    """The thread, begun by ``start``.

    Args:
        look: reads the versions of all that is followed here and tells what is newer.
        hear: takes a payload.
        open_link: connects, or raises ConnectionError; None where nothing tells of changes.
        has_changed: whether a look may find anything; asked from the thread before each of the frequent ones.
        interval_s: seconds between two looks where nothing tells of changes.
    """

    def __init__(
        self,
        *,
        look: Callable[[threading.Event], None],
        hear: Callable[[str], None],
        open_link: Callable[[], Transport] | None,
        has_changed: Callable[[], bool],
        interval_s: float,
        outages: OutageLog,
    ) -> None:
        self._look_at_all = look
        self._hear = hear
        self._open_link = open_link
        self._has_changed = has_changed
        self._interval_s = interval_s
        self._outages = outages
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_behind = False
        self._looked_at = monotonic()
        self.link: Transport | None = None

    @property
    def is_started(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def start(self) -> None:
        """Begin to learn of changes; where there can be no more threads, a later call may succeed."""
        thread = threading.Thread(target=self._run, name="stepkeep-news", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._outages.begin("starting", type(error).__name__)
        else:
            self._outages.end("starting")
            self._thread = thread

    def fall_behind(self) -> None:
        """Look again soon: something could not be told."""
        self._is_behind = True

    def close(self) -> None:
        """End the thread, or leave it to the end of the process where it can't be ended."""
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                if self._open_link is None:
                    self._look_until_closed()
                else:
                    self._listen_until_closed(self._open_link)
            except Exception:  # noqa: BLE001 - without this thread nobody would learn of anything
                log.exception("the news thread met a fault of ours; it goes on")
                self._closing.wait(self._interval_s)

    def _look_until_closed(self) -> None:
        while not self._closing.wait(self._interval_s):
            self._look_if_needed()

    def _listen_until_closed(self, open_link: Callable[[], Transport]) -> None:
        delay_s = RETRY_S
        while not self._closing.is_set():
            try:
                with closing(open_link()) as link:
                    link.listen()
                    self.link = link
                    delay_s = RETRY_S
                    self._outages.end("listening")
                    self._listen(link)
            except ConnectionError as error:
                self._outages.begin("listening", type(error.__cause__ or error).__name__)
                self._look_for(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
                delay_s = min(delay_s * 2, RETRY_MAX_S)
            finally:
                self.link = None

    def _listen(self, link: Transport) -> None:
        self._look()  # what was missed
        heard_at = monotonic()
        while not self._closing.is_set():
            for payload in link.receive(RECEIVE_S):
                heard_at = monotonic()
                self._hear(payload)
            if monotonic() - heard_at > IDLE_S:
                link.probe()
                heard_at = monotonic()
            if monotonic() - self._looked_at > (self._interval_s if self._is_behind else NET_S):
                self._look()

    def _look_for(self, seconds: float) -> None:
        until = monotonic() + seconds
        while (left_s := until - monotonic()) > 0 and not self._closing.wait(min(left_s, self._interval_s)):
            self._look_if_needed()

    def _look_if_needed(self) -> None:
        # Asked each time, and kept until a look succeeded: it tells of a change once.
        if self._has_changed() or monotonic() - self._looked_at > NET_S:
            self._is_behind = True
        if self._is_behind:
            self._look()

    def _look(self) -> None:
        self._is_behind = False
        try:
            self._look_at_all(self._closing)
        except StepkeepError as error:  # the database is away
            self._is_behind = True
            self._outages.begin("looking", type(error).__name__)
        else:
            self._outages.end("looking")
        self._looked_at = monotonic()


def always() -> bool:
    """Return True: a look may always find something."""
    return True
