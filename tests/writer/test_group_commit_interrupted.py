"""A caller of the writer that is killed, interrupted or leaves does not affect the other callers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.errors import DatabaseUnavailable
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from app.writer import group_commit as writer_module
from app.writer.batch import Committed, Turn
from app.writer.request import ThreadWaiter
from tests.store.conftest import USERS, BusyWriter, answer, wait_for_queue
from tests.waiting import wait_for


class LeaderEnded(BaseException):
    """Ends a leader, as a worker's timeout does."""


def test_followers_fail_with_unknown_outcome_when_their_leader_is_killed(
    started: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next caller leads, and no transaction stays open."""
    real = writer_module.commit_batch
    ended: list[bool] = []

    def end_once(gateway: Any, turns: list[Turn], *others: Any) -> Any:
        result = None if ended else gateway.begin([key for key, _ in turns], [])
        if result is not None:
            ended.append(True)
            raise LeaderEnded
        return real(gateway, turns, *others)

    monkeypatch.setattr(writer_module, "commit_batch", end_once)
    outcomes: list[object] = []

    def caller(key: SessionKey) -> None:
        try:
            outcomes.append(started.turns.submit(key, answer(message_id="m")))
        except (LeaderEnded, DatabaseUnavailable) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=caller, args=(key,)) for key in USERS[:6]]
    with BusyWriter(started):
        for thread in threads:
            thread.start()
        wait_for_queue(started, 6)
    for thread in threads:
        thread.join(30)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DatabaseUnavailable"] * 5 + ["LeaderEnded"]
    again = started.turns.submit_many([(key, answer(message_id="m")) for key in USERS[:6]])
    assert all(isinstance(result, Committed) and not result.duplicate for result in again)


class Interrupted(BaseException):
    """Ends a waiting caller, as gevent's timeouts do."""


def test_turn_is_not_committed_when_its_leader_is_interrupted_before(
    started: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not later either; the next caller leads."""

    class Interrupting(ThreadWaiter):
        @staticmethod
        def yield_now() -> None:
            raise Interrupted

    monkeypatch.setattr(started._writer, "_waiter_type", Interrupting)
    with pytest.raises(Interrupted):
        started.turns.submit(USERS[0], answer())
    monkeypatch.setattr(started._writer, "_waiter_type", ThreadWaiter)
    assert (started._writer._is_led, started._writer.waiting_turns) == (False, 0)
    assert started.turns.submit_or_raise(USERS[1], answer()).version == 2
    assert started.queries.load(USERS[0]).state.version == 1  # type: ignore[union-attr]


def test_caller_waiting_for_room_is_refused_when_the_store_closes(settings: Settings) -> None:
    """Its turn is not committed after the close, on a connection that would never be returned."""
    store = open_store(settings.model_copy(update={"queue_limit": 1}))
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with ThreadPoolExecutor(3) as threads, BusyWriter(store) as busy:
        first = threads.submit(store.turns.submit, USERS[0], answer())
        wait_for_queue(store, 1)
        second = threads.submit(store.turns.submit, USERS[1], answer())
        wait_for(lambda: bool(store._writer._has_room._waiters), "no caller waits for room")
        closing = threads.submit(store.close)
        wait_for(lambda: store._writer._is_closed, "the writer does not close")
        busy.release()
        assert isinstance(first.result(30), Committed)
        assert isinstance(second.exception(30), DatabaseUnavailable)
        closing.result(30)


def test_followers_are_woken_when_the_caller_before_them_leaves(
    started: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller interrupted during its commit passes on the followers that it had to wake."""
    monkeypatch.setattr(started._writer, "_concurrent_wakes", 1)
    is_committing, may_commit = threading.Event(), threading.Event()
    real = writer_module.commit_batch

    def commit_when_allowed(gateway: Any, turns: list[Turn], *others: Any) -> Any:
        is_committing.set()
        assert may_commit.wait(30)
        return real(gateway, turns, *others)

    class Interrupting(ThreadWaiter):
        def wait(self, _timeout_s: float) -> bool:
            assert is_committing.wait(30)
            raise Interrupted

    def leave() -> None:
        with pytest.raises(Interrupted):
            started.turns.submit(USERS[0], answer())

    def start(work: Callable[..., object], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments)
        before = len(started._writer._waiting)
        thread.start()
        wait_for_queue(started, before + 1)
        return thread

    monkeypatch.setattr(writer_module, "commit_batch", commit_when_allowed)
    with BusyWriter(started) as busy:
        leader = start(started.turns.submit, USERS[9], answer())
        monkeypatch.setattr(started._writer, "_waiter_type", Interrupting)
        leaver = start(leave)
        monkeypatch.setattr(started._writer, "_waiter_type", ThreadWaiter)
        followers = [start(started.turns.submit, key, answer()) for key in USERS[1:4]]
        busy.release()
        leaver.join(30)
        may_commit.set()
        for thread in (leader, *followers):
            thread.join(30)
            assert not thread.is_alive()
    assert started._writer._is_led is False
