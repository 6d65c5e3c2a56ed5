"""The outbox: filled in the transaction of what happened, for those who want it; and emptied of who is erased."""

import base64
import os
import threading
from collections.abc import Iterator
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
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import erasures, outbox
from app.store.outbox import EVENTS, AttemptResult, Webhook
from app.store.tables import sessions, webhook_deliveries
from app.store.tables import webhooks as table
from app.survey.commands import Answer, AnyCommand, Back, Begin, Draft, Expire, Restart, Save, SetMode, Update
from app.survey.snapshot import SessionKey
from tests.conftest import examples
from tests.store.contents import clear
from tests.store.test_erasures import set_aside

ANN = SessionKey("phq9", "ann")
BEN = SessionKey("phq9", "ben")
DAY_US = 86_400 * 1_000_000


def hook(store: SessionStore, number: int = 1, survey_id: str | None = None, *events: Any) -> str:
    """Add a webhook of these events, else of all."""
    name = f"wh_{number:016x}"
    made = Webhook(
        id=name,
        url="https://receiver.test/",
        secret="whsec_x",
        events=events or EVENTS,
        survey_id=survey_id,
        created_at=store.clock(),
        disabled_at=None,
    )
    store.run_transaction(lambda connection: outbox.add_webhook(connection, made))
    return name


def told(store: SessionStore) -> list[tuple[str, str, int]]:
    """Return what lies in the outbox: event, participant and version, oldest first."""
    found = store.run_read(lambda connection: outbox.read_page(connection, None, None, 1000)).deliveries
    return [(one.event.partition(".")[2], one.key.user_id, one.version) for one in reversed(found)]


def do(store: SessionStore, *commands: AnyCommand, key: SessionKey = ANN) -> None:
    for result in store.turns.submit_many([(key, command) for command in commands]):
        assert not isinstance(result, Exception)


def save(at: int, step: str = "end") -> Save:
    return Save(at=at, current_step=step, answers={}, step_history=(), is_audio_mode=False, session_data=None)


def empty(store: SessionStore) -> None:
    clear(store)

    def remove(connection: Any) -> None:
        for one in (webhook_deliveries, table):
            connection.execute(delete(one))

    store.run_transaction(remove)


@pytest.fixture
def sealed(settings: Settings) -> Iterator[SessionStore]:
    """A store whose answers are encrypted."""
    keys = base64.b64encode(os.urandom(32)).decode()
    store = open_store(Settings(**{**settings.model_dump(), "answers_keys": keys}))
    yield store
    store.close()


def test_beginnings_completions_and_ends_lie_in_the_outbox_by_whatever_command(store: SessionStore) -> None:
    """By answers, saved states and updates; a session that is completed already is completed no second time."""
    hook(store)
    at = store.clock()
    answers = [Answer(at=at, step=f"Q{number}", value=0) for number in range(1, 10)]
    do(store, Begin(at=at), *answers)
    do(store, save(at), Update(at=at, changes={"session_data": {"x": 1}}))
    assert told(store) == [("started", "ann", 1), ("completed", "ann", 10)]
    do(store, Restart(at=at), SetMode(at=at, is_audio_mode=True), Draft(at=at, step="Q1", value=1), Back(at=at))
    do(store, Update(at=at, changes={"current_step": "end"}), save(at, "Q1"), save(at))
    assert [one[0] for one in told(store)[2:]] == ["started", "completed", "completed"]
    do(store, save(at), key=BEN)
    assert [one for one in told(store) if one[1] == "ben"] == [("started", "ben", 1), ("completed", "ben", 1)]
    do(store, Begin(at=1), Expire(at=at), key=SessionKey("intake", "eve"))
    assert [one for one in told(store) if one[1] == "eve"] == [("started", "eve", 1), ("expired", "eve", 2)]


COMMANDS = st.lists(st.sampled_from(["answer", "end", "open", "restart", "back", "draft"]), max_size=8)


