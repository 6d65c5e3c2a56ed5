"""Fixtures shared with the tests of the store, and a program that has transactions of its own."""

from collections.abc import Iterator

import pytest

from app.sessions.service import SessionStore
from app.survey import Begin
from tests.sessions.transactions import KEY, OTHER, ROWS, Subscriber
from tests.store.conftest import batches, engine, open_with_keys, started

__all__ = ["batches", "engine", "open_with_keys", "started"]


@pytest.fixture
def program(store: SessionStore) -> SessionStore:
    """The store of a program with a table of its own, and two participants at the first step."""
    with store.transaction() as connection:
        ROWS.create(connection)
    store.turns.submit_many([(KEY, Begin(at=1)), (OTHER, Begin(at=1))])
    return store


@pytest.fixture
def subscriber(program: SessionStore) -> Iterator[Subscriber]:
    subscribed = Subscriber(program)
    program.subscribers.subscribe(KEY, subscribed)
    yield subscribed
    program.subscribers.unsubscribe(KEY, subscribed)
