"""A receiver, and a store whose outbox is emptied."""

from collections.abc import Iterator

import pytest

from app.operations.webhooks.dispatcher import Deliverer
from app.sessions.service import SessionStore
from tests.operations.webhooks.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with receiving() as one:
        yield one


@pytest.fixture
def deliverer(store: SessionStore) -> Deliverer:
    """What empties the outbox of the store; not started."""
    return Deliverer(store)