@examples(15)
@given(names=COMMANDS)
def test_outbox_has_what_the_history_says(store: SessionStore, names: list[str]) -> None:
    """For any walk: a start for each beginning, and a completion for each step into that status, each once."""
    empty(store)
    hook(store)
    at = store.clock()
    made: dict[str, AnyCommand] = {
        "answer": Answer(at=at, step="Q1", value=1),
        "end": save(at),
        "open": save(at, "Q1"),
        "restart": Restart(at=at),
        "back": Back(at=at),
        "draft": Draft(at=at, step="Q1", value=2),
    }
    do(store, Begin(at=at), *(made[name] for name in names))
    expected, before = [], None
    for entry in store.queries.history(ANN, limit=100):
        state = store.queries.at_version(ANN, entry.version).state
        if entry.record.action in {"started", "restarted"}:
            expected.append(("started", "ann", entry.version))
        if state.status == "completed" and before != "completed":
            expected.append(("completed", "ann", entry.version))
        before = state.status
    assert told(store) == expected


def test_each_webhook_gets_what_it_wants(store: SessionStore) -> None:
    """By event and survey; in one batch of many."""
    hook(store, 1)
    hook(store, 2, None, "session.completed")
    hook(store, 3, "intake")
    off = hook(store, 4)
    store.run_transaction(lambda connection: outbox.disable_webhook(connection, off, store.clock()))
    turns = [(SessionKey("phq9", f"u{number}"), Begin(at=store.clock())) for number in range(200)]
    turns += [(SessionKey("intake", "x"), Begin(at=store.clock())), (turns[0][0], save(store.clock()))]
    store.turns.submit_many(turns)
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 1000))
    counts = [sum(one.webhook_id.endswith(str(number)) for one in page.deliveries) for number in (1, 2, 3, 4)]
    assert counts == [202, 1, 1, 0]
    assert {one.next_attempt_at for one in page.deliveries} == {one.occurred_at for one in page.deliveries}


def test_refused_or_repeated_command_tells_nothing(store: SessionStore) -> None:
    """What changes nothing is no event."""
    hook(store)
    at = store.clock()
    do(store, Begin(at=at), Begin(at=at), save(at), Answer(at=at, message_id="m", step="Q1", value=1))
    again = Restart(at=at, message_id="r")
    do(store, again, again)
    assert told(store) == [("started", "ann", 1), ("completed", "ann", 2), ("started", "ann", 3)]


def test_somebody_is_woken_when_and_only_when_something_lies_there(store: SessionStore) -> None:
    """Without a webhook nobody is."""
    woken: list[int] = []
    store.set_outbox_callback(lambda: woken.append(1))
    do(store, Begin(at=store.clock()))
    assert woken == []
    hook(store)
    do(store, save(store.clock()))
    assert woken == [1]
    do(store, Update(at=store.clock(), changes={"session_data": {}}))
    assert woken == [1]


def test_turns_go_on_while_webhooks_come_and_go(store: SessionStore) -> None:
    """A webhook that is removed in the middle of a batch fails no turn."""
    stop = threading.Event()

    def come_and_go() -> int:
        count = 0
        while not stop.is_set():
            name = hook(store, count)
            store.run_transaction(partial(outbox.remove_webhook, webhook_id=name))
            count += 1
        return count

    with ThreadPoolExecutor(1) as thread:
        changing = thread.submit(come_and_go)
        for start in range(60):
            turns = [(SessionKey("phq9", f"u{start}-{n}"), Begin(at=store.clock())) for n in range(20)]
            results = store.turns.submit_many(turns)
            assert not [one for one in results if isinstance(one, Exception)]
        stop.set()
        assert changing.result() > 0


def test_webhook_that_another_process_removes_fails_no_turn(settings: Settings, store: SessionStore) -> None:
    """Its row is locked by one who removes it: a turn waits, and finds none."""
    if settings.database_url.startswith("sqlite"):
        pytest.skip("a SQLite file has one writer at a time")
    name = hook(store)
    other = open_store(settings)
    held, go = threading.Event(), threading.Event()

    def slowly(connection: Any) -> None:
        outbox.remove_webhook(connection, name)
        held.set()
        go.wait(20)

    with ThreadPoolExecutor(2) as threads:
        removing = threads.submit(other.run_transaction, slowly)
        assert held.wait(20)
        beginning = threads.submit(do, store, Begin(at=store.clock()))
        go.set()
        removing.result()
        beginning.result()
    assert told(store) == []
    other.close()


