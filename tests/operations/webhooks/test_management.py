"""Webhooks as the operator manages them."""

from sqlalchemy import select

from app.operations.webhooks import management
from app.sessions.service import SessionStore
from app.store.tables import webhooks
from tests.operations.webhooks.conftest import ANN, BEN, EVENTS, begin, deliveries
from tests.operations.webhooks.receiver import Receiver


def test_removed_webhook_leaves_no_rows(store: SessionStore, receiver: Receiver) -> None:
    """Other webhooks and their deliveries stay."""
    removed = management.add_webhook(store, receiver.url, EVENTS).webhook
    other = management.add_webhook(store, receiver.url, EVENTS).webhook
    begin(store, ANN, BEN)
    management.remove_webhook(store, removed.id)
    assert {delivery.webhook_id for delivery in deliveries(store)} == {other.id}
    ids = store.run_read(lambda connection: connection.execute(select(webhooks.c.id)).scalars().all())
    assert ids == [other.id]
