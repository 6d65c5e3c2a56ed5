"""The outbox: deliveries are added in the transaction of their event, and removed by erasures."""

import base64
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete

from app.operations.maintenance.key_rotation import rotate_keys
from app.operations.maintenance.retention import purge
from app.operations.webhooks import management
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import erasures, outbox
from app.store.outbox import EVENTS, AttemptResult, Webhook
from app.store.tables import sessions, webhook_deliveries
from app.store.tables import webhooks as table
from app.survey.commands import Answer, AnyCommand, Back, Begin, Draft, Expire, Restart, Save, SetMode, Update
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore, examples
from tests.store.contents import clear
from tests.store.test_erasures import set_aside

ANN = SessionKey("phq9", "ann")
BEN = SessionKey("phq9", "ben")
DAY_US = 86_400 * 1_000_000


def hook(store: SessionStore, number: int = 1, survey_id: str | None = None, *events: Any) -> str:
    """Add a webhook for these events, by default for all."""
    name = f"wh_{number:016x}"
    webhook = Webhook(
        id=name,
        url="https://receiver.test/",
        secret="whsec_x",
        events=events or EVENTS,
        survey_id=survey_id,
        created_at=store.clock(),
        disabled_at=None,
    )
    store.run_transaction(lambda connection: outbox.add_webhook(connection, webhook))
    return name


def deliveries(store: SessionStore) -> list[tuple[str, str, int]]:
    """Return the deliveries in the outbox: event, participant and version, oldest first."""
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 1000)).items
    return [(delivery.event.partition(".")[2], delivery.key.user_id, delivery.version) for delivery in reversed(page)]


def do(store: SessionStore, *commands: AnyCommand, key: SessionKey = ANN) -> None:
    for result in store.turns.submit_many([(key, command) for command in commands]):
        assert not isinstance(result, Exception)


def save(at: int, step: str = "end") -> Save:
    return Save(at=at, current_step=step, answers={}, step_history=(), is_audio_mode=False, session_data=None)


def empty(store: SessionStore) -> None:
    clear(store)

    def remove(connection: Any) -> None:
        for emptied in (webhook_deliveries, table):
            connection.execute(delete(emptied))

    store.run_transaction(remove)


@pytest.fixture
def encrypted(settings: Settings, new_store: NewStore) -> SessionStore:
    """A store whose answers are encrypted."""
    keys = base64.b64encode(os.urandom(32)).decode()
    return new_store(settings, answers_keys=keys)


def test_outbox_has_starts_completions_and_expiries_by_any_command(store: SessionStore) -> None:
    """By answers, saved states and updates; a completed session is not completed again."""
    hook(store)
    at = store.clock()
    answers = [Answer(at=at, step=f"Q{number}", value=0) for number in range(1, 10)]
    do(store, Begin(at=at), *answers)
    do(store, save(at), Update(at=at, changes={"session_data": {"x": 1}}))
    assert deliveries(store) == [("started", "ann", 1), ("completed", "ann", 10)]
    do(store, Restart(at=at), SetMode(at=at, is_audio_mode=True), Draft(at=at, step="Q1", value=1), Back(at=at))
    do(store, Update(at=at, changes={"current_step": "end"}), save(at, "Q1"), save(at))
    assert [delivery[0] for delivery in deliveries(store)[2:]] == ["started", "completed", "completed"]
    do(store, save(at), key=BEN)
    assert [delivery for delivery in deliveries(store) if delivery[1] == "ben"] == [
        ("started", "ben", 1),
        ("completed", "ben", 1),
    ]
    do(store, Begin(at=1), Expire(at=at), key=SessionKey("intake", "eve"))
    assert [delivery for delivery in deliveries(store) if delivery[1] == "eve"] == [
        ("started", "eve", 1),
        ("expired", "eve", 2),
    ]


COMMANDS = st.lists(st.sampled_from(["answer", "end", "open", "restart", "back", "draft"]), max_size=8)


