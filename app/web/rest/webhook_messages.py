"""Models of the messages that webhooks receive, and their part of the OpenAPI document.

``operations/webhooks/signing.py`` builds dictionaries; a test validates them here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.json_schema import SkipJsonSchema

from ...operations.webhooks import ID_PATTERN, WebhookEvent
from .models import Model, Status, SurveyId, Time, UserId, Version, drop_defaults
from .openapi.parameters import Schema
from .openapi.schemas import REFERENCE


class SessionNotified(BaseModel):
    """The session, without answers. More fields may be added: ignore unknown ones."""

    model_config = ConfigDict(extra="allow", json_schema_extra=drop_defaults)

    survey_id: SurveyId
    user_id: UserId
    version: Version
    status: Status
    parameters: dict[str, JsonValue] = Field(
        {}, description="with `includes_values`: those with which the session began"
    )
    values: dict[str, JsonValue] = Field(
        {}, description="with `includes_values`, of `session.completed`: those that the completion recorded"
    )
    omitted: Literal["too_large", "no_such_session"] | SkipJsonSchema[None] = Field(
        None, description="with `includes_values`: why neither parameters nor values are sent"
    )


class SessionMessage(Model):
    """A session has started, is completed, or has expired."""

    type: WebhookEvent
    timestamp: Time
    data: SessionNotified


class TestedWebhook(Model):
    """The webhook that is tested."""

    webhook_id: Annotated[str, Field(pattern=ID_PATTERN)]


class WebhookTest(Model):
    """A test of the connection and the signature."""

    type: Literal["webhook.test"]
    timestamp: Time
    data: TestedWebhook


MESSAGE_MODELS = (SessionMessage, WebhookTest)

_SESSION = {"survey_id": "phq9", "user_id": "user123"}

_MESSAGES: Mapping[str, tuple[type[BaseModel], str, Mapping[str, Any]]] = {
    "session.started": (
        SessionMessage,
        "A session has started, or the participant has restarted it",
        {**_SESSION, "version": 1, "status": "in_progress"},
    ),
    "session.completed": (SessionMessage, "A session is completed", {**_SESSION, "version": 10, "status": "completed"}),
    "session.expired": (SessionMessage, "A session has expired", {**_SESSION, "version": 5, "status": "expired"}),
    "webhook.test": (WebhookTest, "An operator tests the webhook", {"webhook_id": "wh_0123456789abcdef"}),
}
"""The model, the occasion and an example's data of each message, by its ``type``."""

_HEADERS = {
    "webhook-id": "the same at each attempt: ignore a message whose id is known",
    "webhook-timestamp": "seconds since 1970 UTC: refuse a message that is older than five minutes",
    "webhook-signature": "`v1,` and the HMAC-SHA256 of id, timestamp and body; one for each valid secret",
}

_RESPONSES = {
    "2XX": "Delivered",
    "410": "Not delivered, and the webhook is disabled",
    "default": "Not delivered, and retried later",
}


def webhooks_document() -> Schema:
    """Return ``webhooks`` of the OpenAPI document: the requests with each message."""
    return {message_type: {"post": _operation(message_type)} for message_type in _MESSAGES}


def _operation(message_type: str) -> Schema:
    model, occasion, data = _MESSAGES[message_type]
    example = {"type": message_type, "timestamp": "2026-11-27T00:00:00.123456Z", "data": data}
    content = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}, "example": example}
    return {
        "operationId": f"receive_{message_type.replace('.', '_')}",
        "summary": occasion,
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {status: {"description": text} for status, text in _RESPONSES.items()},
    }
