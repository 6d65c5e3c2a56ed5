"""Expire and purge every STEPKEEP_MAINTENANCE_MINUTES, under a lease."""

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
from .purge_archive import PurgeArchive
from .retention import purge

log = logging.getLogger("stepkeep.maintenance")

LEASE = "maintenance"
ACTOR = "maintenance"

FIRST_DELAY_S = 10.0  # short: a process that is often restarted runs rounds too
MIN_LEASE_US = 60 * 1_000_000  # much longer than between two renewals
CLOSE_TIMEOUT_S = 5.0


class _Stopped(Exception):
    """The store is being closed, or another process has the lease."""


class MaintenanceScheduler(ForkAware):
    """Runs rounds in a background thread until the store is closed."""

    def __init__(self, store: SessionStore, *, first_delay_s: float = FIRST_DELAY_S) -> None:
        self._store = store
        self._first_delay_s = first_delay_s
        self._interval_s = store.settings.maintenance_minutes * 60
        self._lease_us = max(MIN_LEASE_US, int(self._interval_s * 1_000_000))
        self._reset()

    def _reset(self) -> None:
        self._holder = uuid.uuid4().hex
        self._closing = threading.Event()
        self._renewed_at = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if not self._interval_s:
            return
        self._store.add_close_callback(self.close)
        register(self)
        self._start_thread()

    def close(self) -> None:
        self._closing.set()
        if self._thread is None:
            return
        self._thread.join(CLOSE_TIMEOUT_S)
        self._thread = None
        with suppress(StepkeepError):  # the database is unavailable; the lease expires
            self._store.run_transaction(partial(leases.release, name=LEASE, holder=self._holder))

    def after_fork_in_child(self) -> None:
        was_running = self._thread is not None
        self._reset()
        if was_running:
            self._start_thread()

    def run_round(self) -> bool:
        try:
            self._renew()
            expiry = expire(self._store, progress=self._on_progress, actor=ACTOR)
            with self._archive() as archive:
                erased = purge(self._store, archive=archive, progress=self._on_progress, actor=ACTOR)
            self._renew()
        except _Stopped:
            return False
        counts = (sum(expiry.expired.values()), expiry.deadlines_updated, sum(erased.values()))
        log.info("maintenance: %d sessions expired, %d deadlines updated, %d sessions erased", *counts)
        return True

    def _start_thread(self) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(self._closing,), name="stepkeep-maintenance", daemon=True
        )
        self._thread.start()

    def _run(self, closing: threading.Event) -> None:
        wait_s = self._first_delay_s
        while not closing.wait(wait_s):
            wait_s = self._interval_s
            try:
                self.run_round()
            except StepkeepError as error:
                log.warning("maintenance was interrupted and continues in %.0f s: %s", wait_s, error)
            except Exception:  # must not end the thread
                log.exception("internal error in maintenance")

    def _on_progress(self, _done: int, _total: int) -> None:
        if self._closing.is_set():
            raise _Stopped
        if self._store.clock() - self._renewed_at > self._lease_us // 3:
            self._renew()

    def _renew(self) -> None:
        at = self._store.clock()
        take_lease = partial(leases.acquire, name=LEASE, holder=self._holder, at=at, for_us=self._lease_us)
        if self._closing.is_set() or not self._store.run_transaction(take_lease):
            raise _Stopped
        self._renewed_at = at

    def _archive(self) -> "PurgeArchive | nullcontext[None]":
        folder = self._store.settings.archive_dir
        if folder is None:
            return nullcontext()
        timestamp = f"{to_datetime(self._store.clock()):%Y%m%dT%H%M%S}"
        return PurgeArchive(self._store, Path(folder) / f"stepkeep-{timestamp}-{self._holder[:8]}.jsonl.gz")