@examples(15)
@given(names=COMMANDS)
def test_outbox_agrees_with_the_history(store: SessionStore, names: list[str]) -> None:
    """For any commands: one delivery for each start and for each change to the status completed."""
    empty(store)
    hook(store)
    at = store.clock()
    commands: dict[str, AnyCommand] = {
        "answer": Answer(at=at, step="Q1", value=1),
        "end": save(at),
        "open": save(at, "Q1"),
        "restart": Restart(at=at),
        "back": Back(at=at),
        "draft": Draft(at=at, step="Q1", value=2),
    }
    do(store, Begin(at=at), *(commands[name] for name in names))
    expected, before = [], None
    for entry in store.queries.history(ANN, limit=100):
        state = store.queries.at_version(ANN, entry.version).state
        if entry.record.action in {"started", "restarted"}:
            expected.append(("started", "ann", entry.version))
        if state.status == "completed" and before != "completed":
            expected.append(("completed", "ann", entry.version))
        before = state.status
    assert deliveries(store) == expected


def test_each_webhook_gets_its_events_and_survey(store: SessionStore) -> None:
    """In one large batch; disabled webhooks get none."""
    hook(store, 1)
    hook(store, 2, None, "session.completed")
    hook(store, 3, "intake")
    off = hook(store, 4)
    store.run_transaction(lambda connection: outbox.disable_webhook(connection, off, store.clock()))
    turns = [(SessionKey("phq9", f"u{number}"), Begin(at=store.clock())) for number in range(200)]
    turns += [(SessionKey("intake", "x"), Begin(at=store.clock())), (turns[0][0], save(store.clock()))]
    store.turns.submit_many(turns)
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 1000))
    counts = [sum(delivery.webhook_id.endswith(str(number)) for delivery in page.items) for number in (1, 2, 3, 4)]
    assert counts == [202, 1, 1, 0]
    assert {delivery.next_attempt_at for delivery in page.items} == {delivery.occurred_at for delivery in page.items}


def test_rejected_or_repeated_command_adds_no_delivery(store: SessionStore) -> None:
    """Nor does an answer that does not change the status."""
    hook(store)
    at = store.clock()
    do(store, Begin(at=at), Begin(at=at), save(at), Answer(at=at, message_id="m", step="Q1", value=1))
    again = Restart(at=at, message_id="r")
    do(store, again, again)
    assert deliveries(store) == [("started", "ann", 1), ("completed", "ann", 2), ("started", "ann", 3)]


def test_callback_is_called_only_when_deliveries_were_added(store: SessionStore) -> None:
    """Not without a webhook, and not for other events."""
    calls: list[int] = []
    store.set_outbox_callback(lambda: calls.append(1))
    do(store, Begin(at=store.clock()))
    assert calls == []
    hook(store)
    do(store, save(store.clock()))
    assert calls == [1]
    do(store, Update(at=store.clock(), changes={"session_data": {}}))
    assert calls == [1]


def test_turns_are_committed_while_webhooks_are_added_and_removed(store: SessionStore) -> None:
    """Removing a webhook during a batch fails no turn."""
    is_changing, stop = threading.Event(), threading.Event()

    def add_and_remove() -> None:
        while not stop.is_set():
            name = hook(store)
            store.run_transaction(partial(outbox.remove_webhook, webhook_id=name))
            is_changing.set()

    with ThreadPoolExecutor(1) as thread:
        changing = thread.submit(add_and_remove)
        assert is_changing.wait(30)
        for start in range(60):
            turns = [(SessionKey("phq9", f"u{start}-{n}"), Begin(at=store.clock())) for n in range(20)]
            results = store.turns.submit_many(turns)
            assert not [result for result in results if isinstance(result, Exception)]
        stop.set()
        changing.result()


def test_turn_is_committed_when_another_process_removes_the_webhook(
    settings: Settings, store: SessionStore, new_store: NewStore
) -> None:
    """The turn waits for the lock of the webhook's row, and then finds none."""
    if settings.database_url.startswith("sqlite"):
        pytest.skip("a SQLite file has one writer at a time")
    name = hook(store)
    other = new_store(settings)
    is_removed, may_commit = threading.Event(), threading.Event()

    def remove(connection: Any) -> None:
        outbox.remove_webhook(connection, name)
        is_removed.set()
        may_commit.wait(20)

    with ThreadPoolExecutor(2) as threads:
        removing = threads.submit(other.run_transaction, remove)
        assert is_removed.wait(20)
        beginning = threads.submit(do, store, Begin(at=store.clock()))
        may_commit.set()
        removing.result()
        beginning.result()
    assert deliveries(store) == []


