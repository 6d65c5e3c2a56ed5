"""From a commit to the receiver: at least once, in its order, whatever the receiver does."""

import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook as Verifier

from app.core.timestamps import to_datetime
from app.errors import DatabaseUnavailable
from app.operations.webhooks import backoff, dispatcher, management, worker
from app.operations.webhooks.dispatcher import Deliverer
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import leases, outbox
from app.store.outbox import Delivery
from app.store.tables import webhook_deliveries, webhooks
from app.survey.commands import Begin, Expire, Restart, Save
from app.survey.snapshot import SessionKey
from tests.operations.webhooks.receiver import Receiver, answers, closes, receiving
from tests.waiting import wait_for

ANN = SessionKey("phq9", "ann")
BEN = SessionKey("intake", "ben")
EVENTS = ("session.started", "session.completed", "session.expired")
SECRET_ANSWER = "my-secret-answer"


def begin(store: SessionStore, *keys: SessionKey) -> None:
    for result in store.turns.submit_many([(key, Begin(at=store.clock())) for key in keys]):
        assert not isinstance(result, Exception)


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


def deliveries(store: SessionStore) -> list[Delivery]:
    return store.run_read(lambda connection: outbox.read_page(connection, None, None, 1000)).deliveries[::-1]


def settled(store: SessionStore) -> list[Delivery]:
    """Return all deliveries, when each was attempted."""
    wait_for(lambda: all(one.attempts for one in deliveries(store)), "not all were attempted", 40)
    return deliveries(store)


