"""A receiver of webhooks, and a dispatcher of a store."""

from collections.abc import Iterator

import pytest

from app.operations.webhooks.dispatcher import Dispatcher
from app.sessions.service import SessionStore
from tests.operations.webhooks.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver on the loopback interface."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def dispatching(store: SessionStore) -> Dispatcher:
    """Return a dispatcher of the store that is not started."""
    return Dispatcher(store)
