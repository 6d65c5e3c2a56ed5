"""A Bloom filter of all session keys: it identifies new participants during an outage."""

import logging
import threading

from rbloom import Bloom

from ..errors import StepkeepError
from ..store import keyset, sessions
from ..survey import SessionKey
from .queries import all_keys

log = logging.getLogger("stepkeep.store")

FALSE_POSITIVE_RATE = 0.001  # share of new participants who wait for the database
HEADROOM = 4  # capacity as a multiple of the present sessions
MIN_CAPACITY = 100_000  # sessions; 180 KB
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0  # between attempts to read all keys


class SessionKeyFilter:
    """Safe from any thread."""

    def __init__(self, run_read: keyset.Run) -> None:
        self._run_read = run_read
        self.is_complete = True  # whether this process learns of all new sessions; else none is definitely absent
        self._mutex = threading.Lock()
        self._filter: Bloom | None = None
        self._added_meanwhile: list[SessionKey] = []
        self._is_filling = False
        self._closing = threading.Event()

    def fill(self) -> None:
        with self._mutex:
            self._is_filling = True
        delay_s = FIRST_DELAY_S
        while not self._closing.is_set() and not self._try_to_fill():
            self._closing.wait(delay_s)
            delay_s = min(delay_s * 2, MAX_DELAY_S)
        with self._mutex:
            self._is_filling = False

    def close(self) -> None:
        self._closing.set()

    def add(self, key: SessionKey) -> None:
        with self._mutex:
            if self._filter is not None:
                self._filter.add(key)
            elif self._is_filling:
                self._added_meanwhile.append(key)

    def definitely_absent(self, key: SessionKey) -> bool:
        with self._mutex:
            return self.is_complete and self._filter is not None and key not in self._filter

    def _try_to_fill(self) -> bool:
        try:
            bloom = Bloom(max(MIN_CAPACITY, self._run_read(sessions.count_sessions) * HEADROOM), FALSE_POSITIVE_RATE)
            for page in all_keys(self._run_read):
                bloom.update(page)
        except StepkeepError as error:
            if self._closing.is_set():
                return False
            log.warning("Session-key filter is not ready; new participants cannot start during an outage: %s", error)
            return False
        with self._mutex:
            bloom.update(self._added_meanwhile)
            self._added_meanwhile = []
            self._filter = bloom
        log.info("Session-key filter is ready; new participants can start during an outage.")
        return True
