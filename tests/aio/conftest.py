"""Fixtures of the tests of asyncio: a store on SQLite, loops of two kinds, and transactions that wait."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from app.aio import AsyncSessionStore
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Save
from app.survey.snapshot import SessionKey
from tests.asynchronous import run
from tests.conftest import SURVEYS, NewStore
from tests.databases import create_sqlite
from tests.waiting import START_S

ADA = SessionKey("phq9", "ada")
EVE = SessionKey("phq9", "eve")

NewAsyncStore = Callable[..., AsyncSessionStore]


@pytest.fixture
def new_async_store(tmp_path: Path, new_store: NewStore) -> NewAsyncStore:
    """Open a store on SQLite with settings: the dialect plays no part."""
    url = create_sqlite(tmp_path / "test.db")

    def open_one(**settings: Any) -> AsyncSessionStore:
        return AsyncSessionStore(new_store(Settings(database_url=url, surveys_dir=SURVEYS, **settings)))

    return open_one


@pytest.fixture
def aio(new_async_store: NewAsyncStore) -> AsyncSessionStore:
    return new_async_store()


Run = Callable[[Coroutine[Any, Any, None]], None]

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=sorted(LOOPS))
def run_on_each(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on a new loop of each kind."""
    return partial(run, loop_factory=LOOPS[request.param])


class Gate:
    """Lets the store's transactions wait before they begin."""

    def __init__(self, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opens = threading.Event()
        self.reached = threading.Event()
        self.batches = 0
        transact = store._connection.transact

        def wait_and_transact(work: Any) -> Any:
            self.batches += 1
            self.reached.set()
            assert self.opens.wait(START_S)
            return transact(work)

        monkeypatch.setattr(store._connection, "transact", wait_and_transact)

    async def wait_until_reached(self) -> None:
        await asyncio.to_thread(self.reached.wait, START_S)


NewGate = Callable[[AsyncSessionStore], Gate]


@pytest.fixture
def new_gate(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewGate]:
    """Give a store a gate, which opens before the store is closed."""
    gates: list[Gate] = []

    def make(aio: AsyncSessionStore) -> Gate:
        gates.append(Gate(aio.sync, monkeypatch))
        return gates[-1]

    yield make
    for gate in gates:
        gate.opens.set()


@pytest.fixture
def gate(aio: AsyncSessionStore, new_gate: NewGate) -> Gate:
    return new_gate(aio)


def save(store: AsyncSessionStore, number: int = 0, message_id: str | None = None) -> Save:
    state: dict[str, Any] = {"current_step": "S1", "answers": {"n": number}, "step_history": ()}
    return Save(at=store.now(), message_id=message_id, is_audio_mode=False, session_data=None, **state)
