"""The operations on webhooks, as the OpenAPI document tells of them."""

from typing import Any

from ..core.strict_json import MAX_INTEGER
from ..operations.webhooks import ID_PATTERN
from .rest.openapi import operation as parts
from .rest.openapi.operation import Operation

WEBHOOK_ID: dict[str, Any] = {
    "name": "webhook_id",
    "in": "path",
    "required": True,
    "description": "the webhook",
    "schema": {"type": "string", "pattern": ID_PATTERN},
    "example": "wh_0123456789abcdef",
}

_AFTER: dict[str, Any] = {
    "name": "after",
    "in": "query",
    "description": "the `next` of the page before",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER},
}
_FAILED: dict[str, Any] = {
    "name": "failed",
    "in": "query",
    "description": "`true`: only those that were given up",
    "schema": {"type": "string", "enum": ["true", "false"]},
}

_NEEDS: dict[str, str | None] = {"ApiKey": "webhooks", "SignIn": "webhooks"}
_REFUSES = (400, 401, 403, 429, 500, 503)

WEBHOOK_MODELS_WITHOUT_DEFAULTS = ("WebhookAnswer", "WebhookChange", "ReplayAsked")
"""Models in which what is left out means something else than its default."""

WEBHOOK_OPERATIONS: dict[str, dict[str, Operation]] = {
    "/api/webhooks": {
        "get": Operation(
            does="Who is told of what", answers={200: "WebhookList"}, needs=_NEEDS, refuses=(*_REFUSES, 422)
        ),
        "post": Operation(
            does="Tell an address what happens to sessions",
            says="By Standard Webhooks 1.0, from now on. The secret that signs is in this answer only.",
            answers={201: "WebhookMade"},
            needs=_NEEDS,
            body="WebhookAsked",
            example={"url": "https://receiver.example.org/stepkeep", "events": ["session.completed"]},
            refuses=(*_REFUSES, 404, 413, 422),
        ),
    },
    "/api/webhooks/{webhook_id}": {
        "get": Operation(
            does="One webhook", answers={200: "WebhookAnswer"}, needs=_NEEDS, refuses=(*_REFUSES, 404, 422)
        ),
        "patch": Operation(
            does="Disable or enable a webhook, or give it a new secret",
            says="Both secrets sign for 24 hours.",
            answers={200: "WebhookAnswer"},
            needs=_NEEDS,
            body="WebhookChange",
            example={"enabled": False},
            refuses=(*_REFUSES, 404, 413, 422),
        ),
        "delete": Operation(
            does="Remove a webhook and its deliveries",
            answers={200: "Done"},
            needs=_NEEDS,
            refuses=(*_REFUSES, 404, 422),
        ),
    },
    "/api/webhooks/{webhook_id}/deliveries": {
        "get": Operation(
            does="What a webhook was and is to be told, newest first",
            answers={200: "DeliveryPage"},
            needs=_NEEDS,
            parameters=(_FAILED, _AFTER, parts.LIMIT),
            refuses=(*_REFUSES, 404, 422),
        )
    },
    "/api/webhooks/{webhook_id}/replay": {
        "post": Operation(
            does="Deliver again what was delivered or given up",
            says="Each with the `webhook-id` that it had.",
            answers={200: "Replayed"},
            needs=_NEEDS,
            body="ReplayAsked",
            body_is_optional=True,
            example={"failed": True},
            refuses=(*_REFUSES, 404, 413, 422),
        )
    },
}