def test_erasure_removes_the_participants_deliveries(store: SessionStore) -> None:
    """Even if only a set-aside session is left, or none; others' deliveries stay."""
    hook(store)
    do(store, Begin(at=store.clock()))
    do(store, Begin(at=store.clock()), key=BEN)
    do(store, Begin(at=store.clock()), key=SessionKey("intake", "ann"))
    store.erasure.delete(ANN)
    assert deliveries(store) == [("started", "ben", 1), ("started", "ann", 1)]
    store.erasure.erase_participant("ann")
    assert deliveries(store) == [("started", "ben", 1)]
    set_aside(store, BEN)
    assert deliveries(store) == [("started", "ben", 1)]
    store.erasure.erase_participant("ben")
    assert deliveries(store) == []
    do(store, Begin(at=store.clock()))
    store.run_transaction(lambda connection: connection.execute(delete(sessions).where(sessions.c.user_id == "nobody")))
    store.erasure.erase_participant("ann", "phq9")
    assert deliveries(store) == []


def test_replayed_erasure_keeps_later_deliveries(store: SessionStore) -> None:
    """As in a restored database: earlier deliveries are removed, those of later sessions stay."""
    hook(store)
    do(store, Begin(at=store.clock()))
    store.erasure.erase_participant("ann")

    lines = store.run_read(lambda connection: erasures.read_participant(connection, "ann", None))
    do(store, Begin(at=1_000_000), save(store.clock()))
    assert deliveries(store) == [("started", "ann", 1), ("completed", "ann", 2)]
    store.erasure.replay(lines)
    assert deliveries(store) == []
    do(store, Begin(at=store.clock()))
    store.erasure.replay(lines)
    assert deliveries(store) == [("started", "ann", 1)]


def test_purge_removes_the_deliveries_of_old_sessions(settings: Settings, new_store: NewStore) -> None:
    """As an erasure does."""
    store = new_store(settings, retention="30d")
    hook(store)
    do(store, Begin(at=store.clock() - 40 * DAY_US))
    do(store, Begin(at=store.clock()), key=BEN)
    assert len(deliveries(store)) == 2
    purge(store)
    assert deliveries(store) == [("started", "ben", 1)]


def test_old_deliveries_are_removed_in_batches(store: SessionStore) -> None:
    """Delivered and failed ones, and those of a disabled webhook; due ones stay."""
    name = hook(store)
    at = store.clock()
    do(store, Begin(at=at - 100 * DAY_US))
    for number in range(5):
        do(store, Begin(at=at - 100 * DAY_US), key=SessionKey("phq9", f"u{number}"))
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10))
    ids = [delivery.id for delivery in page.items]
    old, new = at - 95 * DAY_US, at - DAY_US
    attempted = [
        AttemptResult(
            delivery=page.items[0], at=old, attempts=1, retry_at=None, is_delivered=True, status=200, error=None
        ),
        AttemptResult(
            delivery=page.items[1], at=old, attempts=1, retry_at=None, is_delivered=False, status=500, error="HTTP 500"
        ),
        AttemptResult(
            delivery=page.items[2], at=new, attempts=1, retry_at=None, is_delivered=True, status=200, error=None
        ),
        AttemptResult(
            delivery=page.items[3], at=new, attempts=1, retry_at=None, is_delivered=False, status=500, error="x" * 1000
        ),
    ]
    store.run_transaction(lambda connection: outbox.record_attempts(connection, attempted))

    ages = outbox.RetentionCutoffs(delivered_before=at - 30 * DAY_US, failed_before=at - 90 * DAY_US)

    def clean() -> int:
        removed, after_id = 0, 0
        while True:
            scan = store.run_read(lambda connection: outbox.scan_old(connection, ages, after_id, 2))  # noqa: B023 - called at once
            removed += store.run_transaction(lambda connection: outbox.remove_old(connection, ages, scan.old))  # noqa: B023
            if scan.following is None:
                return removed
            after_id = scan.following

    assert [clean(), clean()] == [2, 0]
    store.run_transaction(lambda connection: outbox.disable_webhook(connection, name, old))
    assert [clean(), clean()] == [2, 0]
    left = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).items
    assert {delivery.id for delivery in left} == {ids[2], ids[3]}
    assert store.run_transaction(lambda connection: outbox.remove_old(connection, ages, ids)) == 0


