"""Scheduled maintenance: every STEPKEEP_MAINTENANCE_MINUTES, close expired sessions and erase old ones.

One server process does a round, whichever comes first, and no other does one for as long (a lease,
``store/leases.py``). With STEPKEEP_ARCHIVE_DIR, what is erased lies there first, in a file a round. A process that
ends in the middle of a round leaves the rest to the next one.
"""

import logging
import threading
import uuid
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

from ...core.fork_hooks import ForkAware, register
from ...core.timestamps import to_datetime
from ...errors import StepkeepError
from ...sessions import SessionStore
from ...store import leases
from .expiry import expire
from .purge_archive import Archive
from .retention import purge

log = logging.getLogger("stepkeep.maintenance")

NAME = "maintenance"
ACTOR = "maintenance"

FIRST_S = 10.0
"""Seconds after which a new process asks for its first round: one that is often started anew must have some too."""

SHORTEST_LEASE_US = 60 * 1_000_000
"""How long a lease is at least: a part of a round, between two renewals, must be over long before."""

CLOSING_S = 5.0
"""Seconds that closing waits for the part that is under way, at most."""


class _Ended(Exception):
    """The round is not to go on: the store is being closed, or another process holds the lease."""


class MaintenanceScheduler(ForkAware):
    """Does rounds in a thread of its own, from :meth:`start` until the store is closed.

    Args:
        first_s: seconds until the first round.
    """

    def __init__(self, store: SessionStore, *, first_s: float = FIRST_S) -> None:
        self._store = store
        self._first_s = first_s
        self._every_s = store.settings.maintenance_minutes * 60
        self._lease_us = max(SHORTEST_LEASE_US, int(self._every_s * 1_000_000))
        self._reset()

    def _reset(self) -> None:
        self._holder = uuid.uuid4().hex
        self._closing = threading.Event()
        self._renewed_at = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; nothing happens where STEPKEEP_MAINTENANCE_MINUTES is 0."""
        if not self._every_s:
            return
        self._store.add_close_callback(self.close)
        register(self)
        self._begin()

    def close(self) -> None:
        """End, after the part of a round that is under way; another process may go on at once."""
        self._closing.set()
        if self._thread is None:
            return
        self._thread.join(CLOSING_S)
        self._thread = None
        with suppress(StepkeepError):  # a database that is away; the lease ends by itself
            self._store.run_transaction(partial(leases.release, name=NAME, holder=self._holder))

    def after_fork_in_child(self) -> None:
        """Begin anew, under another name: the thread is the parent's."""
        was_running = self._thread is not None
        self._reset()
        if was_running:
            self._begin()

    def round(self) -> bool:
        """Do what is to be done now, if no other process does it; return whether it was this one's.

        Raises:
            StepkeepError: the database or the archive can't be used now; the next round goes on from there.
        """
        try:
            self._renew()
            expiry = expire(self._store, progress=self._go_on, actor=ACTOR)
            with self._archive() as archive:
                erased = purge(self._store, archive=archive, progress=self._go_on, actor=ACTOR)
            self._renew()
        except _Ended:
            return False
        counts = (sum(expiry.expired.values()), expiry.corrected, sum(erased.values()))
        log.info("maintenance: %d sessions expired, %d ends of their time corrected, %d erased for their age", *counts)
        return True

    def _begin(self) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(self._closing,), name="stepkeep-maintenance", daemon=True
        )
        self._thread.start()

    def _run(self, closing: threading.Event) -> None:
        wait_s = self._first_s
        while not closing.wait(wait_s):
            wait_s = self._every_s
            try:
                self.round()
            except StepkeepError as error:
                log.warning("maintenance stopped, and goes on in %.0f s: %s", wait_s, error)
            except Exception:  # a fault of ours must not end all later rounds
                log.exception("maintenance ended by a fault of ours")

    def _go_on(self, _done: int, _total: int) -> None:
        """Return if the round may go on; renews the lease in time."""
        if self._closing.is_set():
            raise _Ended
        if self._store.clock() - self._renewed_at > self._lease_us // 3:
            self._renew()

    def _renew(self) -> None:
        at = self._store.clock()
        mine = partial(leases.acquire, name=NAME, holder=self._holder, at=at, for_us=self._lease_us)
        if self._closing.is_set() or not self._store.run_transaction(mine):
            raise _Ended
        self._renewed_at = at

    def _archive(self) -> "Archive | nullcontext[None]":
        folder = self._store.settings.archive_dir
        if folder is None:
            return nullcontext()
        made_at = f"{to_datetime(self._store.clock()):%Y%m%dT%H%M%S}"
        return Archive(self._store, Path(folder) / f"stepkeep-{made_at}-{self._holder[:8]}.jsonl.gz")