def test_erased_participant_is_not_in_the_outbox(store: SessionStore) -> None:
    """Whoever else is stays; also where only a session that was set aside is left of him, or none at all."""
    hook(store)
    do(store, Begin(at=store.clock()))
    do(store, Begin(at=store.clock()), key=BEN)
    do(store, Begin(at=store.clock()), key=SessionKey("intake", "ann"))
    store.erasure.delete(ANN)
    assert told(store) == [("started", "ben", 1), ("started", "ann", 1)]
    store.erasure.forget("ann")
    assert told(store) == [("started", "ben", 1)]
    set_aside(store, BEN)
    assert told(store) == [("started", "ben", 1)]
    store.erasure.forget("ben")
    assert told(store) == []
    do(store, Begin(at=store.clock()))
    store.run_transaction(lambda connection: connection.execute(delete(sessions).where(sessions.c.user_id == "nobody")))
    store.erasure.forget("ann", "phq9")
    assert told(store) == []


def test_erasure_that_is_done_again_leaves_what_came_later(store: SessionStore) -> None:
    """As in a database that was restored: what was told before goes, what began since stays."""
    hook(store)
    do(store, Begin(at=store.clock()))
    store.erasure.forget("ann")

    lines = store.run_read(lambda connection: erasures.read_participant(connection, "ann", None))
    do(store, Begin(at=1_000_000), save(store.clock()))
    assert told(store) == [("started", "ann", 1), ("completed", "ann", 2)]
    store.erasure.replay(lines)
    assert told(store) == []
    do(store, Begin(at=store.clock()))
    store.erasure.replay(lines)
    assert told(store) == [("started", "ann", 1)]


def test_session_that_is_too_old_takes_its_deliveries_with_it(settings: Settings) -> None:
    """Erasing by age is no different."""
    store = open_store(settings.model_copy(update={"retention": "30d"}))
    hook(store)
    do(store, Begin(at=store.clock() - 40 * DAY_US))
    do(store, Begin(at=store.clock()), key=BEN)
    assert len(told(store)) == 2
    purge(store)
    assert told(store) == [("started", "ben", 1)]
    store.close()


def test_old_deliveries_are_removed_in_parts(store: SessionStore) -> None:
    """Delivered ones, given up ones, and what a disabled webhook waits for; what is due stays."""
    name = hook(store)
    at = store.clock()
    do(store, Begin(at=at - 100 * DAY_US))
    for number in range(5):
        do(store, Begin(at=at - 100 * DAY_US), key=SessionKey("phq9", f"u{number}"))
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10))
    ids = [one.id for one in page.deliveries]
    old, new = at - 95 * DAY_US, at - DAY_US
    attempted = [
        AttemptResult(id=ids[0], at=old, attempts=1, retry_at=None, is_delivered=True, status=200, error=None),
        AttemptResult(id=ids[1], at=old, attempts=1, retry_at=None, is_delivered=False, status=500, error="HTTP 500"),
        AttemptResult(id=ids[2], at=new, attempts=1, retry_at=None, is_delivered=True, status=200, error=None),
        AttemptResult(id=ids[3], at=new, attempts=1, retry_at=None, is_delivered=False, status=500, error="x" * 1000),
    ]
    store.run_transaction(lambda connection: outbox.record_attempts(connection, attempted))

    ages = outbox.RetentionCutoffs(delivered_before=at - 30 * DAY_US, failed_before=at - 90 * DAY_US)

    def clean() -> int:
        removed, after_id = 0, 0
        while True:
            found = store.run_read(lambda one: outbox.scan_old(one, ages, after_id, 2))  # noqa: B023 - called at once
            removed += store.run_transaction(lambda one: outbox.remove_old(one, ages, found.old))  # noqa: B023
            if found.following is None:
                return removed
            after_id = found.following

    assert [clean(), clean()] == [2, 0]
    store.run_transaction(lambda connection: outbox.disable_webhook(connection, name, old))
    assert [clean(), clean()] == [2, 0]
    left = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).deliveries
    assert {one.id for one in left} == {ids[2], ids[3]}
    assert store.run_transaction(lambda connection: outbox.remove_old(connection, ages, ids)) == 0


