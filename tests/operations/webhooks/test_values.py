"""Parameters and computed values in messages, for webhooks that ask for them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook as Verifier

from app.errors import DatabaseUnavailable
from app.operations.webhooks import backoff, dispatcher, management, signing
from app.operations.webhooks.dispatcher import Dispatcher
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import history
from app.store.encryption import key_id
from app.store.outbox import Delivery
from app.store.tables import session_history, webhook_deliveries
from app.survey.commands import Answer, Begin, Expire, Restart
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore
from tests.operations.webhooks.conftest import EVENTS, deliveries
from tests.operations.webhooks.receiver import Received, Receiver
from tests.store.encrypted import MARKER, NEW, OLD, keys_of
from tests.waiting import wait_for

SURVEYS = {
    "scored": """
id: scored
title: Scored
language: en
expires_after: 1d
parameters:
  clinic: {type: text, from: api, required: false}
values:
  total: answers.a + answers.b
  said: parameters.clinic
steps:
  - {id: a, type: number, prompt: First}
  - {id: b, type: number, prompt: Second}
""",
    "plain": """
id: plain
title: Without values
language: en
steps: [{id: a, type: number, prompt: First}]
""",
    "quiet": """
id: quiet
title: Nothing to ask
language: en
values: {half: 1 / 2}
steps: [{id: never, type: boolean, prompt: p, show_if: "false"}]
""",
}
ANN = SessionKey("scored", "ann")


@pytest.fixture
def surveys(tmp_path: Path) -> Path:
    (tmp_path / "surveys").mkdir()
    for name, text in SURVEYS.items():
        (tmp_path / "surveys" / f"{name}.yaml").write_text(text)
    return tmp_path / "surveys"


@pytest.fixture
def scored(settings: Settings, surveys: Path, new_store: NewStore) -> SessionStore:
    """A store whose answers are encrypted."""
    return new_store(settings, surveys_dir=surveys, answers_keys=keys_of(NEW))


def add(store: SessionStore, receiver: Receiver, *, includes_values: bool = True, events: Any = EVENTS) -> str:
    """Add a webhook and return its secret."""
    return management.add_webhook(store, receiver.url, events, includes_values=includes_values).secret


def begin(store: SessionStore, key: SessionKey = ANN, clinic: str = MARKER, at: int | None = None) -> None:
    parameters = {"clinic": clinic} if key.survey_id == "scored" else {}
    store.turns.submit_or_raise(key, Begin(at=at or store.clock(), parameters=parameters))


def answer(store: SessionStore, key: SessionKey = ANN, at: int | None = None, **answers: int) -> None:
    for step, value in answers.items():
        store.turns.submit_or_raise(key, Answer(at=at or store.clock(), step=step, value=value))


def complete(store: SessionStore, key: SessionKey = ANN) -> None:
    begin(store, key)
    answer(store, key, a=1, b=2)


def event_and_values(request: Received) -> tuple[str, dict[str, Any]]:
    """Return the event, and the fields that only webhooks with values get."""
    data = dict(request.message["data"])
    for name in ("survey_id", "user_id", "version", "status"):
        del data[name]
    return request.message["type"].partition(".")[2], data


def of(store: SessionStore, key: SessionKey) -> Delivery:
    (delivery,) = (delivery for delivery in deliveries(store) if delivery.key == key)
    return delivery


@pytest.mark.one_database
def test_messages_have_no_values_by_default(scored: SessionStore, receiver: Receiver) -> None:
    add(scored, receiver, includes_values=False)
    complete(scored)
    Dispatcher(scored).start()
    started, completed = receiver.wait_for(2)
    assert (event_and_values(started), event_and_values(completed)) == (("started", {}), ("completed", {}))
    assert MARKER not in (started.body + completed.body).decode()


def test_each_completion_has_its_own_values_and_each_message_the_parameters(
    scored: SessionStore, receiver: Receiver
) -> None:
    """Also when the session was restarted, completed again and expired before they are sent."""
    verifier = Verifier(add(scored, receiver))
    at = scored.clock() - 2 * dispatcher.DAY_US
    begin(scored, at=at)
    answer(scored, at=at, a=1, b=2)
    scored.turns.submit_or_raise(ANN, Restart(at=at))
    answer(scored, at=at, a=20, b=10)
    scored.turns.submit_or_raise(ANN, Restart(at=at))
    scored.turns.submit_or_raise(ANN, Expire(at=scored.clock()))
    Dispatcher(scored).start()
    received = receiver.wait_for(6)
    parameters = {"clinic": MARKER}
    assert list(map(event_and_values, received)) == [
        ("started", {"parameters": parameters}),
        ("completed", {"parameters": parameters, "values": {"total": 3, "said": MARKER}}),
        ("started", {"parameters": parameters}),
        ("completed", {"parameters": parameters, "values": {"total": 30, "said": MARKER}}),
        ("started", {"parameters": parameters}),
        ("expired", {"parameters": parameters}),
    ]
    for request in received:
        assert verifier.verify(request.body, request.headers) == request.message


@pytest.mark.one_database
def test_completion_has_empty_maps_when_the_survey_has_no_values(scored: SessionStore, receiver: Receiver) -> None:
    add(scored, receiver)
    key = SessionKey("plain", "ann")
    begin(scored, key)
    answer(scored, key, a=1)
    Dispatcher(scored).start()
    assert list(map(event_and_values, receiver.wait_for(2))) == [
        ("started", {"parameters": {}}),
        ("completed", {"parameters": {}, "values": {}}),
    ]


@pytest.mark.one_database
def test_session_that_completes_as_it_begins_has_values(scored: SessionStore, receiver: Receiver) -> None:
    """In the message of its completion only, though one event began and completed it."""
    add(scored, receiver)
    begin(scored, SessionKey("quiet", "ann"))
    Dispatcher(scored).start()
    assert list(map(event_and_values, receiver.wait_for(2))) == [
        ("started", {"parameters": {}}),
        ("completed", {"parameters": {}, "values": {"half": 0.5}}),
    ]


@pytest.mark.one_database
@pytest.mark.parametrize("includes_values", [True, False])
def test_change_applies_to_deliveries_that_wait_for_a_slow_receiver(
    scored: SessionStore, receiver: Receiver, *, includes_values: bool
) -> None:
    """Only the request that is being sent is as before."""
    receiver.behaviours = [receiver.hang]
    add(scored, receiver, includes_values=includes_values)
    complete(scored)
    Dispatcher(scored).start()
    receiver.wait_for(1)
    (webhook,) = management.list_webhooks(scored)
    management.set_includes_values(scored, webhook.id, includes_values=not includes_values)
    receiver.released.set()
    started, completed = (event_and_values(request)[1] for request in receiver.wait_for(2))
    assert ("parameters" in started, "parameters" in completed) == (includes_values, not includes_values)
    assert ("values" in completed) is not includes_values


@pytest.mark.one_database
def test_values_are_neither_in_the_outbox_nor_in_the_log(
    scored: SessionStore, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Of sessions that are encrypted, also after a failed delivery."""
    caplog.set_level(logging.DEBUG)
    receiver.behaviours = [lambda handler: handler.answer(500)]
    add(scored, receiver)
    complete(scored)
    Dispatcher(scored).start()
    receiver.wait_for(2)
    wait_for(lambda: all(delivery.attempts for delivery in deliveries(scored)), "an attempt is not recorded", 40)
    rows = scored.run_read(lambda connection: connection.execute(select(webhook_deliveries)).all())
    assert MARKER not in str(rows)
    assert MARKER not in caplog.text


