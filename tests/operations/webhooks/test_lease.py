"""One process at a time delivers: the one that holds the lease."""

import threading
from collections import Counter

import pytest

from app.operations.webhooks import backoff, dispatcher, management
from app.operations.webhooks.dispatcher import Dispatcher
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import leases
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore
from tests.operations.webhooks.conftest import ANN, EVENTS, begin
from tests.operations.webhooks.receiver import Receiver


def test_each_event_is_delivered_once_when_two_processes_share_a_database(
    settings: Settings, store: SessionStore, receiver: Receiver, new_store: NewStore
) -> None:
    """The holder of the lease delivers; the other process takes over when it stops."""
    if settings.database_url.startswith("sqlite"):
        pytest.skip("one server process owns a SQLite file")
    other = new_store(settings)
    management.add_webhook(store, receiver.url, EVENTS)
    first, second = Dispatcher(store), Dispatcher(other)
    first.start()
    second.start()
    keys = [SessionKey("phq9", f"u{number}") for number in range(60)]
    begin(store, *keys[:20])
    begin(other, *keys[20:40])
    receiver.wait_for(40)
    first.close()
    begin(other, *keys[40:])
    receiver.wait_for(60)
    second.close()
    assert set(Counter(request.id for request in receiver.received).values()) == {1}


def test_nothing_is_sent_when_another_process_has_the_lease(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver
) -> None:
    """Delivery starts when the lease is released."""
    management.add_webhook(store, receiver.url, EVENTS)
    store.run_transaction(
        lambda connection: leases.acquire(
            connection, dispatcher.LEASE, "another", store.clock(), 10 * backoff.SECOND_US
        )
    )
    polled = threading.Event()
    has_lease, dispatching._has_lease = dispatching._has_lease, lambda: polled.set() or has_lease()  # type: ignore[func-returns-value,method-assign]
    dispatching.start()
    begin(store, ANN)
    assert polled.wait(20)
    assert receiver.received == []
    store.run_transaction(lambda connection: leases.release(connection, dispatcher.LEASE, "another"))
    receiver.wait_for(1)


@pytest.mark.one_database
def test_lease_is_not_requested_at_each_poll_when_another_process_has_it(
    store: SessionStore, dispatching: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is a transaction, for which turns wait."""
    store.run_transaction(
        lambda connection: leases.acquire(
            connection, dispatcher.LEASE, "another", store.clock(), 10 * backoff.SECOND_US
        )
    )
    requests: list[bool] = []
    real = store.run_transaction
    monkeypatch.setattr(store, "run_transaction", lambda work: (requests.append(True), real(work))[1])
    monkeypatch.setattr(dispatcher, "monotonic", lambda: 1000.0)
    assert [dispatching._has_lease() for _ in range(5)] == [False] * 5
    assert len(requests) == 1
    monkeypatch.setattr(dispatcher, "monotonic", lambda: 1000.0 + dispatcher.LEASE_RETRY_S)
    assert not dispatching._has_lease()
    assert len(requests) == 2


@pytest.mark.one_database
def test_forked_child_starts_its_own_thread(store: SessionStore, dispatching: Dispatcher) -> None:
    """With another lease holder; only if the parent had been started."""
    dispatching.after_fork_in_child()
    assert dispatching._thread is None
    dispatching.start()
    thread, holder, closing = dispatching._thread, dispatching._holder, dispatching._closing
    dispatching.after_fork_in_child()
    assert dispatching._thread not in {None, thread}
    assert dispatching._holder != holder
    closing.set()
