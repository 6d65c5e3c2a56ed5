"""Turns in callers' transactions beside the writer's: each session has one order, and no one waits for others' rows."""

import gc
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.exc import PendingRollbackError

from app.errors import DatabaseUnavailable, Overloaded
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.drivers import TurnStatements
from app.survey import Begin, SessionKey, apply, decide
from app.writer import Committed, Rejected
from tests.conftest import NewStore, examples
from tests.sessions.transactions import (
    KEY,
    OTHER,
    ROWS,
    Subscriber,
    add_row,
    answer,
    check_histories,
    committed,
    rows,
    version,
)
from tests.store.conftest import BusyWriter, wait_for_queue
from tests.store.contents import clear
from tests.waiting import wait_for


@pytest.fixture
def on_server(program: SessionStore) -> SessionStore:
    """On a database server: SQLite has one lock for all."""
    if program.backend == "sqlite":
        pytest.skip("a transaction locks the whole SQLite file")
    return program


def wait_until_blocked(store: SessionStore, count: int) -> None:
    wait_for(lambda: len(store._writer._waiting._blocked) == count, f"not {count} requests wait for a transaction")


class Step(NamedTuple):
    """What a thread does: a turn of the writer, or turns in a transaction."""

    kind: str
    turns: list[tuple[SessionKey, int]]


STEPS = st.builds(
    Step,
    st.sampled_from(["writer", "commit", "roll back", "savepoint"]),
    st.lists(st.tuples(st.sampled_from([KEY, OTHER]), st.integers(0, 3)), min_size=1, max_size=2),
)


