"""A receiver of webhooks, and a dispatcher of a store."""

from collections.abc import Iterator

import pytest

from app.operations.webhooks import dispatcher
from app.operations.webhooks.dispatcher import Dispatcher
from app.sessions.service import SessionStore
from app.store import outbox
from app.store.outbox import Delivery
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.operations.webhooks.receiver import Receiver, receiving

ANN = SessionKey("phq9", "ann")
BEN = SessionKey("intake", "ben")
EVENTS = ("session.started", "session.completed", "session.expired")


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll so often that no test waits for a poll."""
    monkeypatch.setattr(dispatcher, "POLL_S", 0.02)
    monkeypatch.setattr(dispatcher, "LEASE_RETRY_S", 0.1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver on the loopback interface."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def dispatching(store: SessionStore) -> Dispatcher:
    """Return a dispatcher of the store that is not started."""
    return Dispatcher(store)


def begin(store: SessionStore, *keys: SessionKey) -> None:
    for result in store.turns.submit_many([(key, Begin(at=store.clock())) for key in keys]):
        assert not isinstance(result, Exception)


def deliveries(store: SessionStore) -> list[Delivery]:
    return store.run_read(lambda connection: outbox.read_page(connection, None, None, 1000)).items[::-1]
