"""Empties the outbox: in a thread of the server, in one process of all that share a database.

What is committed by this process is sent at once, what others commit or what is due again within LOOK_S. Who delivers
holds the lease ``webhooks``; it is taken only when there is something to send. A process that dies is followed when its
lease is over; what it had sent and not yet written down is sent again, with the same ``webhook-id``.
"""

import logging
import os
import queue
import secrets
import threading
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import partial
from time import monotonic

from sqlalchemy import Connection

from ...core.fork_hooks import ForkAware, register
from ...errors import MissingKey, StepkeepError
from ...observability.metrics import WEBHOOK_DELIVERIES
from ...sessions.service import SessionStore
from ...store import leases, outbox, webhooks
from ...store.encryption import DecryptionError
from ...store.outbox import AttemptResult
from ...store.webhooks import SECRET, Webhook
from .backoff import SECOND_US
from .signing import Secret, secrets_in
from .worker import Lane

log = logging.getLogger("stepkeep.webhooks")

LOOK_S = 1.0
"""Seconds between two looks at the outbox."""

READ = 32
"""Deliveries that one look takes for one webhook, at most."""

LEASE = "webhooks"
LEASE_S = 10
RENEW_S = 4
"""Seconds after which the lease is renewed by who delivers."""

REFUSED_S = 3.0
"""Seconds after which a lease that another process holds is asked for again."""

CLOSING_S = 3.0
"""Seconds that closing waits for what is under way; what is cut is sent again."""

CLEAN_S = 3600.0
DELIVERED_DAYS = 30
FAILED_DAYS = 90
"""How long deliveries can be looked at and replayed."""

CLEANED = 1000
"""Rows that are looked at together; what is old of them is removed in one transaction, for some ms turns wait."""

DAY_US = 86_400 * SECOND_US


