"""Group commit: many callers share a transaction, each gets his own answer, and nobody waits for ever."""

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
from tests.conftest import examples
from tests.store.conftest import USERS, Holding, answer, save, waiting
from tests.waiting import wait_for


def test_callers_that_wait_share_one_transaction(begun: SessionStore, batches: list[int]) -> None:
    """Thirty callers behind a busy writer: one commit, and each has his own session's answer."""
    with ThreadPoolExecutor(len(USERS)) as threads, Holding(begun) as holding:
        results = [threads.submit(begun.turns.submit, key, answer()) for key in USERS]
        waiting(begun, len(USERS))
        holding.let_go()
        for key, result in zip(USERS, results, strict=True):
            outcome = result.result(30)
            assert isinstance(outcome, Committed)
            assert begun.queries.load(key).state == outcome.state  # type: ignore[union-attr]
    assert batches == [len(USERS)]


def test_more_followers_than_are_woken_at_once_are_all_woken(begun: SessionStore) -> None:
    """Each wakes the next: a hundred threads on one session get a hundred versions."""
    with ThreadPoolExecutor(100) as threads, Holding(begun) as holding:
        results = [threads.submit(begun.turns.submit, USERS[0], save(number)) for number in range(100)]
        waiting(begun, 100)
        holding.let_go()
        versions = [result.result(30).version for result in results]  # type: ignore[union-attr]
    assert sorted(versions) == list(range(2, 102))