@pytest.mark.one_database
def test_delivery_is_retried_until_the_key_of_its_session_is_back(
    settings: Settings, surveys: Path, new_store: NewStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never sent without values, and other deliveries to the receiver continue."""
    monkeypatch.setattr(backoff, "FIRST_OPEN_S", backoff.MAX_OPEN_S)
    both = new_store(settings, surveys_dir=surveys, answers_keys=keys_of(NEW, OLD))
    add(both, receiver, events=["session.completed"])
    lost = [SessionKey("scored", f"lost{number}") for number in range(backoff.FAILURE_THRESHOLD + 1)]
    old = new_store(settings, surveys_dir=surveys, answers_keys=keys_of(OLD))
    for key in lost:
        complete(old, key)
    begin(both)
    for _ in range(history.NEWEST):  # a store whose newest events can't be read does not open
        both.turns.submit_or_raise(ANN, Restart(at=both.clock()))
    without = new_store(settings, surveys_dir=surveys, answers_keys=keys_of(NEW))
    first = Dispatcher(without)
    first.start()
    wait_for(lambda: all(delivery.attempts for delivery in deliveries(both)), "an attempt is not recorded", 40)
    answer(both, a=1, b=2)
    (request,) = receiver.wait_for(1)
    assert request.message["data"]["user_id"] == ANN.user_id
    first.close()
    for key in lost:
        delivery = of(both, key)
        assert key_id(OLD) in str(delivery.last_error)
        assert (delivery.last_status, delivery.failed_at, delivery.delivered_at) == (None, None, None)
        assert delivery.next_attempt_at is not None
    due = update(webhook_deliveries).where(webhook_deliveries.c.next_attempt_at.is_not(None))
    both.run_transaction(lambda connection: connection.execute(due.values(next_attempt_at=both.clock())))
    Dispatcher(both).start()
    for request in receiver.wait_for(1 + len(lost))[1:]:
        assert event_and_values(request)[1]["values"] == {"total": 3, "said": MARKER}


@pytest.mark.one_database
def test_delivery_is_retried_when_its_event_is_damaged(scored: SessionStore, receiver: Receiver) -> None:
    """The list of deliveries says so; the event may be repaired from a backup."""
    add(scored, receiver, events=["session.completed"])
    complete(scored)
    damage = update(session_history).values(data="{oops")
    scored.run_transaction(lambda connection: connection.execute(damage))
    Dispatcher(scored).start()
    wait_for(lambda: of(scored, ANN).attempts, "it was not attempted", 40)
    delivery = of(scored, ANN)
    assert str(delivery.last_error).startswith("its values can't be read: ")
    assert delivery.next_attempt_at is not None
    assert receiver.received == []


@pytest.mark.one_database
def test_delivery_stays_due_when_the_database_is_unavailable(
    scored: SessionStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes no attempt."""
    read, failures = scored.queries.recorded_values, [DatabaseUnavailable("unavailable")]

    def sometimes(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return read(*arguments)

    monkeypatch.setattr(scored.queries, "recorded_values", sometimes)
    add(scored, receiver, events=["session.completed"])
    complete(scored)
    Dispatcher(scored).start()
    receiver.wait_for(1)
    wait_for(lambda: of(scored, ANN).delivered_at is not None, "it is not recorded", 40)
    assert failures == []
    assert of(scored, ANN).attempts == 1


def test_message_of_an_erased_session_has_no_values(scored: SessionStore, receiver: Receiver) -> None:
    """Nor those of the session that its participant begins afterwards."""
    receiver.behaviours = [receiver.hang]
    add(scored, receiver)
    complete(scored)
    Dispatcher(scored).start()
    receiver.wait_for(1)
    scored.erasure.erase_participant(ANN.user_id)
    begin(scored, clinic="another")
    answer(scored, a=7, b=7)
    receiver.released.set()
    received = list(map(event_and_values, receiver.wait_for(4)))[1:]
    assert received.count(("completed", {"omitted": "no_such_session"})) == 1
    assert [values for values in received if "omitted" not in values[1]] == [
        ("started", {"parameters": {"clinic": "another"}}),
        ("completed", {"parameters": {"clinic": "another"}, "values": {"total": 14, "said": "another"}}),
    ]


def test_values_are_omitted_when_the_message_would_be_too_large(
    scored: SessionStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just below the bound they are sent, counted in bytes."""
    add(scored, receiver, events=["session.completed"])
    complete(scored)
    Dispatcher(scored).start()
    (whole,) = receiver.wait_for(1)
    assert len(whole.body) > len(json.dumps(whole.message, ensure_ascii=False, separators=(",", ":")))
    assert len(whole.body) < signing.MAX_BODY_BYTES == 64 * 1024
    for size_bytes, expected in (
        (len(whole.body), event_and_values(whole)[1]),
        (len(whole.body) - 1, {"omitted": "too_large"}),
    ):
        monkeypatch.setattr(signing, "MAX_BODY_BYTES", size_bytes)
        (webhook,) = management.list_webhooks(scored)
        count = len(receiver.received)
        wait_for(lambda: of(scored, ANN).delivered_at is not None, "it is not recorded", 40)
        management.replay_deliveries(scored, webhook.id)
        assert event_and_values(receiver.wait_for(count + 1)[-1])[1] == expected
