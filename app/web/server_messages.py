"""What the server sends over the WebSocket, as models: for the AsyncAPI document and for tests.

``messages.py`` makes the messages as plain dictionaries, which is what the hot path can afford; a test
holds each kind that the server sends to its model here.
"""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter
from pydantic.json_schema import models_json_schema

from app.web.messages import CLIENT_MESSAGE, ErrorCode


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SessionSent(_Sent):
    """A session, in messages."""

    user_id: str
    survey_id: str
    survey_revision: str | None
    status: Literal["in_progress", "completed", "expired"]
    current_step: str
    answers: dict[str, JsonValue]
    step_history: list[str]
    is_audio_mode: bool
    draft: JsonValue
    session_data: dict[str, JsonValue] | None


Progress = Annotated[float, Field(ge=0, le=1)]


class StateSent(_Sent):
    """On connection: the whole session."""

    type: Literal["state"]
    version: int
    resumed: bool
    session: SessionSent
    step: dict[str, JsonValue] | None
    progress: Progress


class AckSent(_Sent):
    """The command is committed."""

    type: Literal["ack"]
    id: str
    version: int
    duplicate: bool
    session: SessionSent
    step: dict[str, JsonValue] | None
    progress: Progress


class PendingSent(_Sent):
    """Accepted, not yet committed; the ack, or a reject, follows."""

    type: Literal["pending"]
    id: str
    session: SessionSent
    step: dict[str, JsonValue] | None
    progress: Progress


class RejectSent(_Sent):
    """Refused by the survey's rules; nothing was saved."""

    type: Literal["reject"]
    id: str
    code: Literal["not_current", "invalid_answer", "required", "at_start", "completed", "expired"]
    message: str
    step: dict[str, JsonValue] | None


class SyncSent(_Sent):
    """Another connection of the same session changed it."""

    type: Literal["sync"]
    version: int
    session: SessionSent
    step: dict[str, JsonValue] | None
    progress: Progress


class ErrorSent(_Sent):
    """Not a command, or not allowed."""

    type: Literal["error"]
    id: str | None
    code: ErrorCode
    message: str


class PongSent(_Sent):
    """The answer to a ping."""

    type: Literal["pong"]


SERVER_MESSAGE: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        StateSent | AckSent | PendingSent | RejectSent | SyncSent | ErrorSent | PongSent, Field(discriminator="type")
    ]
)

_MODELS = (StateSent, AckSent, PendingSent, RejectSent, SyncSent, ErrorSent, PongSent)


@cache
def asyncapi_document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the socket; the same object each time, not to be changed."""
    reference = "#/components/schemas/{model}"
    _, sent = models_json_schema([(model, "serialization") for model in _MODELS], ref_template=reference)
    received = CLIENT_MESSAGE.json_schema(ref_template=reference)
    client = sorted(received["discriminator"]["mapping"].values())
    server = [reference.format(model=model.__name__) for model in _MODELS]
    schemas = {**sent["$defs"], **received["$defs"]}
    names = [path.rsplit("/", 1)[-1] for path in (*client, *server)]
    channel = "#/channels/survey"
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Stepkeep", "version": "0.1.0"},
        "channels": {
            "survey": {
                "address": "/ws/survey/{user_id}?survey={survey}&is_audio={is_audio}",
                "parameters": {"user_id": {}, "survey": {}, "is_audio": {"enum": ["true", "false"]}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "receive": _operation("receive", channel, client),
            "send": _operation("send", channel, server),
        },
        "components": {
            "messages": {name: {"payload": {"$ref": reference.format(model=name)}} for name in names},
            "schemas": schemas,
        },
    }


def _operation(action: str, channel: str, paths: list[str]) -> dict[str, Any]:
    messages = [{"$ref": f"{channel}/messages/{path.rsplit('/', 1)[-1]}"} for path in paths]
    return {"action": action, "channel": {"$ref": channel}, "messages": messages}
