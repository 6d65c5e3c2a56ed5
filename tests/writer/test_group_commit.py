"""Group commit: callers share a transaction, each gets its own result, and none waits forever."""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from app.errors import DatabaseUnavailable, InvalidJson, MessageIdReused, Overloaded, Unavailable
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from app.writer import group_commit as writer_module
from app.writer.batch import Committed, Rejected, Turn
from tests.conftest import NewStore, examples
from tests.store.conftest import USERS, BusyWriter, answer, save, wait_for_queue
from tests.waiting import wait_for


def test_waiting_callers_share_one_transaction(started: SessionStore, batches: list[int]) -> None:
    """Thirty callers behind a busy writer: one commit, and a result for each session."""
    with ThreadPoolExecutor(len(USERS)) as threads, BusyWriter(started) as busy:
        results = [threads.submit(started.turns.submit, key, answer()) for key in USERS]
        wait_for_queue(started, len(USERS))
        busy.release()
        for key, result in zip(USERS, results, strict=True):
            outcome = result.result(30)
            assert isinstance(outcome, Committed)
            assert started.queries.load(key).state == outcome.snapshot.state  # type: ignore[union-attr]
    assert batches == [len(USERS)]


def test_all_followers_are_woken_when_there_are_more_than_one_round_wakes(started: SessionStore) -> None:
    """Each follower wakes others: a hundred threads on one session get a hundred versions."""
    with ThreadPoolExecutor(100) as threads, BusyWriter(started) as busy:
        results = [threads.submit(started.turns.submit, USERS[0], save(number)) for number in range(100)]
        wait_for_queue(started, 100)
        busy.release()
        versions = [result.result(30).version for result in results]  # type: ignore[union-attr]
    assert sorted(versions) == list(range(2, 102))


def test_submit_many_returns_results_in_order(started: SessionStore) -> None:
    """Accepted, rejected and invalid turns and reused message ids together; each error is that of its own turn."""
    results = started.turns.submit_many(
        [
            (USERS[0], answer(1, message_id="a")),
            (USERS[0], answer(7)),
            (USERS[1], Answer(at=5, step="Q1", value=float("nan"))),
            (USERS[0], answer(2, message_id="a")),
            (USERS[0], answer(1, message_id="a")),
            (USERS[0], answer(2)),
            (SessionKey("phq9", "nobody"), answer(1)),
        ]
    )
    assert [type(result) for result in results] == [
        Committed,
        Rejected,
        InvalidJson,
        MessageIdReused,
        Committed,
        Committed,
        Rejected,
    ]
    again = results[4]
    assert isinstance(again, Committed)
    assert (again.version, again.duplicate) == (2, True)
    assert started.queries.load(USERS[0]).state.version == 3  # type: ignore[union-attr]


def test_submit_many_commits_at_most_batch_limit_turns_at_a_time(
    settings: Settings, batches: list[int], new_store: NewStore
) -> None:
    """Thirty turns with a limit of seven: five transactions."""
    store = new_store(settings, batch_limit=7)
    results = store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    assert all(isinstance(result, Committed) for result in results)
    assert batches == [7, 7, 7, 7, 2]


@pytest.mark.parametrize("bad", [{0}, {29}, {3, 4, 17}, set(range(30))])
def test_only_the_turns_that_the_database_refuses_fail(
    started: SessionStore, monkeypatch: pytest.MonkeyPatch, bad: set[int]
) -> None:
    """The batch is bisected until each bad row is alone; the others are committed."""
    too_long = "x" * 300  # the column allows 64; SQLite does not enforce it, so there the patch refuses
    real = writer_module.commit_batch

    def commit_or_refuse(gateway: Any, turns: list[Turn], *others: Any) -> Any:
        if started.queries.database_facts()["database"] == "sqlite" and any(c.message_id == too_long for _, c in turns):
            raise ValueError("a row that the database refuses")
        return real(gateway, turns, *others)

    monkeypatch.setattr(writer_module, "commit_batch", commit_or_refuse)
    turns = [(key, answer(message_id=too_long if number in bad else f"m{number}")) for number, key in enumerate(USERS)]
    results = started.turns.submit_many(turns)
    for number, (key, result) in enumerate(zip(USERS, results, strict=True)):
        assert isinstance(result, Exception) == (number in bad), (number, result)
        snapshot = started.queries.load(key)
        assert snapshot is not None
        assert snapshot.state.version == (1 if number in bad else 2)


