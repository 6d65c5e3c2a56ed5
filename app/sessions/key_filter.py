"""Which sessions there may be: what tells a new participant from an old one while the database is away.

A Bloom filter (B. Bloom, CACM 13(7), 1970): it may take a new participant for an old one, never an old one for a
new one, and takes 2 MB for a million sessions. Until it is filled it takes everybody for an old one.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from rbloom import Bloom

from ..errors import StepkeepError
from ..survey.snapshot import SessionKey

log = logging.getLogger("stepkeep.store")

FALSE_ALARMS = 0.001
"""Share of new participants that may be taken for old ones, and have to wait for the database."""

SPARE = 4
"""How many times as many sessions as there are the filter is made for."""

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
"""Seconds between two readings, where one failed."""

AT_LEAST = 100_000
"""Sessions that it is made for at least: 180 KB."""


class KnownKeys:
    """The sessions that there may be. Safe from any thread.

    Args:
        read_keys: gives all keys of the database, page by page; may raise Unavailable.
        count: gives about how many there are.
    """

    def __init__(self, read_keys: Callable[[], Iterable[Sequence[SessionKey]]], count: Callable[[], int]) -> None:
        self._read_keys = read_keys
        self._count = count
        self._forget()

    def _forget(self) -> None:
        self._mutex = threading.Lock()
        self._filter: Bloom | None = None
        self._meanwhile: list[SessionKey] = []
        self._is_filling = False
        self._closing = threading.Event()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._forget()

    def fill(self) -> None:
        """Read all keys, again until it is done; takes a second a million."""
        with self._mutex:
            self._is_filling = True
        delay_s = FIRST_DELAY_S
        while not self._closing.is_set() and not self._is_read():
            self._closing.wait(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)
        with self._mutex:
            self._is_filling = False

    def close(self) -> None:
        """End the reading."""
        self._closing.set()

    def _is_read(self) -> bool:
        try:
            found = Bloom(max(AT_LEAST, self._count() * SPARE), FALSE_ALARMS)
            for page in self._read_keys():
                found.update(page)
        except StepkeepError as error:
            log.warning("who is new can't be known yet, should the database go away: %s", error)
            return False
        with self._mutex:
            found.update(self._meanwhile)
            self._meanwhile = []
            self._filter = found
        return True

    def add(self, key: SessionKey) -> None:
        """Take note of a session that has begun."""
        with self._mutex:
            if self._filter is not None:
                self._filter.add(key)
            elif self._is_filling:
                self._meanwhile.append(key)

    def is_surely_new(self, key: SessionKey) -> bool:
        """Return whether there is no session of this key, as far as this process can know."""
        with self._mutex:
            return self._filter is not None and key not in self._filter
