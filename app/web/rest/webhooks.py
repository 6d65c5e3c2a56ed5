"""REST for webhooks and their deliveries."""

from typing import Annotated

import flask
from pydantic import Field

from ...access import require_scope, require_some_scope, require_within
from ...core.timestamps import parse_timestamp
from ...errors import NoSuchWebhook
from ...operations import webhooks as service
from ...operations.webhooks import ID_PATTERN, MAX_URL, URL_PATTERN, WebhookEvent
from ...sessions import Action
from ...store import Webhook as StoredWebhook
from ..authorization import audit, authorize_some
from ..context import authenticator, store
from .bodies import parse_body, success
from .models import Done, Model, PartialModel, Response, Success, SurveyId, Time
from .openapi.operation import PROTECTED, Operation, Resource, current_operation, integrator
from .openapi.parameters import AFTER_ID, LIMIT, flag

webhooks = Resource("webhooks", __name__)

FAILED = flag("failed", "`true`: only failed deliveries")

_SECURITY = integrator("webhooks")

Secret = Annotated[str, Field(pattern=r"^whsec_[A-Za-z0-9+/=]+$", description="shown this once")]


class Webhook(Model):
    """A webhook, without its secret."""

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    url: str
    events: list[WebhookEvent]
    survey_id: Annotated[SurveyId | None, Field(description="only of this survey; null: of all")]
    includes_values: Annotated[bool, Field(description="whether it gets parameters and computed values")]
    created_at: Time
    disabled_at: Time | None


class WebhookList(Response):
    """All webhooks, the oldest first."""

    webhooks: list[Webhook]


class WebhookResponse(PartialModel):
    """One webhook; with its new secret, which is shown only here, if one was requested."""

    success: Success
    webhook: Webhook
    secret: Secret = ""


class WebhookCreated(Response):
    """A new webhook, and its secret, which is shown only here."""

    webhook: Webhook
    secret: Secret


class Delivery(Model):
    """One event for a webhook."""

    id: int
    message_id: Annotated[str, Field(description="its `webhook-id`, the same at each attempt")]
    event: WebhookEvent
    survey_id: str
    user_id: str
    version: int
    occurred_at: Time
    attempts: int
    next_attempt_at: Annotated[Time | None, Field(description="null: delivered or failed")]
    delivered_at: Time | None
    failed_at: Annotated[Time | None, Field(description="when delivery was abandoned")]
    last_status: int | None
    last_error: str | None


class DeliveryPage(Response):
    """A page of deliveries, the newest first; ``next`` is the ``after`` of the following page."""

    deliveries: list[Delivery]
    next: int | None


class ReplayResponse(Response):
    """The number of deliveries that are due again."""

    replayed: int


class WebhookRequest(Model):
    """A webhook to add."""

    # Checked by the service, whose error says what to do.
    url: str = Field(
        json_schema_extra={"pattern": URL_PATTERN, "maxLength": MAX_URL}, description="in development `http://` too"
    )
    events: Annotated[list[WebhookEvent], Field(min_length=1)]
    survey_id: Annotated[SurveyId | None, Field(description="only of this survey; null or absent: of all")] = None
    includes_values: Annotated[
        bool, Field(description="true: send parameters and computed values; the key needs `sessions:read` too")
    ] = False


class WebhookChange(PartialModel):
    """Changes of a webhook."""

    enabled: Annotated[bool, Field(description="false: its events are neither sent nor stored")] = True
    includes_values: bool = Field(
        False,
        description="whether to send parameters and computed values from now on; for true, the key needs "
        "`sessions:read` too",
    )
    rotate_secret: Annotated[bool, Field(description="true: the response has a new secret; both sign")] = False


class ReplayRequest(PartialModel):
    """The deliveries to repeat; default: all that were delivered or failed."""

    since: Annotated[Time, Field(description="only events since then")] = ""
    failed: Annotated[bool, Field(description="only failed deliveries")] = False


@Operation(webhooks, "GET /api/webhooks", WebhookList, _SECURITY)
def list_webhooks() -> flask.Response:
    """List the webhooks.

    Those of the API key's surveys, if it is limited to some.
    """
    surveys = authorize_some("webhooks", "webhooks_read")
    seen = (webhook for webhook in service.list_webhooks(store()) if surveys is None or webhook.survey_id in surveys)
    listed = [service.webhook_to_dict(webhook) for webhook in seen]
    return success(webhooks=listed)


