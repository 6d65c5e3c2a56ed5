"""Delivery from the commit to the receiver: at least once, in order, however the receiver behaves."""

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update
from standardwebhooks import Webhook as Verifier

from app.errors import DatabaseUnavailable
from app.operations.webhooks import backoff, dispatcher, management, worker
from app.operations.webhooks.dispatcher import Dispatcher
from app.sessions.service import SessionStore
from app.store.outbox import Delivery
from app.store.tables import webhook_deliveries
from app.survey.commands import Begin, Expire, Restart, Save
from app.survey.snapshot import SessionKey
from tests.operations.webhooks.conftest import ANN, BEN, EVENTS, begin, deliveries
from tests.operations.webhooks.receiver import Receiver, answers, closes, receiving
from tests.waiting import wait_for

SECRET_ANSWER = "my-secret-answer"


def complete(store: SessionStore, key: SessionKey) -> None:
    store.turns.submit_or_raise(
        key,
        Save(
            at=store.clock(),
            current_step="end",
            answers={"Q1": SECRET_ANSWER},
            step_history=("Q1",),
            is_audio_mode=False,
            session_data=None,
        ),
    )


def attempted(store: SessionStore) -> list[Delivery]:
    """Return all deliveries once each was attempted."""
    wait_for(lambda: all(delivery.attempts for delivery in deliveries(store)), "not all deliveries were attempted", 40)
    return deliveries(store)


def make_due(store: SessionStore) -> None:
    """Make all pending retries due now."""
    column = webhook_deliveries.c
    change = update(webhook_deliveries).where(column.next_attempt_at.is_not(None))
    due = change.values(next_attempt_at=store.clock())
    store.run_transaction(lambda connection: connection.execute(due))


@pytest.fixture
def immediate_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once, and never open the circuit."""
    monkeypatch.setattr(worker, "retry_delay_us", lambda *_: 0)
    monkeypatch.setattr(backoff, "FAILURE_THRESHOLD", 1000)


def test_events_of_a_session_are_delivered_signed_and_in_order(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver
) -> None:
    """Start, completion, restart and expiry, once each and without answers."""
    added = management.add_webhook(store, receiver.url, EVENTS)
    dispatching.start()
    begin(store, ANN)
    complete(store, ANN)
    store.turns.submit(ANN, Restart(at=store.clock()))
    received = receiver.wait_for(3)
    store.turns.submit(BEN, Begin(at=1))
    store.turns.submit(BEN, Expire(at=store.clock()))
    received = receiver.wait_for(4)
    delivered = [
        (request.message["type"], request.message["data"])
        for request in received
        if request.message["data"]["user_id"] == "ann"
    ]
    mine = {"survey_id": "phq9", "user_id": "ann"}
    assert delivered == [
        ("session.started", {**mine, "version": 1, "status": "in_progress"}),
        ("session.completed", {**mine, "version": 2, "status": "completed"}),
        ("session.started", {**mine, "version": 3, "status": "in_progress"}),
    ]
    verifier = Verifier(added.secret)
    for request in received:
        assert verifier.verify(request.body, request.headers) == request.message
        assert SECRET_ANSWER not in request.body.decode()
    assert len({request.id for request in received}) == len(received)


@pytest.mark.one_database
def test_due_deliveries_are_sent_at_the_start(
    store: SessionStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the first poll interval."""
    monkeypatch.setattr(dispatcher, "POLL_S", 1000)
    management.add_webhook(store, receiver.url, EVENTS)
    begin(store, ANN)
    Dispatcher(store).start()
    receiver.wait_for(1)


def test_events_are_filtered_by_webhook(store: SessionStore, dispatching: Dispatcher, receiver: Receiver) -> None:
    """By event and by survey; events while a webhook is disabled are not delivered."""
    management.add_webhook(store, receiver.url + "?completed", ["session.completed"])
    management.add_webhook(store, receiver.url + "?intake", ["session.started"], "intake")
    off = management.add_webhook(store, receiver.url + "?off", EVENTS).webhook
    management.set_enabled(store, off.id, enabled=False)
    begin(store, ANN, BEN)
    complete(store, ANN)
    management.set_enabled(store, off.id, enabled=True)
    dispatching.start()
    attempted(store)
    received = [(request.path.partition("?")[2], request.message["data"]["user_id"]) for request in receiver.received]
    assert sorted(received) == [("completed", "ann"), ("intake", "ben")]