def test_what_is_due_for_too_long_is_given_up_and_nothing_else(store: SessionStore) -> None:
    """A receiver that never answers fills no disk; what was delivered meanwhile, or is young, stays as it is."""
    hook(store)
    at = store.clock()
    do(store, Begin(at=at - 100 * DAY_US))
    do(store, Begin(at=at - 100 * DAY_US), key=SessionKey("phq9", "ben"))
    do(store, Begin(at=at - DAY_US), key=SessionKey("phq9", "cat"))
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).deliveries[::-1]
    late, made, _ = ids = [one.id for one in page]
    ages = outbox.RetentionCutoffs(delivered_before=at - 30 * DAY_US, failed_before=at - 90 * DAY_US)
    assert store.run_read(lambda connection: outbox.scan_old(connection, ages, 0, 10)) == ([], [late, made], None)
    delivered = AttemptResult(id=made, at=at, attempts=1, retry_at=None, is_delivered=True, status=200, error=None)
    store.run_transaction(lambda connection: outbox.record_attempts(connection, [delivered]))
    assert store.run_transaction(lambda connection: outbox.give_up(connection, ages, ids, at)) == 1
    page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).deliveries[::-1]
    assert [one.failed_at for one in page] == [at, None, None]
    assert [one.next_attempt_at is None for one in page] == [True, True, False]


def test_attempt_that_is_written_late_changes_no_delivery_that_was_made(store: SessionStore) -> None:
    """Two processes may have sent it; and the same result counts once, however often it is written."""
    hook(store)
    do(store, Begin(at=store.clock()))
    at, (made,) = (
        store.clock(),
        store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).deliveries,
    )
    failed = AttemptResult(id=made.id, at=at, attempts=1, retry_at=at, is_delivered=False, status=500, error="HTTP 500")
    delivered = AttemptResult(id=made.id, at=at, attempts=2, retry_at=None, is_delivered=True, status=200, error=None)
    for one in (failed, failed, delivered, failed):
        store.run_transaction(lambda connection, one=one: outbox.record_attempts(connection, [one]))
    (kept,) = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10)).deliveries
    assert (kept.attempts, kept.delivered_at, kept.next_attempt_at) == (2, at, None)


def test_secret_of_a_webhook_is_sealed_where_answers_are_and_changes_its_key_with_them(
    sealed: SessionStore, settings: Settings
) -> None:
    """Nothing of it lies in the table; ``rotate_keys`` seals it anew, and the old key is needed no more."""
    added = management.add_webhook(sealed, "https://receiver.test/", EVENTS)
    kept = sealed.run_read(lambda connection: outbox.read_webhook(connection, added.webhook.id))
    assert kept is not None
    assert kept.secret.startswith("enc:")
    assert added.secret not in kept.secret
    assert "whsec" not in repr(kept)
    assert [one.text for one in management.read_secrets(sealed, kept)] == [added.secret]
    old = sealed.settings.answers_keys.get_secret_value()
    new = base64.b64encode(os.urandom(32)).decode()
    both = open_store(Settings(**{**settings.model_dump(), "answers_keys": f"{new},{old}"}))
    assert rotate_keys(both).webhooks == 1
    assert rotate_keys(both).is_complete
    both.close()
    alone = open_store(Settings(**{**settings.model_dump(), "answers_keys": new}))
    found = management.get_webhook(alone, added.webhook.id)
    assert [one.text for one in management.read_secrets(alone, found)] == [added.secret]
    alone.close()


def test_new_secret_signs_beside_the_one_before_it_for_a_while(store: SessionStore) -> None:
    """And a third one leaves out the first."""
    added = management.add_webhook(store, "https://receiver.test/", EVENTS)
    second = management.rotate_secret(store, added.webhook.id, 1)
    third = management.rotate_secret(store, added.webhook.id, 1)
    found = management.read_secrets(store, management.get_webhook(store, added.webhook.id))
    assert [one.text for one in found] == [third, second]
    assert found[0].expires_at is None
    assert found[1].expires_at is not None