@Operation(
    webhooks,
    "POST /api/webhooks",
    WebhookCreated,
    _SECURITY,
    statuses=(201,),
    request=WebhookRequest,
    example={"url": "https://receiver.example.org/stepkeep", "events": ["session.completed"]},
    errors=(*PROTECTED, 404),
)
def add_webhook() -> flask.Response:
    """Add a webhook.

    By Standard Webhooks 1.0, for events from now on. An API key that is limited to surveys has to name one of them.
    With values, it needs the scope `sessions:read` too. The signing secret is in this response only.
    """
    principal = authenticator().principal()
    surveys = require_some_scope(principal, "webhooks")
    current_operation().require_known_query()
    body = parse_body(WebhookRequest)
    require_within(surveys, body.survey_id)
    if body.includes_values:
        require_scope(principal, "sessions:read", body.survey_id)
    audit(principal, "webhook_added", None, includes_values=body.includes_values)
    added = service.add_webhook(store(), body.url, body.events, body.survey_id, includes_values=body.includes_values)
    webhook = service.webhook_to_dict(added.webhook)
    return success(201, webhook=webhook, secret=added.secret)


@Operation(webhooks, "GET /api/webhooks/<webhook_id>", WebhookResponse, _SECURITY)
def get_webhook(webhook_id: str) -> flask.Response:
    """Get a webhook."""
    webhook = _authorized("webhooks_read", webhook_id)
    return success(webhook=service.webhook_to_dict(webhook))


@Operation(
    webhooks,
    "PATCH /api/webhooks/<webhook_id>",
    WebhookResponse,
    _SECURITY,
    request=WebhookChange,
    example={"enabled": False},
)
def change_webhook(webhook_id: str) -> flask.Response:
    """Disable or enable a webhook, change whether it gets values, or give it a new secret.

    Whether it gets values applies to waiting deliveries, retries and replays too. Both secrets sign for 24 hours.
    """
    webhook = _authorized(None, webhook_id)  # audited below, with what changes
    change = parse_body(WebhookChange)
    principal = authenticator().principal()
    if change.includes_values:
        require_scope(principal, "sessions:read", webhook.survey_id)
    detail = change.model_dump(exclude_unset=True, exclude={"rotate_secret"})
    if change.rotate_secret:
        detail["secret"] = "rotated"  # noqa: S105 - not a secret
    audit(principal, "webhook_changed", None, webhook=webhook_id, **detail)
    if "includes_values" in change.model_fields_set:
        service.set_includes_values(store(), webhook_id, includes_values=change.includes_values)
    if "enabled" in change.model_fields_set:
        service.set_enabled(store(), webhook_id, enabled=change.enabled)
    secret = {"secret": service.rotate_secret(store(), webhook_id)} if change.rotate_secret else {}
    changed = service.webhook_to_dict(service.get_webhook(store(), webhook_id))
    return success(webhook=changed, **secret)


@Operation(webhooks, "DELETE /api/webhooks/<webhook_id>", Done, _SECURITY)
def remove_webhook(webhook_id: str) -> flask.Response:
    """Remove a webhook and its deliveries."""
    _authorized("webhook_removed", webhook_id)
    service.remove_webhook(store(), webhook_id)
    return success()


@Operation(
    webhooks, "GET /api/webhooks/<webhook_id>/deliveries", DeliveryPage, _SECURITY, parameters=(FAILED, AFTER_ID, LIMIT)
)
def list_deliveries(webhook_id: str) -> flask.Response:
    """List a webhook's deliveries, newest first."""
    _authorized("webhooks_read", webhook_id)
    page = service.list_deliveries(
        store(), webhook_id, AFTER_ID.value(), LIMIT.value() or 100, failed=FAILED.value() or False
    )
    deliveries = [service.delivery_to_dict(delivery) for delivery in page.items]
    return success(deliveries=deliveries, next=page.following)


@Operation(
    webhooks,
    "POST /api/webhooks/<webhook_id>/replay",
    ReplayResponse,
    _SECURITY,
    request=ReplayRequest,
    is_request_optional=True,
    example={"failed": True},
)
def replay(webhook_id: str) -> flask.Response:
    """Repeat deliveries that succeeded or failed.

    Each with the same `webhook-id`.
    """
    _authorized("webhooks_replayed", webhook_id)
    body = parse_body(ReplayRequest)
    since = parse_timestamp(body.since, "The field since") if "since" in body.model_fields_set else None
    count = service.replay_deliveries(store(), webhook_id, since=since, failed=body.failed)
    return success(replayed=count)


def _authorized(action: Action | None, webhook_id: str) -> StoredWebhook:
    """Return the webhook; for an API key of other surveys, it does not exist."""
    surveys = authorize_some("webhooks", action, webhook=webhook_id[:40])
    webhook = service.get_webhook(store(), webhook_id)
    if surveys is not None and webhook.survey_id not in surveys:
        raise NoSuchWebhook(webhook_id)
    return webhook
