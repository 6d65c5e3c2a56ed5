"""Deliver the outbox in a thread of one of the processes that share a database.

If it dies, another process repeats unrecorded deliveries with the same ``webhook-id``.
"""

import logging
import queue
import secrets
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

from sqlalchemy import Connection

from ...core.fork_hooks import ForkAware, register
from ...errors import MissingKey, SessionUnreadable, StepkeepError
from ...observability.metrics import WEBHOOK_DELIVERIES
from ...sessions import SessionStore
from ...store import AttemptResult, Webhook, leases, outbox
from .backoff import SECOND_US
from .management import read_secrets
from .worker import GONE, EndpointWorker

log = logging.getLogger("stepkeep.webhooks")

POLL_S = 1.0

MAX_DUE = 32

LEASE = "webhooks"
LEASE_S = 10
RENEW_S = 4  # age at which the holder renews the lease
LEASE_RETRY_S = 3.0

CLOSE_TIMEOUT_S = 3.0  # deliveries interrupted then are repeated
CLEAN_INTERVAL_S = 3600.0
DELIVERED_DAYS = 30
FAILED_DAYS = 90  # deliveries can be listed and replayed until then
CLEAN_BATCH = 1000  # rows per transaction: turns wait for it
DAY_US = 86_400 * SECOND_US