def test_batch_is_not_bisected_when_the_database_is_unavailable(
    started: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty turns are retried together, as often as one turn."""
    attempts: list[int] = []

    def fail(_gateway: object, turns: list[Turn], *_others: object) -> Any:
        attempts.append(len(turns))
        raise started._write_engine.dialect.loaded_dbapi.OperationalError(
            *UNAVAILABLE[started._write_engine.dialect.name]
        )

    monkeypatch.setattr(started._writer, "_settings", started.settings.model_copy(update={"retry_delay_s": 0}))
    monkeypatch.setattr(writer_module, "commit_batch", fail)
    results = started.turns.submit_many([(key, answer()) for key in USERS])
    assert all(isinstance(result, DatabaseUnavailable) for result in results)
    assert attempts == [30, 30, 30]


UNAVAILABLE: dict[str, tuple[Any, ...]] = {
    "sqlite": ("database is locked",),
    "postgresql": ("the server closed the connection",),
    "mysql": (2013, "Lost connection"),
    "mariadb": (2013, "Lost connection"),
}


def test_callers_wait_for_room_when_the_queue_is_full(settings: Settings, new_store: NewStore) -> None:
    """With room for two, all of ten callers get a result, and at most two are in the queue."""
    store = new_store(settings, queue_limit=2)
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with ThreadPoolExecutor(10) as threads, BusyWriter(store) as busy:
        results = [threads.submit(store.turns.submit, key, answer()) for key in USERS[:10]]
        wait_for_queue(store, 2)
        busy.release()
        assert all(isinstance(result.result(30), Committed) for result in results)


def test_turn_is_overloaded_and_not_committed_when_it_waited_too_long(settings: Settings, new_store: NewStore) -> None:
    """Not later either, once its caller has the error."""
    store = new_store(settings, queue_timeout_s=0.05)
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with BusyWriter(store), pytest.raises(Overloaded):
        store.turns.submit(USERS[0], answer())
    assert store.queries.load(USERS[0]).state.version == 1  # type: ignore[union-attr]
    assert isinstance(store.turns.submit(USERS[0], answer()), Committed)


def test_turn_leaves_the_queue_before_its_caller_gets_overloaded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, new_store: NewStore
) -> None:
    """Atomically: otherwise a leader could commit a turn whose caller got an error."""
    store = new_store(settings, queue_timeout_s=0.05)
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    queue_lengths: list[int] = []
    real = store._writer._abandon

    def abandon(request: Any) -> None:
        queue_lengths.append(len(store._writer._waiting))
        real(request)

    monkeypatch.setattr(store._writer, "_abandon", abandon)
    with BusyWriter(store), pytest.raises(Overloaded):
        store.turns.submit(USERS[0], answer())
    assert queue_lengths == [0]


def test_only_the_session_with_history_but_no_row_fails(started: SessionStore) -> None:
    """A retry cannot resolve its duplicate key; the others in the batch are committed."""
    started._writer.run(delete_first_row)
    results = started.turns.submit_many([(USERS[0], Begin(at=2)), *((key, answer()) for key in USERS[1:5])])
    assert isinstance(results[0], Unavailable)
    assert all(isinstance(result, Committed) for result in results[1:])


DELETE_FIRST = "DELETE FROM sessions WHERE user_id = 'user0'"


def delete_first_row(connection: Connection) -> None:
    """Delete the first session's row but not its history, with foreign keys off."""
    match connection.dialect.name:
        case "sqlite":
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("ROLLBACK")  # the pragma has no effect in a transaction
            driver.execute("PRAGMA foreign_keys=OFF")
            driver.execute(DELETE_FIRST)
            driver.execute("PRAGMA foreign_keys=ON")
            driver.execute("BEGIN IMMEDIATE")
        case "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql(DELETE_FIRST)
        case _:
            connection.exec_driver_sql("SET foreign_key_checks = 0")
            connection.exec_driver_sql(DELETE_FIRST)
            connection.exec_driver_sql("SET foreign_key_checks = 1")


def test_revision_is_loaded_outside_the_transaction(
    started: SessionStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if this process has not loaded the session's older revision yet: sessions are not locked meanwhile."""
    newer = started.catalogue.surveys["phq9"]
    edited = newer.model_validate_json(newer.model_copy(update={"title": "Another"}).model_dump_json())
    other = SessionStore(settings, type(started.catalogue)(surveys={"phq9": edited}, default_id="phq9"))
    other.initialise()
    inside: list[bool] = []
    transact, read = other._connection.transact, other.run_read

    def transact_and_record(work: Any) -> Any:
        inside.append(True)
        try:
            return transact(work)
        finally:
            inside.pop()

    def read_outside(work: Any) -> Any:
        assert not inside
        return read(work)

    monkeypatch.setattr(other._connection, "transact", transact_and_record)
    monkeypatch.setattr(other, "run_read", read_outside)
    outcome = other.turns.submit_or_raise(USERS[0], answer())
    assert (outcome.snapshot.survey, outcome.version) == (newer, 2)
    other.close()


def test_close_commits_waiting_turns_and_refuses_later_ones(settings: Settings) -> None:
    """Later callers get an error that says the store is closed."""
    store = open_store(settings)
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with ThreadPoolExecutor(len(USERS) + 1) as threads, BusyWriter(store) as busy:
        results = [threads.submit(store.turns.submit, key, answer()) for key in USERS]
        wait_for_queue(store, len(USERS))
        closing = threads.submit(store.close)
        wait_for(lambda: store._writer._is_closed, "the writer does not close")
        with pytest.raises(DatabaseUnavailable, match="closed"):
            store.turns.submit(USERS[0], answer(2))
        busy.release()
        assert all(isinstance(result.result(30), Committed) for result in results)
        closing.result(30)
    after = open_store(settings)
    assert all(snapshot.state.version == 2 for snapshot in after.queries.list()[0])
    after.close()


@examples(25)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4), st.sampled_from("abcd")), max_size=25), st.data())
def test_results_are_the_same_however_turns_are_batched(
    store: SessionStore, turns: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    """Versions, states and duplicates equal those of turns submitted one by one."""
    prefix = f"p{data.draw(st.integers(0, 10**9))}"
    size = data.draw(st.integers(1, 8))

    def turns_of(kind: str) -> list[Turn]:
        begins: list[Turn] = [(SessionKey("phq9", f"{prefix}.{kind}.{user}"), Begin(at=1)) for user in range(5)]
        return begins + [
            (SessionKey("phq9", f"{prefix}.{kind}.{user}"), answer(step, message_id=f"{message}{step}"))
            for user, step, message in turns
        ]

    def outcomes(results: list[Any]) -> list[object]:
        return [
            (result.version, result.duplicate, result.snapshot.state) if isinstance(result, Committed) else type(result)
            for result in results
        ]

    together = turns_of("x")
    in_parts = [store.turns.submit_many(together[start : start + size]) for start in range(0, len(together), size)]
    one_by_one = [store.turns.submit_many([turn]) for turn in turns_of("y")]
    assert outcomes(list(chain(*in_parts))) == outcomes(list(chain(*one_by_one)))
