"""REST for webhooks: who is told of what, and what he was told."""

from typing import Any

import flask

from ...core.timestamps import parse_timestamp
from ...errors import InvalidInput
from ...operations import webhooks
from ..authorization import authorize_all
from ..context import store
from . import requests
from .responses import json_response

webhooks_api = flask.Blueprint("webhooks_api", __name__)

_ASKED = frozenset({"url", "events", "survey_id"})
_CHANGES = frozenset({"enabled", "rotate_secret"})
_REPLAYED = frozenset({"since", "failed"})


@webhooks_api.get("/api/webhooks")
def list_webhooks() -> flask.Response:
    """All webhooks, the oldest first, without their secrets."""
    authorize_all("webhooks", "webhooks_read")
    found = webhooks.list_webhooks(store())
    return json_response({"success": True, "webhooks": [webhooks.webhook_to_dict(webhook) for webhook in found]})


@webhooks_api.post("/api/webhooks")
def add_webhook() -> flask.Response:
    """Tell an address what happens from now on; its secret is in this answer only."""
    authorize_all("webhooks", "webhook_added")
    body = requests.body(_ASKED)
    events, survey_id = body.get("events"), body.get("survey_id")
    if not isinstance(events, list) or not all(isinstance(one, str) for one in events):
        raise InvalidInput("events must be a list of the events to tell of, e.g. session.completed")
    if survey_id is not None and not isinstance(survey_id, str):
        raise InvalidInput("survey_id must be the id of a survey, or null for all")
    added = webhooks.add_webhook(store(), body.get("url"), events, survey_id)
    webhook = webhooks.webhook_to_dict(added.webhook)
    return json_response({"success": True, "webhook": webhook, "secret": added.secret}, 201)


@webhooks_api.get("/api/webhooks/<webhook_id>")
def get_webhook(webhook_id: str) -> flask.Response:
    """One webhook, without its secret."""
    authorize_all("webhooks", "webhooks_read")
    webhook = webhooks.get_webhook(store(), webhook_id)
    return json_response({"success": True, "webhook": webhooks.webhook_to_dict(webhook)})


@webhooks_api.patch("/api/webhooks/<webhook_id>")
def change_webhook(webhook_id: str) -> flask.Response:
    """Disable or enable it; or give it a new secret, which is in this answer only."""
    authorize_all("webhooks", "webhook_changed", webhook=webhook_id[:40])
    body = requests.body(_CHANGES)
    enabled, rotates = _flag(body, "enabled"), _flag(body, "rotate_secret")
    webhooks.get_webhook(store(), webhook_id)
    if enabled is not None:
        webhooks.set_enabled(store(), webhook_id, enabled=enabled)
    secret = {"secret": webhooks.rotate_secret(store(), webhook_id)} if rotates else {}
    webhook = webhooks.get_webhook(store(), webhook_id)
    return json_response({"success": True, "webhook": webhooks.webhook_to_dict(webhook), **secret})


@webhooks_api.delete("/api/webhooks/<webhook_id>")
def remove_webhook(webhook_id: str) -> flask.Response:
    """Remove it with its deliveries."""
    authorize_all("webhooks", "webhook_removed", webhook=webhook_id[:40])
    webhooks.remove_webhook(store(), webhook_id)
    return json_response({"success": True})


@webhooks_api.get("/api/webhooks/<webhook_id>/deliveries")
def list_deliveries(webhook_id: str) -> flask.Response:
    """What it was told and is to be told, newest first, a page at a time."""
    authorize_all("webhooks", "webhooks_read", webhook=webhook_id[:40])
    requests.check_arguments("failed", "after", "limit")
    failed = flask.request.args.get("failed", "false")
    if failed not in {"true", "false"}:
        raise InvalidInput("failed must be true or false")
    after, limit = requests.whole_number("after", None, low=1), requests.limit()
    page = webhooks.list_deliveries(store(), webhook_id, after, limit, failed=failed == "true")
    deliveries = [webhooks.delivery_to_dict(delivery) for delivery in page.deliveries]
    return json_response({"success": True, "deliveries": deliveries, "next": page.following})


@webhooks_api.post("/api/webhooks/<webhook_id>/replay")
def replay(webhook_id: str) -> flask.Response:
    """Let what was delivered, or given up, be delivered again."""
    authorize_all("webhooks", "webhooks_replayed", webhook=webhook_id[:40])
    body = requests.body(_REPLAYED) if flask.request.get_data() else {}
    since, failed = body.get("since"), _flag(body, "failed") or False
    if "since" in body and not isinstance(since, str):
        raise InvalidInput("since must be a time as 2026-11-23T10:00:00Z")
    from_then = None if since is None else parse_timestamp(since, "since")
    count = webhooks.replay_deliveries(store(), webhook_id, since=from_then, failed=failed)
    return json_response({"success": True, "replayed": count})


def _flag(body: dict[str, Any], name: str) -> bool | None:
    value = body.get(name)
    if name in body and not isinstance(value, bool):
        raise InvalidInput(f"{name} must be true or false")
    return value
