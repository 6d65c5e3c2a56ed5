"""A turn in the caller's transaction: it and the caller's rows are committed together, or not at all."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import registry, scoped_session, sessionmaker

from app.errors import DatabaseUnavailable, MessageIdReused, SessionFull
from app.notifications import subscriber as subscriber_module
from app.observability import metrics
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.tables import webhook_deliveries
from app.survey import Answer, Begin, SessionKey
from app.writer import Rejected
from tests.conftest import ROOT, SURVEYS, NewStore
from tests.sessions.transactions import (
    KEY,
    ROWS,
    Subscriber,
    add_row,
    answer,
    check_histories,
    committed,
    rows,
    version,
)
from tests.store.encrypted import KEY as DIARY
from tests.store.encrypted import MARKER, OLD, OpenWithKeys, all_values
from tests.store.test_outbox import hook
from tests.waiting import wait_for


class Failed(Exception):
    """Ends a transaction."""


def accepted() -> float:
    """Return how many turns were counted as accepted."""
    return next(
        sample.value
        for sample in metrics.TURNS.collect()[0].samples
        if sample.name.endswith("_total") and sample.labels["outcome"] == "accepted"
    )


def test_turn_and_row_are_committed_together(program: SessionStore, subscriber: Subscriber) -> None:
    before = accepted()
    with program.transaction() as connection:
        add_row(connection)
        result = committed(program.turns.submit_in(connection, KEY, answer()))
        assert (rows(program), version(program), subscriber.versions, accepted()) == ([], 1, [], before)
    assert (rows(program), version(program), subscriber.versions, accepted()) == ([1], 2, [2], before + 1)
    snapshot = program.queries.load(KEY)
    assert snapshot is not None
    assert (snapshot.state, 2) == (result.snapshot.state, result.version)
    check_histories(program)


def test_rollback_leaves_nothing_and_the_message_id_is_still_free(
    program: SessionStore, subscriber: Subscriber
) -> None:
    before = accepted()
    with pytest.raises(Failed), program.transaction() as connection:
        add_row(connection)
        assert committed(program.turns.submit_in(connection, KEY, answer(message_id="m"))).version == 2
        raise Failed
    assert (rows(program), version(program), subscriber.versions, accepted()) == ([], 1, [], before)
    with program.transaction() as connection:
        again = committed(program.turns.submit_in(connection, KEY, answer(value=3, message_id="m")))
    assert (again.version, again.duplicate, subscriber.versions) == (2, False, [2])
    check_histories(program)


def test_session_begun_in_a_rolled_back_transaction_is_unknown_to_the_caches(program: SessionStore) -> None:
    """A certainly new participant may begin during an outage: the filter of keys must not know the session."""
    new = SessionKey("phq9", "new")
    program._key_filter.fill()
    for is_committed in (False, True):
        with program.engine.connect() as connection:
            committed(program.turns.submit_in(connection, new, Begin(at=1)))
            (connection.commit if is_committed else connection.rollback)()
        assert program._key_filter.definitely_absent(new) is not is_committed
        assert program.subscribers.latest(new) is None
    assert version(program, new) == 1


def test_repeated_message_id_gets_the_first_result(program: SessionStore) -> None:
    """In the same transaction, in a later one, and by the writer; another command with the id is refused."""
    program.turns.submit(KEY, answer(1, message_id="a"))
    with program.transaction() as connection:
        first = program.turns.submit_in(connection, KEY, answer(1, message_id="a"))
        program.turns.submit_in(connection, KEY, answer(2, message_id="b"))
        second = program.turns.submit_in(connection, KEY, answer(2, message_id="b"))
        with pytest.raises(MessageIdReused):
            program.turns.submit_in(connection, KEY, answer(3, message_id="b"))
        add_row(connection)
    third = program.turns.submit(KEY, answer(2, message_id="b"))
    results = [committed(result) for result in (first, second, third)]
    assert [(result.version, result.duplicate) for result in results] == [(2, True), (3, True), (3, True)]
    assert (rows(program), version(program)) == ([1], 3)
    check_histories(program)


def test_version_conflict_is_rejected_and_the_transaction_goes_on(program: SessionStore) -> None:
    program.turns.submit(KEY, answer(1))
    with program.transaction() as connection:
        conflict = program.turns.submit_in(connection, KEY, answer(2, version=1))
        add_row(connection)
        committed(program.turns.submit_in(connection, KEY, answer(2, version=2)))
        committed(program.turns.submit_in(connection, KEY, answer(3, version=3)))
    assert isinstance(conflict, Rejected)
    assert conflict.rejection.code == "version_conflict"
    assert (rows(program), version(program)) == ([1], 4)


def test_writer_reads_what_a_transaction_committed(program: SessionStore) -> None:
    """It caches sessions that it wrote, on SQLite."""
    for number in range(1, 10):
        if number % 2:
            result = program.turns.submit(KEY, answer(number))
        else:
            with program.transaction() as connection:
                result = program.turns.submit_in(connection, KEY, answer(number))
        assert committed(result).snapshot.state.answers.keys() == {f"Q{n}" for n in range(1, number + 1)}
    check_histories(program)


def test_rolled_back_savepoint_leaves_nothing(program: SessionStore, subscriber: Subscriber) -> None:
    """Before or after other turns, released ones within it too; other savepoints are committed."""
    with program.transaction() as connection:
        with pytest.raises(Failed), connection.begin_nested():  # older than the transaction's first turn
            program.turns.submit_in(connection, KEY, answer(1, value=0, message_id="a"))
            raise Failed
        program.turns.submit_in(connection, KEY, answer(1, message_id="a"))
        with pytest.raises(Failed), connection.begin_nested():
            add_row(connection)
            with connection.begin_nested():
                program.turns.submit_in(connection, KEY, answer(2))
            program.turns.submit_in(connection, KEY, answer(3))
            raise Failed
        with connection.begin_nested():
            add_row(connection, 2)
            result = committed(program.turns.submit_in(connection, KEY, answer(2, value=3)))
    assert (rows(program), version(program), subscriber.versions) == ([2], 3, [2, 3])
    assert result.snapshot.state.answers == {"Q1": 1, "Q2": 3}
    check_histories(program)


@pytest.mark.parametrize("is_scoped", [False, True])
def test_orm_session_commits_or_rolls_back_turns(
    program: SessionStore, subscriber: Subscriber, *, is_scoped: bool
) -> None:
    class Order:
        number: int

    registry().map_imperatively(Order, ROWS)
    make = sessionmaker(program.engine)
    session: Any = scoped_session(make) if is_scoped else make()
    for number, is_committed in ((1, False), (2, True)):
        order = Order()
        order.number = number
        session.add(order)
        committed(program.turns.submit_in(session, KEY, answer(1, value=number)))
        assert subscriber.versions == []
        (session.commit if is_committed else session.rollback)()
    with session.begin():
        committed(program.turns.submit_in(session, KEY, answer(2)))
    session.close()
    assert (rows(program), version(program), subscriber.versions) == ([2], 3, [2, 3])
    assert program.queries.load(KEY).state.answers == {"Q1": 2, "Q2": 1}  # type: ignore[union-attr]


def test_other_processes_are_notified(program: SessionStore, settings: Settings, new_store: NewStore) -> None:
    subscribed = Subscriber(program)
    other = new_store(settings, notification_interval_s=0.1)
    other.subscribers.subscribe(KEY, subscribed)
    with program.transaction() as connection:
        program.turns.submit_in(connection, KEY, answer())
    wait_for(lambda: subscribed.versions == [2], lambda: f"notified of {subscribed.versions}")
    other.subscribers.unsubscribe(KEY, subscribed)


def test_database_that_fails_after_the_commit_does_not_fail_the_caller(
    program: SessionStore,
    settings: Settings,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The turn is committed: other processes find it when they poll, and nothing unexpected is logged."""
    new, subscribed = SessionKey("phq9", "new"), Subscriber(program)
    monkeypatch.setattr(subscriber_module, "SAFETY_POLL_S", 0.1)
    other = new_store(settings, notification_interval_s=0.1)
    other.subscribers.subscribe(KEY, subscribed)
    program._key_filter.fill()
    with monkeypatch.context() as patch:
        patch.setattr(program.queries, "versions", lambda _keys: (_ for _ in ()).throw(DatabaseUnavailable("down")))
        with program.transaction() as connection:
            program.turns.submit_in(connection, KEY, answer())
            program.turns.submit_in(connection, new, Begin(at=1))
    assert (version(program), version(program, new)) == (2, 1)
    assert not program._key_filter.definitely_absent(new)
    assert "Unexpected" not in caplog.text
    wait_for(lambda: subscribed.versions == [2], lambda: f"notified of {subscribed.versions}")
    other.subscribers.unsubscribe(KEY, subscribed)


