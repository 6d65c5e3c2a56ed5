"""REST for webhooks: who is told of what, and what he was told."""

from typing import Any

import flask

from ...core.timestamps import format_timestamp, parse_timestamp
from ...errors import InvalidInput
from ...operations.webhooks import management
from ...operations.webhooks.signing import message_id_of
from ...store import outbox
from ...store.outbox import Delivery
from ...store.webhooks import Webhook, read_all
from ..authorization import permitted_to_all, store
from . import requests
from .responses import json_response

webhooks_api = flask.Blueprint("webhooks_api", __name__)

_ASKED = frozenset({"url", "events", "survey_id"})
_CHANGES = frozenset({"enabled", "rotate_secret"})
_REPLAYED = frozenset({"since", "failed"})


@webhooks_api.get("/api/webhooks")
def list_webhooks() -> flask.Response:
    """All webhooks, the oldest first, without their secrets."""
    permitted_to_all("webhooks", "webhooks_read")
    found = store().run_read(read_all)
    return json_response({"success": True, "webhooks": [_shown(one) for one in found]})


@webhooks_api.post("/api/webhooks")
def add_webhook() -> flask.Response:
    """Tell an address what happens from now on; its secret is in this answer only."""
    permitted_to_all("webhooks", "webhook_added")
    body = requests.body(_ASKED)
    events, survey_id = body.get("events"), body.get("survey_id")
    if not isinstance(events, list) or not all(isinstance(one, str) for one in events):
        raise InvalidInput("events must be a list of the events to tell of, e.g. session.completed")
    if survey_id is not None and not isinstance(survey_id, str):
        raise InvalidInput("survey_id must be the id of a survey, or null for all")
    added = management.add(store(), body.get("url"), events, survey_id)
    return json_response({"success": True, "webhook": _shown(added.webhook), "secret": added.secret}, 201)


@webhooks_api.get("/api/webhooks/<webhook_id>")
def get_webhook(webhook_id: str) -> flask.Response:
    """One webhook, without its secret."""
    permitted_to_all("webhooks", "webhooks_read")
    return json_response({"success": True, "webhook": _shown(management.find(store(), webhook_id))})


@webhooks_api.patch("/api/webhooks/<webhook_id>")
def change_webhook(webhook_id: str) -> flask.Response:
    """Disable or enable it; or give it a new secret, which is in this answer only."""
    permitted_to_all("webhooks", "webhook_changed", webhook=webhook_id[:40])
    body = requests.body(_CHANGES)
    enabled, rotates = _flag(body, "enabled"), _flag(body, "rotate_secret")
    management.find(store(), webhook_id)
    if enabled is not None:
        management.set_enabled(store(), webhook_id, enabled=enabled)
    secret = {"secret": management.rotate_secret(store(), webhook_id)} if rotates else {}
    return json_response({"success": True, "webhook": _shown(management.find(store(), webhook_id)), **secret})


@webhooks_api.delete("/api/webhooks/<webhook_id>")
def remove_webhook(webhook_id: str) -> flask.Response:
    """Remove it with its deliveries."""
    permitted_to_all("webhooks", "webhook_removed", webhook=webhook_id[:40])
    management.remove(store(), webhook_id)
    return json_response({"success": True})


@webhooks_api.get("/api/webhooks/<webhook_id>/deliveries")
def list_deliveries(webhook_id: str) -> flask.Response:
    """What it was told and is to be told, newest first, a page at a time."""
    permitted_to_all("webhooks", "webhooks_read", webhook=webhook_id[:40])
    requests.check_arguments("failed", "after", "limit")
    failed = flask.request.args.get("failed", "false")
    if failed not in {"true", "false"}:
        raise InvalidInput("failed must be true or false")
    after, limit = requests.whole_number("after", None, low=1), requests.limit()
    management.find(store(), webhook_id)
    page = store().run_read(
        lambda connection: outbox.read_page(connection, webhook_id, after, limit, failed=failed == "true")
    )
    shown = [_delivery(one) for one in page.deliveries]
    return json_response({"success": True, "deliveries": shown, "next": page.following})


@webhooks_api.post("/api/webhooks/<webhook_id>/replay")
def replay(webhook_id: str) -> flask.Response:
    """Let what was delivered, or given up, be delivered again."""
    permitted_to_all("webhooks", "webhooks_replayed", webhook=webhook_id[:40])
    body = requests.body(_REPLAYED) if flask.request.get_data() else {}
    since, failed = body.get("since"), _flag(body, "failed") or False
    if "since" in body and not isinstance(since, str):
        raise InvalidInput("since must be a time as 2026-11-23T10:00:00Z")
    from_then = None if since is None else parse_timestamp(since, "since")
    count = management.replay(store(), webhook_id, since=from_then, failed=failed)
    return json_response({"success": True, "replayed": count})


def _flag(body: dict[str, Any], name: str) -> bool | None:
    value = body.get(name)
    if name in body and not isinstance(value, bool):
        raise InvalidInput(f"{name} must be true or false")
    return value


def _shown(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "survey_id": webhook.survey_id,
        "created_at": format_timestamp(webhook.created_at),
        "disabled_at": format_timestamp(webhook.disabled_at),
    }


def _delivery(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "message_id": message_id_of(one),
        "event": one.event,
        "survey_id": one.key.survey_id,
        "user_id": one.key.user_id,
        "version": one.version,
        "occurred_at": format_timestamp(one.occurred_at),
        "attempts": one.attempts,
        "next_attempt_at": format_timestamp(one.next_attempt_at),
        "delivered_at": format_timestamp(one.delivered_at),
        "failed_at": format_timestamp(one.failed_at),
        "last_status": one.last_status,
        "last_error": one.last_error,
    }