@pytest.mark.one_database
@pytest.mark.parametrize("way", ["500", "closes", "redirects"])
@pytest.mark.usefixtures("immediate_retries")
def test_delivery_is_retried_with_the_same_id_when_it_fails(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver, way: str
) -> None:
    """Until the status is 2xx; redirects are not followed."""
    with receiving() as elsewhere:
        bad = {"500": answers(500), "closes": closes, "redirects": answers(302, Location=elsewhere.url)}[way]
        receiver.behaviours = [bad, bad]
        management.add_webhook(store, receiver.url, EVENTS)
        dispatching.start()
        begin(store, ANN)
        wait_for(lambda: deliveries(store)[0].delivered_at is not None, "it was not delivered", 40)
        assert elsewhere.received == []
    received = receiver.received
    assert len(received) == 3
    assert len({(request.id, request.body) for request in received}) == 1
    (delivery,) = deliveries(store)
    assert (delivery.attempts, delivery.last_status, delivery.last_error, delivery.next_attempt_at) == (
        3,
        204,
        None,
        None,
    )


@pytest.mark.usefixtures("immediate_retries")
def test_delivery_is_given_up_after_all_attempts_and_can_be_replayed(store: SessionStore, receiver: Receiver) -> None:
    """After STEPKEEP_WEBHOOK_ATTEMPTS; a replay has the same id."""
    store.settings = store.settings.model_copy(update={"webhook_attempts": 2})
    receiver.behaviour = answers(500)
    webhook = management.add_webhook(store, receiver.url, EVENTS).webhook
    Dispatcher(store).start()
    begin(store, ANN)
    wait_for(lambda: deliveries(store)[0].failed_at is not None, "it was not given up", 40)
    (delivery,) = deliveries(store)
    assert (delivery.attempts, delivery.last_status, delivery.last_error, delivery.next_attempt_at) == (
        2,
        500,
        "HTTP 500",
        None,
    )
    receiver.behaviour = answers(200)
    assert management.replay_deliveries(store, webhook.id, failed=True) == 1
    wait_for(lambda: deliveries(store)[0].delivered_at is not None, "it was not replayed", 40)
    assert len({request.id for request in receiver.received}) == 1
    assert management.replay_deliveries(store, webhook.id, failed=True) == 0


def test_webhook_is_disabled_when_the_receiver_answers_410(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver
) -> None:
    """Later events are not delivered."""
    receiver.behaviour = answers(410)
    webhook = management.add_webhook(store, receiver.url, EVENTS).webhook
    dispatching.start()
    begin(store, ANN)
    wait_for(lambda: management.get_webhook(store, webhook.id).disabled_at is not None, "it is not disabled", 40)
    begin(store, BEN)
    (delivery,) = deliveries(store)
    assert delivery.failed_at is not None


@pytest.mark.one_database
def test_retry_after_is_a_lower_bound(store: SessionStore, dispatching: Dispatcher, receiver: Receiver) -> None:
    """The next attempt is not earlier than the receiver requested."""
    receiver.behaviour = answers(503, Retry_After="5000")
    management.add_webhook(store, receiver.url, EVENTS)
    dispatching.start()
    begin(store, ANN)
    (delivery,) = attempted(store)
    assert delivery.next_attempt_at is not None
    assert delivery.next_attempt_at > store.clock() + 4000 * backoff.SECOND_US


@pytest.mark.one_database
@pytest.mark.parametrize("way", ["hang", "drip"])
def test_other_webhooks_are_delivered_when_a_receiver_hangs(store: SessionStore, way: str) -> None:
    """Requests are cancelled after the timeout, and the circuit opens."""
    store.settings = store.settings.model_copy(update={"webhook_timeout_s": 0.5})
    with receiving() as slow, receiving() as quick:
        slow.behaviour = getattr(slow, way)
        hangs = management.add_webhook(store, slow.url, EVENTS).webhook
        management.add_webhook(store, quick.url, EVENTS)
        Dispatcher(store).start()
        begin(store, *(SessionKey("phq9", f"u{number}") for number in range(50)))
        quick.wait_for(50)
        wait_for(lambda: any(delivery.attempts for delivery in of(store, hangs.id)), "no request timed out", 40)
        errors = {delivery.last_error for delivery in of(store, hangs.id) if delivery.attempts}
        assert errors == {"no response within 0.5 s"}
        assert len(slow.received) < 20  # the circuit is open
    assert Counter(request.id for request in quick.received).most_common(1)[0][1] == 1


def of(store: SessionStore, webhook_id: str) -> list[Delivery]:
    return [delivery for delivery in deliveries(store) if delivery.webhook_id == webhook_id]


