"""Commands of an event loop: a busy server holds them back, and only a database that commits nothing is unavailable."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from app.errors import Overloaded
from app.sessions.command_stream import CommandStream
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey, Snapshot
from app.writer.batch import Committed, Result
from app.writer.pending import Queued
from tests.conftest import SURVEYS, NewStore
from tests.waiting import START_S

PARTICIPANTS = 40


@dataclass(eq=False)
class Connection:
    """A participant's connection, which shows their session."""

    stored: Snapshot

    def publish(self, snapshot: Snapshot) -> None:
        self.stored = snapshot

    def drop(self) -> None:
        """Nothing is shown."""


class Loop:
    """A loop of the test's own thread."""

    def __init__(self, store: SessionStore) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.stream: CommandStream = store.turns.stream(lambda f, *arguments: self.calls.put(partial(f, *arguments)))
        self.store = store
        self.results: dict[str, list[Result | Queued | Exception]] = {}

    def send(self, key: SessionKey, message_id: str) -> None:
        taken = self.results.setdefault(message_id, [])
        command = Answer(at=self.store.clock(), message_id=message_id, step="Q1", value=1)
        self.stream.submit(key, command, None, taken.append)  # type: ignore[arg-type]

    def run_checks(self, count: int) -> None:
        """Run the loop with this many checks."""
        self.stream.flush()
        for _ in range(count):
            with suppress(queue.Empty):
                self.calls.get(timeout=0.05)()
            self.stream.check(monotonic())

    def run_until_all_have(self, count: int) -> None:
        """Run until each command has this many results."""
        deadline = monotonic() + START_S
        while any(len(taken) < count for taken in self.results.values()):
            assert monotonic() < deadline, self.results
            self.stream.flush()
            try:
                self.calls.get(timeout=0.01)()
            except queue.Empty:
                self.stream.check(monotonic())


@pytest.fixture
def keys() -> list[SessionKey]:
    return [SessionKey("phq9", f"p{number}") for number in range(PARTICIPANTS)]


@pytest.fixture
def new_loop(tmp_path: Path, new_store: NewStore, keys: list[SessionKey]) -> Callable[..., Loop]:
    """A function that returns a loop of a store with settings, whose participants have begun."""

    def make(**settings: Any) -> Loop:
        store = new_store(Settings(database_url=f"sqlite:///{tmp_path}/sessions.db", surveys_dir=SURVEYS), **settings)
        for key in keys:
            snapshot, _ = store.turns.get_or_create(key, is_audio_mode=False)
            store.subscribers.subscribe(key, Connection(snapshot))
        return Loop(store)

    return make