class Run:
    """Carries out a thread's steps, and remembers what was acknowledged."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self.turns: list[tuple[SessionKey, int, int]] = []
        """Session, version and answer."""
        self.rows: list[int] = []

    def do(self, thread: int, number: int, step: Step) -> None:
        turns = sorted(step.turns, key=lambda turn: turn[0].user_id)  # one order of locks: no deadlock
        if step.kind == "writer":
            results = [self._store.turns.submit(key, answer(value=value)) for key, value in turns]
            self._acknowledge(turns, results)
            return
        row = 100 * thread + number
        with self._store.engine.connect() as connection:
            connection.begin()
            add_row(connection, row)
            results = [self._store.turns.submit_in(connection, key, answer(value=value)) for key, value in turns]
            if step.kind == "savepoint":
                savepoint = connection.begin_nested()
                self._store.turns.submit_in(connection, turns[-1][0], answer(value=0))
                savepoint.rollback()
            if step.kind == "roll back":
                connection.rollback()
                return
            connection.commit()
        self.rows.append(row)
        self._acknowledge(turns, results)

    def _acknowledge(self, turns: list[tuple[SessionKey, int]], results: list[Any]) -> None:
        self.turns += [(key, committed(r).version, value) for (key, value), r in zip(turns, results, strict=True)]


@examples(12)
@given(threads=st.lists(st.lists(STEPS, min_size=1, max_size=4), min_size=2, max_size=3))
def test_interleaved_turns_are_those_of_one_order(program: SessionStore, threads: list[list[Step]]) -> None:
    """As acknowledged, and no others: applied one after another by version, they lead to the stored sessions."""
    clear(program)
    with program.transaction() as connection:
        connection.execute(delete(ROWS))
    program.turns.submit_many([(KEY, Begin(at=1)), (OTHER, Begin(at=1))])
    subscriber = Subscriber(program)
    program.subscribers.subscribe(KEY, subscriber)
    run = Run(program)

    def work(thread: int) -> None:
        for number, step in enumerate(threads[thread]):
            run.do(thread, number, step)

    with ThreadPoolExecutor(len(threads)) as pool:
        for done in [pool.submit(work, thread) for thread in range(len(threads))]:
            done.result(60)
    program.subscribers.unsubscribe(KEY, subscriber)
    for key in (KEY, OTHER):
        acknowledged = sorted((version, value) for owner, version, value in run.turns if owner == key)
        stored = program.queries.load(key)
        assert stored is not None
        state = program.queries.at_version(key, 1).state
        for number, value in acknowledged:
            event = decide(stored.survey, state, answer(value=value))
            state = apply(state, event)  # type: ignore[arg-type]  # not a Rejection
            assert state.version == number
        assert state == stored.state
    assert rows(program) == sorted(run.rows)
    assert sorted(set(subscriber.versions)) == [number for key, number, _ in sorted(run.turns) if key == KEY]
    check_histories(program)
    assert not program._writer._waiting._blockers


def test_turns_of_the_session_wait_for_the_transaction_and_others_do_not(on_server: SessionStore) -> None:
    """Whether they came before or after it, and also if the transaction is rolled back."""
    for number, end in enumerate(("commit", "rollback")):
        with ThreadPoolExecutor(3) as pool, on_server.engine.connect() as connection:
            on_server.turns.submit_in(connection, KEY, answer(1))
            waiting = [pool.submit(on_server.turns.submit, KEY, answer(2)) for _ in range(3)]
            wait_until_blocked(on_server, 3)
            for _ in range(3):
                committed(on_server.turns.submit(OTHER, answer(1)))
            assert not any(future.done() for future in waiting)
            getattr(connection, end)()
            versions = sorted(committed(future.result(30)).version for future in waiting)
        assert versions == [[3, 4, 5], [6, 7, 8]][number]
    assert on_server._writer.waiting_turns == 0
    check_histories(on_server)


def test_turns_in_the_queue_are_set_aside_when_a_transaction_locks_their_session(on_server: SessionStore) -> None:
    """They would hold up those of others in their batch."""
    queue = on_server._writer._waiting
    with ThreadPoolExecutor(2) as pool, on_server.engine.connect() as connection:
        with BusyWriter(on_server) as busy:
            futures: list[Future[Any]] = [pool.submit(on_server.turns.submit, key, answer(1)) for key in (KEY, OTHER)]
            wait_for_queue(on_server, 2)
            on_server.turns.submit_in(connection, KEY, answer(1))
            assert (len(queue), len(queue._blocked)) == (1, 1)
            busy.release()
        assert committed(futures[1].result(30)).version == 2
        connection.commit()
        assert committed(futures[0].result(30)).version == 3


def test_waiting_turn_is_refused_after_the_queues_timeout(
    on_server: SessionStore, settings: Settings, new_store: NewStore
) -> None:
    hasty = new_store(settings, queue_timeout_s=0.1)
    with hasty.engine.connect() as connection:
        hasty.turns.submit_in(connection, KEY, answer(1))
        with pytest.raises(Overloaded):
            hasty.turns.submit(KEY, answer(2))
        assert hasty._writer.waiting_turns == 0
        connection.commit()
    assert version(on_server) == 2


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_session_is_free_after_a_lost_or_forgotten_connection(on_server: SessionStore, *, is_forgotten: bool) -> None:
    """Its transaction ended without COMMIT, and without ROLLBACK by its user."""
    connection = on_server.engine.connect()
    on_server.turns.submit_in(connection, KEY, answer(1))
    if not is_forgotten:
        connection.invalidate()
    del connection
    gc.collect()
    assert committed(on_server.turns.submit(KEY, answer(1))).version == 2


def test_closed_store_releases_waiting_turns(on_server: SessionStore, settings: Settings, new_store: NewStore) -> None:
    """They are committed after the transaction, or fail; none waits for ever."""
    other = new_store(settings)
    with ThreadPoolExecutor(2) as pool, other.engine.connect() as connection:
        other.turns.submit_in(connection, KEY, answer(1))
        waiting = pool.submit(other.turns.submit, KEY, answer(2))
        wait_until_blocked(other, 1)
        closing = pool.submit(other.close)
        wait_for(lambda: not other._writer._waiting._blocked, "the turn still waits")
        connection.commit()
        assert committed(waiting.result(30)).version == 3
        closing.result(30)


def test_locked_session_is_reported_and_the_transaction_goes_on(on_server: SessionStore) -> None:
    """After the lock timeout; what was done before is kept."""
    with on_server.engine.connect() as first, on_server.transaction() as second:
        on_server.turns.submit_in(first, KEY, answer(1))
        add_row(second)
        with pytest.raises(DatabaseUnavailable):
            on_server.turns.submit_in(second, KEY, answer(1))
        committed(on_server.turns.submit_in(second, OTHER, answer(1)))
    assert (rows(on_server), version(on_server), version(on_server, OTHER)) == ([1], 1, 2)


def test_deadlock_of_two_transactions_ends_one_of_them(on_server: SessionStore) -> None:
    """On MariaDB it is rolled back already, so what comes after it must not be committed alone."""
    both_locked = Barrier(2)

    def work(number: int, first: SessionKey, second: SessionKey) -> bool:
        with on_server.engine.connect() as connection:
            add_row(connection, number)
            on_server.turns.submit_in(connection, first, answer(1))
            both_locked.wait(30)
            try:
                on_server.turns.submit_in(connection, second, answer(1))
            except DatabaseUnavailable:
                if on_server.backend == "mysql":
                    with pytest.raises(PendingRollbackError):
                        add_row(connection, 9)
                connection.rollback()
                return False
            connection.commit()
            return True

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, 1, KEY, OTHER), pool.submit(work, 2, OTHER, KEY)]
        done = [future.result(60) for future in futures]
    assert rows(on_server) == [number for number, is_done in zip((1, 2), done, strict=True) if is_done]
    assert (version(on_server), version(on_server, OTHER)) == (1 + sum(done), 1 + sum(done))
    assert sum(done) <= 1
    check_histories(on_server)


def test_session_begun_by_another_process_meanwhile_is_found(
    on_server: SessionStore, settings: Settings, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the transaction's read and its insert, which then fails and is decided again."""
    new, other = SessionKey("phq9", "new"), new_store(settings)
    real, begun = on_server._writer.apply, []

    def commit_late(statements: TurnStatements, *others: Any) -> Any:
        write = statements.commit

        def begin_first(changes: Any) -> None:
            if not begun:
                begun.append(other.turns.submit(new, Begin(at=1)))
            write(changes)

        monkeypatch.setattr(statements, "commit", begin_first)
        return real(statements, *others)

    monkeypatch.setattr(on_server._writer, "apply", commit_late)
    with on_server.transaction() as connection:
        add_row(connection)
        result = on_server.turns.submit_in(connection, new, Begin(at=1))
    assert isinstance(result, Rejected)
    assert result.rejection.code == "already_begun"
    assert (rows(on_server), version(on_server, new)) == ([1], 1)


def test_sqlite_transaction_and_writer_wait_for_each_other(program: SessionStore) -> None:
    """Neither fails while the other's transaction is short."""
    if program.backend != "sqlite":
        pytest.skip("about SQLite's lock")

    def write(key: SessionKey, number: int) -> Committed:
        return committed(program.turns.submit(key, answer(value=number % 4)))

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(write, key, number) for number in range(20) for key in (KEY, OTHER)]
        for number in range(20):
            with program.transaction() as connection:
                add_row(connection, number)
                committed(program.turns.submit_in(connection, KEY, answer(value=number % 4)))
        for future in futures:
            future.result(60)
    assert (len(rows(program)), version(program), version(program, OTHER)) == (20, 41, 21)
    check_histories(program)