def make_due(store: SessionStore) -> None:
    """Let all that is tried again later be due now."""
    column = webhook_deliveries.c
    change = update(webhook_deliveries).where(column.next_attempt_at.is_not(None))
    store.run_transaction(
        lambda connection: connection.execute(change.values(next_attempt_at=to_datetime(store.clock())))
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is due again at once, and nobody is left alone."""
    monkeypatch.setattr(worker, "again_in_us", lambda *_: 0)
    monkeypatch.setattr(backoff, "FAILURES", 1000)
    monkeypatch.setattr(dispatcher, "LOOK_S", 0.02)


def test_what_happens_to_a_session_is_told_and_signed(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver
) -> None:
    """Its beginning, its completion, its new beginning and its end, each once, in order, without any answer."""
    added = management.add(store, receiver.url, EVENTS)
    deliverer.start()
    begin(store, ANN)
    complete(store, ANN)
    store.turns.submit(ANN, Restart(at=store.clock()))
    came = receiver.wait_for(3)
    store.turns.submit(BEN, Begin(at=1))
    store.turns.submit(BEN, Expire(at=store.clock()))
    came = receiver.wait_for(4)
    told = [(one.message["type"], one.message["data"]) for one in came if one.message["data"]["user_id"] == "ann"]
    mine = {"survey_id": "phq9", "user_id": "ann"}
    assert told == [
        ("session.started", {**mine, "version": 1, "status": "in_progress"}),
        ("session.completed", {**mine, "version": 2, "status": "completed"}),
        ("session.started", {**mine, "version": 3, "status": "in_progress"}),
    ]
    verifier = Verifier(added.secret)
    for one in came:
        assert verifier.verify(one.body, one.headers) == one.message
        assert SECRET_ANSWER not in one.body.decode()
    assert len({one.id for one in came}) == len(came)


def test_only_what_a_webhook_wants_is_told_it(store: SessionStore, deliverer: Deliverer, receiver: Receiver) -> None:
    """By event and by survey; a webhook that is disabled is told nothing of what happens meanwhile."""
    management.add(store, receiver.url + "?completed", ["session.completed"])
    management.add(store, receiver.url + "?intake", ["session.started"], "intake")
    off = management.add(store, receiver.url + "?off", EVENTS).webhook
    management.set_enabled(store, off.id, enabled=False)
    begin(store, ANN, BEN)
    complete(store, ANN)
    management.set_enabled(store, off.id, enabled=True)
    deliverer.start()
    settled(store)
    came = [(one.path.partition("?")[2], one.message["data"]["user_id"]) for one in receiver.received]
    assert sorted(came) == [("completed", "ann"), ("intake", "ben")]


@pytest.mark.parametrize("way", ["500", "closes", "redirects"])
@pytest.mark.usefixtures("impatient")
def test_what_a_receiver_did_not_take_comes_again_with_the_same_id(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver, way: str
) -> None:
    """Until it says 2xx; a redirect is not followed."""
    with receiving() as elsewhere:
        bad = {"500": answers(500), "closes": closes, "redirects": answers(302, Location=elsewhere.url)}[way]
        receiver.behaviours = [bad, bad]
        management.add(store, receiver.url, EVENTS)
        deliverer.start()
        begin(store, ANN)
        wait_for(lambda: deliveries(store)[0].delivered_at is not None, "it was not delivered", 40)
        assert elsewhere.received == []
    came = receiver.received
    assert len(came) == 3
    assert len({(one.id, one.body) for one in came}) == 1
    (one,) = deliveries(store)
    assert (one.attempts, one.last_status, one.last_error, one.next_attempt_at) == (3, 204, None, None)


@pytest.mark.usefixtures("impatient")
def test_delivery_is_given_up_after_its_attempts_and_replayed(store: SessionStore, receiver: Receiver) -> None:
    """STEPKEEP_WEBHOOK_ATTEMPTS; then a replay sends it again with the id that it had."""
    store.settings = store.settings.model_copy(update={"webhook_attempts": 2})
    receiver.behaviour = answers(500)
    webhook = management.add(store, receiver.url, EVENTS).webhook
    Deliverer(store).start()
    begin(store, ANN)
    wait_for(lambda: deliveries(store)[0].failed_at is not None, "it was not given up", 40)
    (one,) = deliveries(store)
    assert (one.attempts, one.last_status, one.last_error, one.next_attempt_at) == (2, 500, "HTTP 500", None)
    receiver.behaviour = answers(200)
    assert management.replay(store, webhook.id, failed=True) == 1
    wait_for(lambda: deliveries(store)[0].delivered_at is not None, "it was not replayed", 40)
    assert len({one.id for one in receiver.received}) == 1
    assert management.replay(store, webhook.id, failed=True) == 0


def test_gone_disables_the_webhook(store: SessionStore, deliverer: Deliverer, receiver: Receiver) -> None:
    """410: it wants nothing more."""
    receiver.behaviour = answers(410)
    webhook = management.add(store, receiver.url, EVENTS).webhook
    deliverer.start()
    begin(store, ANN)
    wait_for(lambda: management.find(store, webhook.id).disabled_at is not None, "it is not disabled", 40)
    begin(store, BEN)
    (one,) = deliveries(store)
    assert one.failed_at is not None


def test_retry_after_is_kept_to(store: SessionStore, deliverer: Deliverer, receiver: Receiver) -> None:
    """The next attempt is not earlier than the receiver asks."""
    receiver.behaviour = answers(503, Retry_After="5000")
    management.add(store, receiver.url, EVENTS)
    deliverer.start()
    begin(store, ANN)
    (one,) = settled(store)
    assert one.next_attempt_at is not None
    assert one.next_attempt_at > store.clock() + 4000 * backoff.SECOND_US


@pytest.mark.parametrize("way", ["hang", "drip"])
def test_receiver_that_hangs_is_cut_and_holds_up_no_other(store: SessionStore, way: str) -> None:
    """Of a hundred deliveries to one that never ends its answer, none keeps another webhook waiting."""
    store.settings = store.settings.model_copy(update={"webhook_timeout_s": 0.5})
    with receiving() as slow, receiving() as quick:
        slow.behaviour = getattr(slow, way)
        hangs = management.add(store, slow.url, EVENTS).webhook
        management.add(store, quick.url, EVENTS)
        Deliverer(store).start()
        begin(store, *(SessionKey("phq9", f"u{number}") for number in range(100)))
        quick.wait_for(100)
        wait_for(lambda: any(one.attempts for one in of(store, hangs.id)), "it was not cut", 40)
        errors = {one.last_error for one in of(store, hangs.id) if one.attempts}
        assert errors == {"no answer within 0.5 s"}
        assert len(slow.received) < 20  # it is left alone for a while
    assert Counter(one.id for one in quick.received).most_common(1)[0][1] == 1


def of(store: SessionStore, webhook_id: str) -> list[Delivery]:
    return [one for one in deliveries(store) if one.webhook_id == webhook_id]


def test_address_that_fails_is_left_alone_and_its_deliveries_keep_their_attempts(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver
) -> None:
    """After three failures in a row; what waits was not attempted."""
    receiver.behaviour = answers(500)
    management.add(store, receiver.url, EVENTS)
    begin(store, *(SessionKey("phq9", f"u{number}") for number in range(50)))
    deliverer.start()
    receiver.wait_for(3)
    deliverer.close()
    tried = [one for one in deliveries(store) if one.attempts]
    assert 3 <= len(tried) <= backoff.FAILURES + worker.AT_ONCE - 1
    assert all(one.failed_at is None for one in deliveries(store))


def test_one_of_two_processes_delivers_each_once(settings: Settings, store: SessionStore, receiver: Receiver) -> None:
    """Two servers on one database: the lease says who; when it goes, the other one goes on."""
    if settings.database_url.startswith("sqlite"):
        pytest.skip("one server process owns a SQLite file")
    from app.sessions.service import open_store  # noqa: PLC0415 - only here

    other = open_store(settings)
    management.add(store, receiver.url, EVENTS)
    first, second = Deliverer(store), Deliverer(other)
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
    assert set(Counter(one.id for one in receiver.received).values()) == {1}
    other.close()


def test_nothing_is_sent_while_another_process_holds_the_lease(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver
) -> None:
    """It is sent when that one gives it back."""
    management.add(store, receiver.url, EVENTS)
    store.run_transaction(
        lambda one: leases.acquire(one, dispatcher.LEASE, "another", store.clock(), 10 * backoff.SECOND_US)
    )
    looked = threading.Event()
    hold, deliverer._holds_lease = deliverer._holds_lease, lambda: looked.set() or hold()  # type: ignore[func-returns-value,method-assign]
    deliverer.start()
    begin(store, ANN)
    assert looked.wait(20)
    assert receiver.received == []
    store.run_transaction(lambda one: leases.release(one, dispatcher.LEASE, "another"))
    receiver.wait_for(1)


def test_result_that_can_not_be_written_is_kept_until_it_can(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away when the receiver has answered: it is not sent again."""
    real, failed = store.run_transaction, threading.Event()

    def away(work: Any) -> Any:
        if getattr(work, "func", None) is dispatcher._write and not failed.is_set():
            failed.set()
            raise DatabaseUnavailable("away")
        return real(work)

    monkeypatch.setattr(store, "run_transaction", away)
    management.add(store, receiver.url, EVENTS)
    deliverer.start()
    begin(store, ANN)
    wait_for(lambda: deliveries(store)[0].delivered_at is not None, "it was not written", 40)
    assert failed.is_set()
    assert len(receiver.received) == 1


def test_fault_of_ours_in_one_look_ends_no_delivery(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look delivers."""
    monkeypatch.setattr(dispatcher, "LOOK_S", 0.02)
    real, failed = deliverer._round, threading.Event()

    def faulty() -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        real()

    monkeypatch.setattr(deliverer, "_round", faulty)
    management.add(store, receiver.url, EVENTS)
    deliverer.start()
    assert failed.wait(20)
    begin(store, ANN)
    receiver.wait_for(1)


def test_webhook_that_can_not_be_told_by_a_fault_of_ours_holds_up_no_other(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is looked at first."""
    faulty = [management.add(store, receiver.url, EVENTS).webhook.id for _ in range(3)][::2]
    real = deliverer._fill

    def fill(webhook: Any, under_way: Any) -> None:
        if webhook.id in faulty:
            raise ZeroDivisionError
        real(webhook, under_way)

    monkeypatch.setattr(deliverer, "_fill", fill)
    deliverer.start()
    begin(store, ANN)
    receiver.wait_for(1)


def test_lane_without_a_thread_keeps_nothing(
    store: SessionStore, deliverer: Deliverer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was given is due as before, and sent when there are threads again."""
    monkeypatch.setattr(dispatcher, "LOOK_S", 0.02)
    management.add(store, receiver.url, EVENTS)
    real, failed = threading.Thread.start, threading.Event()

    def none_left(thread: threading.Thread) -> None:
        if thread.name == "stepkeep-webhook" and not failed.is_set():
            failed.set()
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    deliverer.start()
    begin(store, ANN)
    receiver.wait_for(1)
    assert failed.is_set()


def test_what_no_receiver_took_for_too_long_is_given_up_part_by_part(
    store: SessionStore, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part at each look, until all are through; then an hour passes until it begins anew."""
    monkeypatch.setattr(dispatcher, "CLEANED", 2)
    management.add(store, "https://receiver.example.org/", EVENTS)
    old = store.clock() - (dispatcher.FAILED_DAYS + 1) * dispatcher.DAY_US
    keys = [SessionKey("phq9", f"user{number}") for number in range(5)]
    for result in store.turns.submit_many([(key, Begin(at=old)) for key in keys]):
        assert not isinstance(result, Exception)
    counts = []
    for _ in range(4):
        deliverer._clean()
        counts.append(sum(one.failed_at is not None for one in deliveries(store)))
    assert counts == [2, 4, 5, 5]


def test_forked_child_delivers_in_a_thread_of_its_own(store: SessionStore, deliverer: Deliverer) -> None:
    """Under another name; one that did not deliver before goes on not to."""
    deliverer.after_fork_in_child()
    assert deliverer._thread is None
    deliverer.start()
    thread, holder, closing = deliverer._thread, deliverer._holder, deliverer._closing
    deliverer.after_fork_in_child()
    assert deliverer._thread not in {None, thread}
    assert deliverer._holder != holder
    closing.set()


def test_lease_of_another_process_is_not_asked_for_at_each_look(
    store: SessionStore, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question is a transaction, for which turns wait."""
    store.run_transaction(
        lambda one: leases.acquire(one, dispatcher.LEASE, "another", store.clock(), 10 * backoff.SECOND_US)
    )
    asked: list[bool] = []
    real = store.run_transaction
    monkeypatch.setattr(store, "run_transaction", lambda work: (asked.append(True), real(work))[1])
    monkeypatch.setattr(dispatcher, "monotonic", lambda: 1000.0)
    assert [deliverer._holds_lease() for _ in range(5)] == [False] * 5
    assert len(asked) == 1
    monkeypatch.setattr(dispatcher, "monotonic", lambda: 1000.0 + dispatcher.REFUSED_S)
    assert not deliverer._holds_lease()
    assert len(asked) == 2


def test_removed_webhook_leaves_nothing(store: SessionStore, receiver: Receiver) -> None:
    """Neither its deliveries nor itself; others stay."""
    gone = management.add(store, receiver.url, EVENTS).webhook
    kept = management.add(store, receiver.url, EVENTS).webhook
    begin(store, ANN, BEN)
    management.remove(store, gone.id)
    assert {one.webhook_id for one in deliveries(store)} == {kept.id}
    ids = store.run_read(lambda connection: connection.execute(select(webhooks.c.id)).scalars().all())
    assert ids == [kept.id]