def slow_down(store: SessionStore, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let each transaction take longer."""
    transact = store._connection.transact

    def transact_slowly(work: Any) -> Any:
        time.sleep(seconds)
        return transact(work)

    monkeypatch.setattr(store._connection, "transact", transact_slowly)


def test_round_is_committed_together(new_loop: Callable[..., Loop], keys: list[SessionKey]) -> None:
    """And each gets its own result."""
    loop = new_loop()
    for key in keys:
        loop.send(key, key.user_id)
    loop.run_until_all_have(1)
    for key in keys:
        (result,) = loop.results[key.user_id]
        assert isinstance(result, Committed)
        assert (result.snapshot.key, result.version) == (key, 2)


def test_busy_server_is_not_taken_for_an_outage(
    new_loop: Callable[..., Loop], keys: list[SessionKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last command waits for many times STEPKEEP_PENDING_AFTER_S, while others are committed."""
    loop = new_loop(pending_after_s=0.3, batch_limit=1)
    slow_down(loop.store, monkeypatch, 0.05)
    for key in keys:
        loop.send(key, key.user_id)
    loop.run_until_all_have(1)
    assert all(isinstance(taken[0], Committed) for taken in loop.results.values())
    assert not loop.store.backlog().is_unavailable


def test_command_that_waits_too_long_for_a_busy_server_is_refused(
    new_loop: Callable[..., Loop], keys: list[SessionKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As overloaded, and it is not committed later."""
    loop = new_loop(pending_after_s=0.3, queue_timeout_s=0.5, batch_limit=1)
    slow_down(loop.store, monkeypatch, 0.1)
    for key in keys:
        loop.send(key, key.user_id)
    loop.run_until_all_have(1)
    refused = [key for key in keys if isinstance(loop.results[key.user_id][0], Overloaded)]
    committed = [key for key in keys if isinstance(loop.results[key.user_id][0], Committed)]
    assert refused
    assert len(committed) + len(refused) == len(keys)
    assert not loop.store.backlog().is_unavailable
    monkeypatch.undo()
    loop.send(committed[0], "last")  # it is committed after all that came before
    loop.run_until_all_have(1)
    for key in refused:
        snapshot = loop.store.queries.load(key)
        assert snapshot is not None
        assert snapshot.state.version == 1


def test_database_that_commits_nothing_is_unavailable(
    new_loop: Callable[..., Loop], keys: list[SessionKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands are decided in memory after STEPKEEP_PENDING_AFTER_S, and committed once when it is back."""
    loop = new_loop(pending_after_s=0.3)
    goes_on = threading.Event()
    transact = loop.store._connection.transact

    def hang(work: Any) -> Any:
        goes_on.wait(START_S)
        return transact(work)

    monkeypatch.setattr(loop.store._connection, "transact", hang)
    for key in keys:
        loop.send(key, key.user_id)
    loop.run_until_all_have(1)
    assert all(isinstance(taken[0], Queued) for taken in loop.results.values())
    assert loop.store.backlog().is_unavailable
    goes_on.set()
    loop.run_until_all_have(2)
    for key in keys:
        result = loop.results[key.user_id][1]
        assert isinstance(result, Committed)
        assert result.version == 2
    assert loop.store.drain(START_S)
    assert not loop.store.backlog().is_unavailable


def test_session_blocked_by_a_transaction_is_not_taken_for_an_outage(
    new_loop: Callable[..., Loop], keys: list[SessionKey]
) -> None:
    """Nothing is committed on a quiet server meanwhile; its command is committed after the transaction."""
    loop = new_loop(pending_after_s=0.1)
    loop.store._writer.block(keys[0])
    loop.send(keys[0], "blocked")
    loop.run_checks(10)
    assert loop.results["blocked"] == []
    loop.send(keys[1], "other")
    while not loop.results["other"]:
        loop.run_checks(1)
    assert isinstance(loop.results["other"][0], Committed)
    loop.run_checks(10)
    assert not loop.store.backlog().is_unavailable
    loop.store._writer.unblock(keys[0])
    loop.run_until_all_have(1)
    assert isinstance(loop.results["blocked"][0], Committed)


def test_command_is_refused_when_its_session_is_blocked_for_too_long(
    new_loop: Callable[..., Loop], keys: list[SessionKey]
) -> None:
    """As overloaded, and it leaves the queue, which could fill up otherwise."""
    loop = new_loop(pending_after_s=0.1, queue_timeout_s=0.3)
    loop.store._writer.block(keys[0])
    loop.send(keys[0], "blocked")
    loop.run_until_all_have(1)
    assert isinstance(loop.results["blocked"][0], Overloaded)
    assert not loop.store.backlog().is_unavailable
    assert loop.store._writer.waiting_turns == 0
    loop.store._writer.unblock(keys[0])
    loop.send(keys[0], "next")
    loop.run_until_all_have(1)
    result = loop.results["next"][0]
    assert isinstance(result, Committed)
    assert result.version == 2


def test_newcomers_are_refused_while_turns_wait(
    new_loop: Callable[..., Loop], keys: list[SessionKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Participants under way are served first: they connect, and others try again later."""
    loop = new_loop(batch_limit=1)
    monkeypatch.setattr("app.sessions.turns.BUSY_S", 0.2)
    slow_down(loop.store, monkeypatch, 0.1)
    for key in keys:
        loop.send(key, key.user_id)
    loop.stream.flush()
    deadline = monotonic() + START_S
    while loop.store._writer.delay_s <= 0.2:
        assert monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(Overloaded):
        join(loop.store, SessionKey("phq9", "newcomer"))
    join(loop.store, keys[0])
    loop.run_until_all_have(1)
    join(loop.store, SessionKey("phq9", "newcomer"))


def test_newcomer_whose_session_is_blocked_does_not_affect_others(
    new_loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program begins their session in a transaction: the server is busy, not the database unavailable."""
    loop = new_loop(queue_timeout_s=1)
    newcomer, other = SessionKey("phq9", "newcomer"), SessionKey("phq9", "other")
    loop.store._writer.block(newcomer)
    with monkeypatch.context() as patch, pytest.raises(Overloaded):
        patch.setattr("app.sessions.turns.JOIN_TIMEOUT_S", 0.2)
        join(loop.store, newcomer)
    join(loop.store, other)
    assert loop.store.queries.load(other) is not None
    loop.store._writer.unblock(newcomer)


def join(store: SessionStore, key: SessionKey) -> None:
    store.turns.join(key, is_audio_mode=False, subscriber=None, callback=lambda _result: None)