class Deliverer(ForkAware):
    """Delivers what lies in the outbox of a store. Safe from any thread, and after a fork."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._thread: threading.Thread | None = None
        self._forget()
        store.set_outbox_callback(self.wake)
        store.add_close_callback(self.close)
        register(self)

    def start(self) -> None:
        """Begin to deliver, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="stepkeep-webhooks", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at the outbox now."""
        if self._pid != os.getpid():  # a forked child has no thread of its parent's
            self._forget()
            self.start()
        self._bell.set()

    def close(self) -> None:
        """Deliver no more, and write down what came of what is under way; waits CLOSING_S at most, twice."""
        self._closing.set()
        self._bell.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(2 * CLOSING_S)
            self._thread = None

    def after_fork_in_child(self) -> None:
        """Begin anew, under another name: the thread is the parent's."""
        was_running = self._thread is not None
        self._forget()
        if was_running:
            self.start()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._holder = secrets.token_hex(8)  # of this process, whatever its number was used for before
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._thread = None
        self._lanes: dict[str, Lane] = {}
        self._results: queue.SimpleQueue[tuple[str, AttemptResult, bool]] = queue.SimpleQueue()
        self._unwritten: list[tuple[str, AttemptResult, bool]] = []
        self._held_until = 0.0
        self._refused_until = 0.0
        self._cleaned_at = float("-inf")
        self._cleaned_to = 0
        self._closed_eyes: set[str] = set()
        self._at_fault: set[str] = set()

    def _run(self) -> None:
        is_told = False
        while not self._closing.is_set():
            self._bell.wait(LOOK_S)
            self._bell.clear()
            try:
                self._round()
                is_told = False
            except StepkeepError as error:
                self._drop_all()
                if not is_told:
                    log.warning("webhooks wait, because the outbox can't be used now: %s", error)
                is_told = True
            except Exception:  # a fault of ours must not end all delivery
                self._drop_all()
                if not is_told:
                    log.exception("webhooks wait, by a fault of ours")
                is_told = True
        self._end()

    def _round(self) -> None:
        # Before what came of them is written down: what ends later is still due in the outbox when it is read.
        under_way = {webhook_id: lane.ids() for webhook_id, lane in self._lanes.items()}
        self._write_results()
        if any(under_way.values()) and not self._holds_lease():  # renewed while something is under way
            self._drop_all()
        found = [] if self._closing.is_set() else self._store.run_read(webhooks.read_all)
        told = {one.id: one for one in found if one.disabled_at is None}
        for gone in self._lanes.keys() - told.keys():
            self._lanes[gone].drop()
        for webhook in told.values():
            self._fill_alone(webhook, under_way.get(webhook.id, set()))
        if found:
            self._clean()

    def _drop_all(self) -> None:
        for lane in self._lanes.values():
            lane.drop()

    def _fill_alone(self, webhook: Webhook, under_way: Collection[int]) -> None:
        """Give a lane what is due; a fault of ours with one webhook holds up no other, and is told once."""
        try:
            self._fill(webhook, under_way)
            self._at_fault.discard(webhook.id)
        except StepkeepError:
            raise
        except Exception:
            if webhook.id not in self._at_fault:
                log.exception("a webhook waits, by a fault of ours", extra={"webhook_id": webhook.id})
            self._at_fault.add(webhook.id)

    def _fill(self, webhook: Webhook, under_way: Collection[int]) -> None:
        """Give a webhook's lane what is due, if it wants more."""
        lane = self._lanes.get(webhook.id)
        if lane is None:
            settled = partial(self._settled, webhook.id)
            lane = self._lanes[webhook.id] = Lane(webhook.id, self._store.settings, self._store.clock, settled)
        if not lane.has_room():
            return
        find = partial(outbox.read_due, webhook_id=webhook.id, at=self._store.clock(), limit=READ, without=under_way)
        due = self._store.run_read(find)
        if not due or not self._holds_lease():
            return
        found = self._secrets(webhook)
        if found is not None:
            lane.send(webhook, found, due)

    def _secrets(self, webhook: Webhook) -> list[Secret] | None:
        try:
            return secrets_in(self._store.cipher.decrypt(webhook.secret, (SECRET, webhook.id)))
        except (MissingKey, DecryptionError) as error:
            if webhook.id not in self._closed_eyes:
                log.error("the webhook %s waits: its secret can't be read: %s", webhook.id, error)  # noqa: TRY400 - no fault of the code
            self._closed_eyes.add(webhook.id)
            return None

    def _settled(self, webhook_id: str, attempted: AttemptResult, is_gone: bool) -> None:  # noqa: FBT001 - as Lane calls it
        self._results.put((webhook_id, attempted, is_gone))
        self._bell.set()

    def _write_results(self) -> None:
        """Write down what came of attempts, all in one transaction; what can't be written now is kept."""
        with suppress(queue.Empty):
            while True:
                self._unwritten.append(self._results.get_nowait())
        if not self._unwritten:
            return
        self._store.run_transaction(partial(_write, results=tuple(self._unwritten), at=self._store.clock()))
        for webhook_id, attempted, is_gone in self._unwritten:
            WEBHOOK_DELIVERIES.labels(attempted.outcome).inc()
            if is_gone:
                log.warning("the webhook %s answered 410 Gone and is disabled", webhook_id)
        self._unwritten = []

    def _holds_lease(self) -> bool:
        """Return whether this process is the one that delivers; renew its lease where it is time."""
        if monotonic() < self._held_until - (LEASE_S - RENEW_S):
            return True
        if (began := monotonic()) < self._refused_until:
            return False
        take = partial(
            leases.acquire, name=LEASE, holder=self._holder, at=self._store.clock(), for_us=LEASE_S * SECOND_US
        )
        is_mine = self._store.run_transaction(take)
        self._held_until = began + LEASE_S if is_mine else 0.0
        self._refused_until = 0.0 if is_mine else began + REFUSED_S
        return is_mine

    def _clean(self) -> None:
        """Remove old deliveries and give up overdue ones: a part at each look, and when all are through, in an hour."""
        if monotonic() - self._cleaned_at < CLEAN_S or not self._holds_lease():
            return
        at = self._store.clock()
        ages = outbox.RetentionCutoffs(
            delivered_before=at - DELIVERED_DAYS * DAY_US, failed_before=at - FAILED_DAYS * DAY_US
        )
        found = self._store.run_read(partial(outbox.scan_old, ages=ages, after_id=self._cleaned_to, limit=CLEANED))
        if found.old:
            self._store.run_transaction(partial(outbox.remove_old, ages=ages, ids=found.old))
        if found.overdue:
            self._store.run_transaction(partial(outbox.give_up, ages=ages, ids=found.overdue, at=at))
        self._cleaned_to = found.following or 0
        if found.following is None:
            self._cleaned_at = monotonic()

    def _end(self) -> None:
        """Write down what came of what is under way, as far as it comes soon, and let others deliver."""
        self._drop_all()
        until = monotonic() + CLOSING_S
        while any(lane.ids() for lane in self._lanes.values()) and (left := until - monotonic()) > 0:
            self._bell.wait(left)
            self._bell.clear()
            with suppress(StepkeepError):
                self._write_results()
        with suppress(StepkeepError):
            self._write_results()
            if self._held_until:
                self._store.run_transaction(partial(leases.release, name=LEASE, holder=self._holder))


def _write(connection: Connection, results: Iterable[tuple[str, AttemptResult, bool]], at: int) -> None:
    outbox.record_attempts(connection, [attempted for _, attempted, _ in results])
    for webhook_id in {webhook_id for webhook_id, _, is_gone in results if is_gone}:
        webhooks.disable(connection, webhook_id, at)