def test_nobody_is_notified_if_the_transaction_had_ended_before_its_commit(
    program: SessionStore, subscriber: Subscriber
) -> None:
    """As after a deadlock that the caller ignored: the driver's COMMIT succeeds, and commits nothing."""
    with program.transaction() as connection:
        program.turns.submit_in(connection, KEY, answer())
        connection.exec_driver_sql("ROLLBACK")
    assert (version(program), subscriber.versions) == (1, [])


def test_webhook_delivery_is_committed_with_the_turn(program: SessionStore) -> None:
    hook(program)
    calls: list[int] = []

    def count() -> int:
        return len(program.run_read(lambda connection: connection.execute(select(webhook_deliveries.c.id)).all()))

    program.set_outbox_callback(lambda: calls.append(count()))
    for number, is_committed in ((1, False), (2, True)):
        with program.engine.connect() as connection:
            program.turns.submit_in(connection, SessionKey("phq9", f"new{number}"), Begin(at=1))
            assert (count(), calls) == (0, [])
            (connection.commit if is_committed else connection.rollback)()
    assert (count(), calls) == (1, [1])


def test_answers_are_encrypted(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    store = open_with_keys(OLD)
    with store.transaction() as connection:
        store.turns.submit_in(connection, DIARY, Begin(at=1))
        store.turns.submit_in(connection, DIARY, Answer(at=2, step="S1", value=MARKER))
    assert store.queries.load(DIARY).state.answers == {"S1": MARKER}  # type: ignore[union-attr]
    assert MARKER not in all_values(engine)


def test_full_session_is_refused_and_the_transaction_goes_on(
    program: SessionStore, settings: Settings, new_store: NewStore
) -> None:
    small = new_store(settings, session_versions=100)
    for _ in range(50):
        small.turns.submit_many([(KEY, answer()), (KEY, answer())])
    with small.transaction() as connection:
        add_row(connection)
        with pytest.raises(SessionFull):
            small.turns.submit_in(connection, KEY, answer())
    assert rows(program) == [1]
    assert version(program) == 100


def test_session_of_another_revision_is_read_before_its_turn(
    tmp_path: Path, settings: Settings, new_store: NewStore
) -> None:
    """A revision that this process has not loaded; outside the transaction."""
    (tmp_path / "phq9.yaml").write_text((SURVEYS / "phq9.yaml").read_text().replace("title:", "title: New", 1))
    new, old = new_store(settings, surveys_dir=tmp_path), new_store(settings)
    new.turns.submit(KEY, Begin(at=1))
    with old.transaction() as connection:
        result = committed(old.turns.submit_in(connection, KEY, answer()))
    assert result.snapshot.survey is not None
    assert result.snapshot.survey.revision != old.catalogue.survey("phq9").revision


KILLED = """
import os, sys, time
from app import Answer, SessionKey, open_store, read_settings
from sqlalchemy import text

store = open_store(read_settings())
with store.transaction() as connection:
    connection.execute(text("INSERT INTO orders VALUES (1)"))
    result = store.turns.submit_in(connection, SessionKey("phq9", "ann"), Answer(at=5, message_id="m", step="Q1", value=1))
    print(result.version, flush=True)
    time.sleep(60)
"""


def test_killed_process_leaves_nothing(program: SessionStore, settings: Settings) -> None:
    """Between the turn and COMMIT; the same message id is accepted afterwards."""
    environment = {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": settings.database_url,
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        "STEPKEEP_ENVIRONMENT": "development",
    }
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "2\n"
        process.send_signal(signal.SIGKILL)
    assert (rows(program), version(program)) == ([], 1)
    result = committed(program.turns.submit(KEY, answer(message_id="m")))
    assert (result.version, result.duplicate) == (2, False)
    check_histories(program)
