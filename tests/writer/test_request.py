"""The writer's queue while callers' transactions block sessions, and the writer's leader meanwhile."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from app.sessions.service import SessionStore
from app.survey import SessionKey
from app.writer import Committed
from app.writer.request import RequestQueue, ThreadWaiter, WriteRequest
from tests.store.conftest import USERS, BusyWriter, answer, wait_for_queue
from tests.waiting import wait_for

ANN, BOB = USERS[:2]


@pytest.fixture
def blocked(started: SessionStore) -> Iterator[SessionStore]:
    """A store in which the first session is blocked."""
    started._writer.block(ANN)
    yield started
    started._writer.unblock(None)


def unblock_when_leading(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unblock the session after a caller became the leader, before it takes its batch."""

    class Unblocking(ThreadWaiter):
        @staticmethod
        def yield_now() -> None:
            store._writer.unblock(ANN)

    monkeypatch.setattr(store._writer, "_waiter_type", Unblocking)


def wait_until_blocked(store: SessionStore, count: int) -> None:
    wait_for(lambda: len(store._writer._waiting._blocked) == count, f"not {count} requests are set aside")


def test_leaders_request_stays_the_first_when_a_session_is_unblocked() -> None:
    """The leader takes it; a leader's turn also came before those of its session that were set aside."""
    queue = RequestQueue()
    leader, later, last, other = (WriteRequest([(key, answer())]) for key in (ANN, ANN, ANN, BOB))
    queue.append(leader)
    leader.is_leader = True
    queue.block(ANN)
    for request in (later, last, other):
        queue.append(request)
    queue.unblock(ANN)
    assert queue.take(10) == [leader, later, last, other]
    assert queue.turns == 0


def test_work_is_done_when_a_session_is_unblocked_before_its_leader_takes_it(
    blocked: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its result is returned; the session's turn is committed after it."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(blocked.turns.submit, ANN, answer())
        wait_until_blocked(blocked, 1)
        unblock_when_leading(blocked, monkeypatch)
        assert blocked._writer.run(lambda _connection: "done") == "done"
        assert isinstance(waiting.result(30), Committed)


def test_turn_gets_its_result_when_a_session_is_unblocked_before_its_leader_takes_it(
    blocked: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if what was set aside fills the leader's batch."""
    monkeypatch.setattr(blocked._writer, "_settings", blocked._writer._settings.model_copy(update={"batch_limit": 1}))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(blocked.turns.submit, ANN, answer())
        wait_until_blocked(blocked, 1)
        unblock_when_leading(blocked, monkeypatch)
        assert isinstance(blocked.turns.submit(BOB, answer()), Committed)
        assert isinstance(waiting.result(30), Committed)


def test_leader_fails_when_its_request_was_not_taken(started: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not look like a commit; the next caller leads."""
    with monkeypatch.context() as patch:
        patch.setattr(started._writer._waiting, "take", lambda _limit: [])
        with pytest.raises(RuntimeError, match="leader"):
            started._writer.run(lambda _connection: "done")
    assert started._writer._waiting.turns == 0
    assert isinstance(started.turns.submit(ANN, answer()), Committed)


def test_enqueued_turn_is_committed_when_the_writers_thread_is_faster_than_the_caller(
    started: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread runs before its caller goes on, and must not take the writer for closed."""
    call = started._writer._call_substitute

    def call_and_let_it_run() -> None:
        before = set(threading.enumerate())
        call()
        for thread in set(threading.enumerate()) - before:
            thread.join(0.2)  # it ends only if it takes the writer for closed

    monkeypatch.setattr(started._writer, "_call_substitute", call_and_let_it_run)
    done = threading.Event()
    request = WriteRequest([(ANN, answer())], callback=lambda _request: done.set())
    started._writer.enqueue([request])
    assert done.wait(10)
    assert isinstance(request.results[0], Committed)


def test_other_sessions_of_a_request_are_committed_when_one_is_blocked(blocked: SessionStore) -> None:
    """The blocked one's turns are committed after the transaction; the results are in the order of the turns."""
    turns = [(key, answer(number)) for number in (1, 2) for key in (ANN, BOB)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(blocked.turns.submit_many, turns)
        wait_until_blocked(blocked, 1)
        assert blocked.queries.versions([ANN, BOB]) == {ANN: 1, BOB: 3}
        blocked._writer.unblock(ANN)
        results = waiting.result(30)
    assert [(result.snapshot.key, result.version) for result in results] == [(ANN, 2), (BOB, 2), (ANN, 3), (BOB, 3)]  # type: ignore[union-attr]
    assert blocked._writer.waiting_turns == 0


def test_other_sessions_of_a_request_are_committed_when_one_is_blocked_while_it_waits(started: SessionStore) -> None:
    """Also if the transaction begins after the request is in the queue."""
    with ThreadPoolExecutor(1) as pool:
        with BusyWriter(started):
            waiting = pool.submit(started.turns.submit_many, [(ANN, answer()), (BOB, answer())])
            wait_for_queue(started, 1)
            started._writer.block(ANN)
        wait_until_blocked(started, 1)
        assert started.queries.versions([ANN, BOB]) == {ANN: 1, BOB: 2}
        started._writer.unblock(ANN)
        assert [type(result) for result in waiting.result(30)] == [Committed, Committed]


def test_pending_turns_of_others_are_committed_when_sessions_are_blocked(started: SessionStore) -> None:
    """The database counts as available then; the blocked sessions' turns follow after the transactions."""
    results: dict[SessionKey, object] = {}
    keys = USERS[:4]
    for key in keys[:2]:
        started._writer.block(key)
    for key in keys:
        snapshot = started.queries.load(key)
        assert snapshot is not None
        base = (snapshot.state, snapshot.survey)
        started.turns.pending.accept(key, answer(), lambda base=base: base, partial(results.__setitem__, key))  # type: ignore[misc]
    wait_for(lambda: set(results) == set(keys[2:]), "the other sessions wait")
    wait_for(lambda: not started.turns.pending.is_unavailable, "the database counts as unavailable")
    for key in keys[:2]:
        started._writer.unblock(key)
    assert started.drain(30)
    assert [type(results[key]) for key in keys] == [Committed] * 4