class Dispatcher(ForkAware):
    """Delivers the outbox. Thread-safe and fork-safe."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._reset()
        store.set_outbox_callback(self.wake)
        store.add_close_callback(self.close)
        register(self)

    def _reset(self) -> None:
        self._holder = secrets.token_hex(8)  # a process id can be reused
        self._wake_up = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._workers: dict[str, EndpointWorker] = {}
        self._results: queue.SimpleQueue[AttemptResult] = queue.SimpleQueue()
        self._unrecorded: list[AttemptResult] = []
        self._lease_until = 0.0
        self._lease_retry_at = 0.0
        self._cleaned_at = float("-inf")
        self._clean_after_id = 0
        self._failing: set[str] = set()

    def start(self) -> None:
        self._wake_up.set()
        self._thread = threading.Thread(target=self._run, name="stepkeep-webhooks", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake_up.set()

    def close(self) -> None:
        """Record the deliveries in flight; wait at most 2 * CLOSE_TIMEOUT_S."""
        self._closing.set()
        self._wake_up.set()
        if self._thread is not None:
            self._thread.join(2 * CLOSE_TIMEOUT_S)
            self._thread = None

    def after_fork_in_child(self) -> None:
        was_running = self._thread is not None
        self._reset()
        if was_running:
            self.start()

    def _run(self) -> None:
        is_logged = False
        while not self._closing.is_set():
            self._wake_up.wait(POLL_S)
            self._wake_up.clear()
            try:
                self._poll()
                is_logged = False
            except Exception as error:  # must not end the thread
                self._drop_waiting()
                if not is_logged and isinstance(error, StepkeepError):
                    log.warning("the outbox is unavailable; webhooks wait: %s", error)
                elif not is_logged:
                    log.exception("internal error; webhooks wait")
                is_logged = True
        self._finish()

    def _poll(self) -> None:
        # Before results are recorded: deliveries that end later are still due in the outbox.
        in_flight = {webhook_id: worker.delivery_ids() for webhook_id, worker in self._workers.items()}
        self._record_results()
        if any(in_flight.values()) and not self._has_lease():  # renews it while deliveries are in flight
            self._drop_waiting()
        known = [] if self._closing.is_set() else self._store.run_read(outbox.read_webhooks)
        enabled = {webhook.id: webhook for webhook in known if webhook.disabled_at is None}
        for webhook_id in self._workers.keys() - enabled.keys():
            self._workers[webhook_id].drop_waiting()
        for webhook in enabled.values():
            self._dispatch_isolated(webhook, in_flight.get(webhook.id, set()))
        if known:
            self._clean()

    def _drop_waiting(self) -> None:
        for worker in self._workers.values():
            worker.drop_waiting()

    def _dispatch_isolated(self, webhook: Webhook, in_flight: Collection[int]) -> None:
        try:
            self._dispatch(webhook, in_flight)
            self._failing.discard(webhook.id)
        except (MissingKey, SessionUnreadable) as error:
            if webhook.id not in self._failing:
                log.error("webhook %s waits: its secret can't be decrypted: %s", webhook.id, error)  # noqa: TRY400 - the traceback says nothing
            self._failing.add(webhook.id)
        except StepkeepError:
            raise
        except Exception:
            if webhook.id not in self._failing:
                log.exception("internal error; a webhook waits", extra={"webhook_id": webhook.id})
            self._failing.add(webhook.id)

    def _dispatch(self, webhook: Webhook, in_flight: Collection[int]) -> None:
        worker = self._workers.get(webhook.id)
        if worker is None:
            worker = EndpointWorker(webhook.id, self._store, self._on_attempt)
            self._workers[webhook.id] = worker
        if not worker.has_capacity():
            return
        read = partial(outbox.read_due, webhook_id=webhook.id, at=self._store.clock(), limit=MAX_DUE, without=in_flight)
        due = self._store.run_read(read)
        if due and self._has_lease():
            worker.send(webhook, read_secrets(self._store, webhook), due)

    def _on_attempt(self, attempted: AttemptResult) -> None:
        self._results.put(attempted)
        self._wake_up.set()

    def _record_results(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._unrecorded.append(self._results.get_nowait())
        if not self._unrecorded:
            return
        self._store.run_transaction(partial(_record, results=tuple(self._unrecorded), at=self._store.clock()))
        for attempted in self._unrecorded:
            WEBHOOK_DELIVERIES.labels(attempted.outcome).inc()
            if attempted.status == GONE:
                log.warning("webhook %s answered 410 Gone and was disabled", attempted.delivery.webhook_id)
        self._unrecorded = []

    def _has_lease(self) -> bool:
        if monotonic() < self._lease_until - (LEASE_S - RENEW_S):
            return True
        if (now := monotonic()) < self._lease_retry_at:
            return False
        take = partial(
            leases.acquire, name=LEASE, holder=self._holder, at=self._store.clock(), for_us=LEASE_S * SECOND_US
        )
        has_lease = self._store.run_transaction(take)
        self._lease_until = now + LEASE_S if has_lease else 0.0
        self._lease_retry_at = 0.0 if has_lease else now + LEASE_RETRY_S
        return has_lease

    def _clean(self) -> None:
        if monotonic() - self._cleaned_at < CLEAN_INTERVAL_S or not self._has_lease():
            return
        at = self._store.clock()
        ages = outbox.RetentionCutoffs(
            delivered_before=at - DELIVERED_DAYS * DAY_US, failed_before=at - FAILED_DAYS * DAY_US
        )
        page = self._store.run_read(
            partial(outbox.scan_old, ages=ages, after_id=self._clean_after_id, limit=CLEAN_BATCH)
        )
        if page.old:
            self._store.run_transaction(partial(outbox.remove_old, ages=ages, ids=page.old))
        if page.overdue:
            self._store.run_transaction(partial(outbox.give_up, ages=ages, ids=page.overdue, at=at))
        self._clean_after_id = page.following or 0
        if page.following is None:
            self._cleaned_at = monotonic()

    def _finish(self) -> None:
        self._drop_waiting()
        until = monotonic() + CLOSE_TIMEOUT_S
        while any(worker.delivery_ids() for worker in self._workers.values()) and (left := until - monotonic()) > 0:
            self._wake_up.wait(left)
            self._wake_up.clear()
            with suppress(StepkeepError):
                self._record_results()
        with suppress(StepkeepError):
            self._record_results()
            if self._lease_until:
                self._store.run_transaction(partial(leases.release, name=LEASE, holder=self._holder))


def _record(connection: Connection, results: Sequence[AttemptResult], at: int) -> None:
    outbox.record_attempts(connection, results)
    for webhook_id in {attempted.delivery.webhook_id for attempted in results if attempted.status == GONE}:
        outbox.disable_webhook(connection, webhook_id, at)
