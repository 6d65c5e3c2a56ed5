"""Webhooks: signed notifications of sessions, delivered at least once (docs/webhooks.md)."""

from ...store import Delivery, WebhookEvent
from .dispatcher import Dispatcher
from .management import (
    EVENTS,
    ID_PATTERN,
    OVERLAP_HOURS,
    add_webhook,
    delivery_to_dict,
    get_webhook,
    list_deliveries,
    list_webhooks,
    remove_webhook,
    replay_deliveries,
    rotate_secret,
    send_test,
    set_enabled,
    set_includes_values,
    webhook_to_dict,
)
from .url_policy import MAX_URL, URL_PATTERN, origin

__all__ = [
    "EVENTS",
    "ID_PATTERN",
    "MAX_URL",
    "OVERLAP_HOURS",
    "URL_PATTERN",
    "Delivery",
    "Dispatcher",
    "WebhookEvent",
    "add_webhook",
    "delivery_to_dict",
    "get_webhook",
    "list_deliveries",
    "list_webhooks",
    "origin",
    "remove_webhook",
    "replay_deliveries",
    "rotate_secret",
    "send_test",
    "set_enabled",
    "set_includes_values",
    "webhook_to_dict",
]
