"""A caller of the writer who is ended, interrupted or leaves takes nobody with him."""

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
from app.writer.waiter import ThreadWaiter
from tests.store.conftest import USERS, Holding, answer, waiting
from tests.waiting import wait_for


class LeaderEnded(BaseException):
    """What a worker's time-out raises in its thread."""


def test_leader_that_is_ended_takes_nobody_with_him(begun: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """His followers are told that their outcome is unknown, the next caller leads, and nothing stays open."""
    real = writer_module.commit_batch
    ended: list[bool] = []

    def end_once(gateway: Any, turns: list[Turn], survey_for: Any) -> Any:
        result = None if ended else gateway.begin([key for key, _ in turns], [])
        if result is not None:
            ended.append(True)
            raise LeaderEnded
        return real(gateway, turns, survey_for)

    monkeypatch.setattr(writer_module, "commit_batch", end_once)
    outcomes: list[object] = []

    def caller(key: SessionKey) -> None:
        try:
            outcomes.append(begun.turns.submit(key, answer(message_id="m")))
        except (LeaderEnded, DatabaseUnavailable) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=caller, args=(key,)) for key in USERS[:6]]
    with Holding(begun):
        for thread in threads:
            thread.start()
        waiting(begun, 6)
    for thread in threads:
        thread.join(30)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DatabaseUnavailable"] * 5 + ["LeaderEnded"]
    again = begun.turns.submit_many([(key, answer(message_id="m")) for key in USERS[:6]])
    assert all(isinstance(result, Committed) and not result.duplicate for result in again)


class Interrupted(BaseException):
    """What ends a caller while it waits, as gevent's time-outs do."""


def test_leader_that_is_interrupted_before_his_turn_leaves_nothing_behind(
    begun: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His turn is not committed behind his back, and the next caller leads."""

    class Interrupting(ThreadWaiter):
        @staticmethod
        def yield_now() -> None:
            raise Interrupted

    monkeypatch.setattr(begun._writer, "_waiter_type", Interrupting)
    with pytest.raises(Interrupted):
        begun.turns.submit(USERS[0], answer())
    monkeypatch.setattr(begun._writer, "_waiter_type", ThreadWaiter)
    assert (begun._writer._is_led, begun._writer._waiting_turns) == (False, 0)
    assert begun.turns.submit_or_raise(USERS[1], answer()).version == 2
    assert begun.queries.load(USERS[0]).state.version == 1  # type: ignore[union-attr]


def test_caller_who_waits_for_room_is_refused_when_the_store_closes(settings: Settings) -> None:
    """And not committed after the close, over a connection that nobody gives back."""
    store = open_store(settings.model_copy(update={"queue_limit": 1}))
    store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    with ThreadPoolExecutor(3) as threads, Holding(store) as holding:
        first = threads.submit(store.turns.submit, USERS[0], answer())
        waiting(store, 1)
        held_back = threads.submit(store.turns.submit, USERS[1], answer())
        wait_for(lambda: store._writer._is_full, "nobody is held back")
        closing = threads.submit(store.close)
        wait_for(lambda: store._writer._is_closed, "it does not close")
        holding.let_go()
        assert isinstance(first.result(30), Committed)
        assert isinstance(held_back.exception(30), DatabaseUnavailable)
        closing.result(30)


def test_followers_behind_one_who_left_are_woken(begun: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that is interrupted while his turn is being committed passes on whom he had to wake."""
    monkeypatch.setattr(begun._writer, "_concurrent_wakes", 1)
    inside, go_on = threading.Event(), threading.Event()
    real = writer_module.commit_batch

    def slowly(gateway: Any, turns: list[Turn], survey_for: Any) -> Any:
        inside.set()
        assert go_on.wait(30)
        return real(gateway, turns, survey_for)

    class Interrupting(ThreadWaiter):
        def wait(self, _timeout_s: float) -> bool:
            assert inside.wait(30)
            raise Interrupted

    def leave() -> None:
        with pytest.raises(Interrupted):
            begun.turns.submit(USERS[0], answer())

    def start(work: Callable[..., object], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments)
        before = len(begun._writer._waiting)
        thread.start()
        waiting(begun, before + 1)
        return thread

    monkeypatch.setattr(writer_module, "commit_batch", slowly)
    with Holding(begun) as holding:
        leader = start(begun.turns.submit, USERS[9], answer())
        monkeypatch.setattr(begun._writer, "_waiter_type", Interrupting)
        leaver = start(leave)
        monkeypatch.setattr(begun._writer, "_waiter_type", ThreadWaiter)
        followers = [start(begun.turns.submit, key, answer()) for key in USERS[1:4]]
        holding.let_go()
        leaver.join(30)
        go_on.set()
        for thread in (leader, *followers):
            thread.join(30)
            assert not thread.is_alive()
    assert begun._writer._is_led is False