@pytest.mark.one_database
def test_circuit_opens_after_consecutive_failures(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver
) -> None:
    """Waiting deliveries do not use up attempts."""
    receiver.behaviour = answers(500)
    management.add_webhook(store, receiver.url, EVENTS)
    begin(store, *(SessionKey("phq9", f"u{number}") for number in range(50)))
    dispatching.start()
    receiver.wait_for(3)
    dispatching.close()
    tried = [delivery for delivery in deliveries(store) if delivery.attempts]
    assert 3 <= len(tried) <= backoff.FAILURE_THRESHOLD + worker.MAX_CONCURRENT - 1
    assert all(delivery.failed_at is None for delivery in deliveries(store))


@pytest.mark.one_database
def test_result_is_recorded_later_when_the_database_is_unavailable(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is not sent again."""
    real, failed = store.run_transaction, threading.Event()

    def unavailable(work: Any) -> Any:
        if getattr(work, "func", None) is dispatcher._record and not failed.is_set():
            failed.set()
            raise DatabaseUnavailable("unavailable")
        return real(work)

    monkeypatch.setattr(store, "run_transaction", unavailable)
    management.add_webhook(store, receiver.url, EVENTS)
    dispatching.start()
    begin(store, ANN)
    wait_for(lambda: deliveries(store)[0].delivered_at is not None, "it was not written", 40)
    assert failed.is_set()
    assert len(receiver.received) == 1


@pytest.mark.one_database
def test_delivery_continues_after_an_internal_error(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next poll delivers."""
    real, failed = dispatching._poll, threading.Event()

    def faulty() -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        real()

    monkeypatch.setattr(dispatching, "_poll", faulty)
    management.add_webhook(store, receiver.url, EVENTS)
    dispatching.start()
    assert failed.wait(20)
    begin(store, ANN)
    receiver.wait_for(1)


@pytest.mark.one_database
def test_other_webhooks_are_delivered_when_one_causes_an_internal_error(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever order they are processed."""
    faulty = [management.add_webhook(store, receiver.url, EVENTS).webhook.id for _ in range(3)][::2]
    real = dispatching._dispatch

    def dispatch(webhook: Any, in_flight: Any) -> None:
        if webhook.id in faulty:
            raise ZeroDivisionError
        real(webhook, in_flight)

    monkeypatch.setattr(dispatching, "_dispatch", dispatch)
    dispatching.start()
    begin(store, ANN)
    receiver.wait_for(1)


@pytest.mark.one_database
@pytest.mark.parametrize("stop", [partial(management.set_enabled, enabled=False), management.remove_webhook])
def test_waiting_delivery_is_not_sent_when_its_webhook_is_disabled_or_removed(
    store: SessionStore, receiver: Receiver, stop: Callable[[SessionStore, str], None]
) -> None:
    """That takes no attempt."""
    webhook = management.add_webhook(store, receiver.url, EVENTS).webhook
    begin(store, ANN)
    attempts: list[object] = []
    sender = worker.EndpointWorker(webhook.id, store, lambda *attempted: attempts.append(attempted))
    waiting, secrets = deliveries(store), management.read_secrets(store, webhook)
    stop(store, webhook.id)
    sender.send(webhook, secrets, waiting)
    wait_for(lambda: not sender.delivery_ids(), "the delivery still waits", 40)
    assert (receiver.received, attempts) == ([], [])


@pytest.mark.one_database
def test_deliveries_stay_due_when_no_thread_can_be_started(
    store: SessionStore, dispatching: Dispatcher, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sent once threads are available again."""
    management.add_webhook(store, receiver.url, EVENTS)
    real, failed = threading.Thread.start, threading.Event()

    def none_left(thread: threading.Thread) -> None:
        if thread.name == "stepkeep-webhook" and not failed.is_set():
            failed.set()
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    dispatching.start()
    begin(store, ANN)
    receiver.wait_for(1)
    assert failed.is_set()


def test_overdue_deliveries_are_given_up_in_batches(
    store: SessionStore, dispatching: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch a poll, until all were examined; then again after an hour."""
    monkeypatch.setattr(dispatcher, "CLEAN_BATCH", 2)
    management.add_webhook(store, "https://receiver.example.org/", EVENTS)
    old = store.clock() - (dispatcher.FAILED_DAYS + 1) * dispatcher.DAY_US
    keys = [SessionKey("phq9", f"user{number}") for number in range(5)]
    for result in store.turns.submit_many([(key, Begin(at=old)) for key in keys]):
        assert not isinstance(result, Exception)
    counts = []
    for _ in range(4):
        dispatching._clean()
        counts.append(sum(delivery.failed_at is not None for delivery in deliveries(store)))
    assert counts == [2, 4, 5, 5]