def test_deliveries_are_given_up_when_due_for_too_long(store: SessionStore) -> None:
    """A receiver that never responds must not fill the disk. Delivered and recent ones are unchanged."""
    hook(store)
    at = store.clock()
    do(store, Begin(at=at - 100 * DAY_US))
    do(store, Begin(at=at - 100 * DAY_US), key=SessionKey("phq9", "ben"))
    do(store, Begin(at=at - DAY_US), key=SessionKey("phq9", "cat"))
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).items[::-1]
    late, made, _ = ids = [delivery.id for delivery in page]
    ages = outbox.RetentionCutoffs(delivered_before=at - 30 * DAY_US, failed_before=at - 90 * DAY_US)
    assert store.run_read(lambda connection: outbox.scan_old(connection, ages, 0, 10)) == ([], [late, made], None)
    delivered = AttemptResult(
        delivery=page[1], at=at, attempts=1, retry_at=None, is_delivered=True, status=200, error=None
    )
    store.run_transaction(lambda connection: outbox.record_attempts(connection, [delivered]))
    assert store.run_transaction(lambda connection: outbox.give_up(connection, ages, ids, at)) == 1
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).items[::-1]
    assert [delivery.failed_at for delivery in page] == [at, None, None]
    assert [delivery.next_attempt_at is None for delivery in page] == [True, True, False]


def test_late_attempt_does_not_change_a_completed_delivery(store: SessionStore) -> None:
    """Two processes may have sent it; the same result, recorded twice, counts once."""
    hook(store)
    do(store, Begin(at=store.clock()))
    at, (made,) = (
        store.clock(),
        store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).items,
    )
    failed = AttemptResult(
        delivery=made, at=at, attempts=1, retry_at=at, is_delivered=False, status=500, error="HTTP 500"
    )
    delivered = AttemptResult(
        delivery=made, at=at, attempts=2, retry_at=None, is_delivered=True, status=200, error=None
    )
    for delivery in (failed, failed, delivered, failed):
        store.run_transaction(lambda connection, delivery=delivery: outbox.record_attempts(connection, [delivery]))
    (kept,) = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).items
    assert (kept.attempts, kept.delivered_at, kept.next_attempt_at) == (2, at, None)


def test_late_attempt_of_an_erased_delivery_changes_no_other(store: SessionStore) -> None:
    """SQLite gives its id to the next delivery, which would seem delivered."""
    hook(store)
    do(store, Begin(at=store.clock()))
    (erased,) = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).items
    store.erasure.erase_participant("ann")
    do(store, Begin(at=store.clock()))
    at = store.clock()
    late = AttemptResult(delivery=erased, at=at, attempts=1, retry_at=None, is_delivered=True, status=200, error=None)
    store.run_transaction(lambda connection: outbox.record_attempts(connection, [late]))
    (made,) = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).items
    assert (made.attempts, made.delivered_at, made.next_attempt_at) == (0, None, made.occurred_at)


def test_webhook_secret_is_encrypted_and_rotated_like_answers(
    encrypted: SessionStore, settings: Settings, new_store: NewStore
) -> None:
    """The table never has its plain text; after ``rotate_keys`` the old key is not needed."""
    added = management.add_webhook(encrypted, "https://receiver.test/", EVENTS)
    kept = encrypted.run_read(lambda connection: outbox.read_webhook(connection, added.webhook.id))
    assert kept is not None
    assert kept.secret.startswith("enc:")
    assert added.secret not in kept.secret
    assert "whsec" not in repr(kept)
    assert [secret.text for secret in management.read_secrets(encrypted, kept)] == [added.secret]
    old = encrypted.settings.answers_keys.get_secret_value()
    new = base64.b64encode(os.urandom(32)).decode()
    both = new_store(settings, answers_keys=f"{new},{old}")
    assert rotate_keys(both).webhooks == 1
    assert rotate_keys(both).is_complete
    alone = new_store(settings, answers_keys=new)
    webhook = management.get_webhook(alone, added.webhook.id)
    assert [secret.text for secret in management.read_secrets(alone, webhook)] == [added.secret]


def test_previous_secret_signs_beside_the_new_one_until_it_expires(store: SessionStore) -> None:
    """A third secret replaces the first."""
    added = management.add_webhook(store, "https://receiver.test/", EVENTS)
    second = management.rotate_secret(store, added.webhook.id, 1)
    third = management.rotate_secret(store, added.webhook.id, 1)
    secrets = management.read_secrets(store, management.get_webhook(store, added.webhook.id))
    assert [secret.text for secret in secrets] == [third, second]
    assert secrets[0].expires_at is None
    assert secrets[1].expires_at is not None
