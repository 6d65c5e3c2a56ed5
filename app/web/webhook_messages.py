"""What REST takes and answers of webhooks, as models: for the OpenAPI document and for tests."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..operations.webhooks import ID_PATTERN, MAX_URL, URL_PATTERN, WebhookEvent
from .rest.models import Success, SurveyId, Time

Secret = Annotated[str, Field(pattern=r"^whsec_[A-Za-z0-9+/=]+$", description="shown this once")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WebhookShown(_Strict):
    """A webhook, without its secret."""

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    url: str
    events: list[WebhookEvent]
    survey_id: Annotated[SurveyId | None, Field(description="only of this survey; null: of all")]
    created_at: Time
    disabled_at: Time | None


class WebhookList(_Strict):
    """All webhooks, the oldest first."""

    success: Success
    webhooks: list[WebhookShown]


class WebhookAnswer(_Strict):
    """One webhook; with its new secret, which is shown only here, where it was asked for."""

    success: Success
    webhook: WebhookShown
    secret: Secret = ""


class WebhookMade(_Strict):
    """A new webhook, and its secret, which is shown only here."""

    success: Success
    webhook: WebhookShown
    secret: Secret


class DeliveryShown(_Strict):
    """One event that a webhook is told."""

    id: int
    message_id: Annotated[str, Field(description="its `webhook-id`, the same at each attempt")]
    event: WebhookEvent
    survey_id: str
    user_id: str
    version: int
    occurred_at: Time
    attempts: int
    next_attempt_at: Annotated[Time | None, Field(description="null: it was delivered or given up")]
    delivered_at: Time | None
    failed_at: Annotated[Time | None, Field(description="when it was given up")]
    last_status: int | None
    last_error: str | None


class DeliveryPage(_Strict):
    """A page of deliveries, the newest first; ``next`` is the ``after`` of the following page."""

    success: Success
    deliveries: list[DeliveryShown]
    next: int | None


class Replayed(_Strict):
    """How many deliveries are due again."""

    success: Success
    replayed: int


class WebhookAsked(_Strict):
    """Where to tell of what."""

    url: Annotated[str, Field(pattern=URL_PATTERN, max_length=MAX_URL, description="in development `http://` too")]
    events: Annotated[list[WebhookEvent], Field(min_length=1)]
    survey_id: Annotated[SurveyId | None, Field(description="only of this survey; null or left out: of all")] = None


class WebhookChange(_Strict):
    """What is to change of a webhook."""

    enabled: Annotated[bool, Field(description="false: nothing is told it, nor kept for later")] = True
    rotate_secret: Annotated[bool, Field(description="true: the answer has a new secret; both sign")] = False


class ReplayAsked(_Strict):
    """What is to be delivered again; left out, all that was delivered or given up."""

    since: Annotated[Time, Field(description="only what happened then or later")] = ""
    failed: Annotated[bool, Field(description="only what was given up")] = False


ANSWERS = (WebhookList, WebhookAnswer, WebhookMade, DeliveryPage, Replayed)
BODIES = (WebhookAsked, WebhookChange, ReplayAsked)