def test_submit_many_answers_each_in_its_place(begun: SessionStore) -> None:
    """Accepted, refused, invalid and reused ids side by side; each only for its own turn, in order."""
    results = begun.turns.submit_many(
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
    assert begun.queries.load(USERS[0]).state.version == 3  # type: ignore[union-attr]


def test_submit_many_commits_a_bounded_number_at_a_time(settings: Settings, batches: list[int]) -> None:
    """However long the list, a transaction holds batch_limit turns."""
    store = open_store(settings.model_copy(update={"batch_limit": 7}))
    results = store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    assert all(isinstance(result, Committed) for result in results)
    assert batches == [7, 7, 7, 7, 2]
    store.close()


@pytest.mark.parametrize("bad", [{0}, {29}, {3, 4, 17}, set(range(30))])
def test_row_that_the_database_refuses_fails_its_own_caller_only(
    begun: SessionStore, monkeypatch: pytest.MonkeyPatch, bad: set[int]
) -> None:
    """A batch with bad rows is taken apart by halves until they stand alone; the others are committed."""
    too_long = "x" * 300  # message_id has room for 64; SQLite doesn't count, so there the gate's own size is used
    real = writer_module.commit_batch

    def refusing(gateway: Any, turns: list[Turn], survey_for: Any) -> Any:
        if begun.queries.database_facts()["database"] == "sqlite" and any(c.message_id == too_long for _, c in turns):
            raise ValueError("a row that the database refuses")
        return real(gateway, turns, survey_for)

    monkeypatch.setattr(writer_module, "commit_batch", refusing)
    turns = [(key, answer(message_id=too_long if number in bad else f"m{number}")) for number, key in enumerate(USERS)]
    results = begun.turns.submit_many(turns)
    for number, (key, result) in enumerate(zip(USERS, results, strict=True)):
        assert isinstance(result, Exception) == (number in bad), (number, result)
        snapshot = begun.queries.load(key)
        assert snapshot is not None
        assert snapshot.state.version == (1 if number in bad else 2)


def test_database_that_is_away_fails_the_batch_once_and_not_each_turn(
    begun: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may pass is not taken apart: thirty turns are tried as often as one."""
    tries: list[int] = []

    def away(_gateway: object, turns: list[Turn], _survey_for: object) -> Any:
        tries.append(len(turns))
        raise begun._write_engine.dialect.loaded_dbapi.OperationalError(*AWAY[begun._write_engine.dialect.name])

    monkeypatch.setattr(begun._writer, "_settings", begun.settings.model_copy(update={"retry_delay_s": 0}))
    monkeypatch.setattr(writer_module, "commit_batch", away)
    results = begun.turns.submit_many([(key, answer()) for key in USERS])
    assert all(isinstance(result, DatabaseUnavailable) for result in results)
    assert tries == [30, 30, 30]


AWAY: dict[str, tuple[Any, ...]] = {
    "sqlite": ("database is locked",),
    "postgresql": ("the server closed the connection",),
    "mysql": (2013, "Lost connection"),
    "mariadb": (2013, "Lost connection"),
}


def test_full_queue_holds_callers_back_and_then_lets_them_in(settings: Settings) -> None:
    """Back-pressure: with room for two, ten callers are all served, and no more than two wait in the queue."""
    store = open_store(settings.model_copy(update={"queue_limit": 2}))
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with ThreadPoolExecutor(10) as threads, Holding(store) as holding:
        results = [threads.submit(store.turns.submit, key, answer()) for key in USERS[:10]]
        waiting(store, 2)
        holding.let_go()
        assert all(isinstance(result.result(30), Committed) for result in results)
    store.close()


def test_caller_who_waited_too_long_is_told_and_nothing_is_done(settings: Settings) -> None:
    """Overloaded past the time; the turn is not committed later behind his back."""
    store = open_store(settings.model_copy(update={"queue_timeout_s": 0.05}))
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with Holding(store), pytest.raises(Overloaded):
        store.turns.submit(USERS[0], answer())
    assert store.queries.load(USERS[0]).state.version == 1  # type: ignore[union-attr]
    assert isinstance(store.turns.submit(USERS[0], answer()), Committed)
    store.close()


def test_refused_turn_is_out_of_the_queue_before_its_caller_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one go: in any moment between, a leader would commit what its caller believes was not done."""
    store = open_store(settings.model_copy(update={"queue_timeout_s": 0.05}))
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    left: list[int] = []
    real = store._writer._abandon

    def abandon(ticket: Any) -> None:
        left.append(len(store._writer._waiting))
        real(ticket)

    monkeypatch.setattr(store._writer, "_abandon", abandon)
    with Holding(store), pytest.raises(Overloaded):
        store.turns.submit(USERS[0], answer())
    assert left == [0]
    store.close()


def test_session_whose_key_is_double_for_ever_fails_alone(begun: SessionStore) -> None:
    """Somebody deleted its row by hand and left its history: the others in its batch are served."""
    begun._writer.run(without_its_row)
    results = begun.turns.submit_many([(USERS[0], Begin(at=2)), *((key, answer()) for key in USERS[1:5])])
    assert isinstance(results[0], Unavailable)
    assert all(isinstance(result, Committed) for result in results[1:])


DELETE_FIRST = "DELETE FROM sessions WHERE user_id = 'user0'"


def without_its_row(connection: Connection) -> None:
    """Delete the first session's row, as a client without foreign keys can; its history stays."""
    match connection.dialect.name:
        case "sqlite":
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("ROLLBACK")  # inside a transaction the setting can't be changed
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


def test_revision_is_loaded_outside_of_the_transaction(
    begun: SessionStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session on an older revision, in a process that has not seen it: nothing is read while sessions are locked."""
    newer = begun.catalogue.surveys["phq9"]
    edited = newer.model_validate_json(newer.model_copy(update={"title": "Another"}).model_dump_json())
    other = SessionStore(settings, type(begun.catalogue)(surveys={"phq9": edited}, default_id="phq9"))
    other.initialise()
    inside: list[bool] = []
    transact, read = other._connection.transact, other.run_read

    def watched(work: Any) -> Any:
        inside.append(True)
        try:
            return transact(work)
        finally:
            inside.pop()

    def outside(work: Any) -> Any:
        assert not inside
        return read(work)

    monkeypatch.setattr(other._connection, "transact", watched)
    monkeypatch.setattr(other, "run_read", outside)
    outcome = other.turns.submit_or_raise(USERS[0], answer())
    assert (outcome.survey, outcome.version) == (newer, 2)
    other.close()


def test_close_commits_what_waits_and_refuses_what_comes_later(settings: Settings) -> None:
    """Nobody who was in the queue is lost; a caller after the end gets a clear error."""
    store = open_store(settings)
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with ThreadPoolExecutor(len(USERS) + 1) as threads, Holding(store) as holding:
        results = [threads.submit(store.turns.submit, key, answer()) for key in USERS]
        waiting(store, len(USERS))
        closing = threads.submit(store.close)
        wait_for(lambda: store._writer._is_closed, "it does not close")
        with pytest.raises(DatabaseUnavailable, match="closed"):
            store.turns.submit(USERS[0], answer(2))
        holding.let_go()
        assert all(isinstance(result.result(30), Committed) for result in results)
        closing.result(30)
    after = open_store(settings)
    assert all(snapshot.state.version == 2 for snapshot in after.queries.list()[0])
    after.close()


@examples(25)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4), st.sampled_from("abcd")), max_size=25), st.data())
def test_turns_in_one_batch_come_out_as_one_by_one(
    store: SessionStore, turns: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    """However turns are cut into batches, sessions, answers and duplicates are the same."""
    prefix = f"p{data.draw(st.integers(0, 10**9))}"
    cut = data.draw(st.integers(1, 8))

    def work(kind: str) -> list[Turn]:
        begins: list[Turn] = [(SessionKey("phq9", f"{prefix}.{kind}.{user}"), Begin(at=1)) for user in range(5)]
        return begins + [
            (SessionKey("phq9", f"{prefix}.{kind}.{user}"), answer(step, message_id=f"{message}{step}"))
            for user, step, message in turns
        ]

    def shown(results: list[Any]) -> list[object]:
        return [
            (result.version, result.duplicate, result.state) if isinstance(result, Committed) else type(result)
            for result in results
        ]

    together = work("x")
    in_parts = [store.turns.submit_many(together[start : start + cut]) for start in range(0, len(together), cut)]
    one_by_one = [store.turns.submit_many([turn]) for turn in work("y")]
    assert shown(list(chain(*in_parts))) == shown(list(chain(*one_by_one)))
