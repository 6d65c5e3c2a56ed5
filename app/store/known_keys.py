"""Which sessions there may be: what tells a new participant from an old one while the database is away.

A Bloom filter (B. Bloom, CACM 13(7), 1970): it may take a new participant for an old one, never an old one for a
new one, and takes 2 MB for a million sessions. Until it is filled it takes everybody for an old one.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from rbloom import Bloom

from app.errors import Unavailable
from app.store.rows import SessionKey

log = logging.getLogger("stepkeep.store")

FALSE_ALARMS = 0.001
"""Share of new participants that may be taken for old ones, and have to wait for the database."""

SPARE = 4
"""How many times as many sessions as there are the filter is made for."""

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

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._forget()

    def fill(self) -> None:
        """Read all keys; takes a second a million."""
        try:
            found = Bloom(max(AT_LEAST, self._count() * SPARE), FALSE_ALARMS)
            for page in self._read_keys():
                found.update(page)
        except Unavailable as error:
            log.warning("participants can't be known as new while the database is away: %s", error)
            return
        with self._mutex:
            found.update(self._meanwhile)
            self._meanwhile = []
            self._filter = found

    def add(self, key: SessionKey) -> None:
        """Take note of a session that has begun."""
        with self._mutex:
            if self._filter is None:
                self._meanwhile.append(key)
            else:
                self._filter.add(key)

    def is_surely_new(self, key: SessionKey) -> bool:
        """Return whether there is no session of this key, as far as this process can know."""
        with self._mutex:
            return self._filter is not None and key not in self._filter
