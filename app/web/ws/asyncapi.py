"""The server's messages as models, and the AsyncAPI document."""

from functools import cache
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter
from pydantic.json_schema import models_json_schema

from ...core.formats import SURVEY_ID
from ...core.installation import __version__
from ..rest.models import Progress, Status, StepSent, SurveyId, UserId
from ..rest.openapi.document import SECURITY_SCHEMES
from ..rest.openapi.schemas import JSON_SCHEMAS, REFERENCE, client_message, example_of
from .messages import MAX_AUTH_LENGTH, ErrorCode, RejectCode


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SessionSent(_Sent):
    """A session, in messages."""

    user_id: UserId
    survey_id: SurveyId
    survey_revision: str | None
    status: Status
    current_step: str
    answers: dict[str, JsonValue]
    step_history: list[str]
    is_audio_mode: bool
    language: Annotated[str | None, Field(description="of the texts; null if the survey is unknown")]
    parameters: Annotated[dict[str, JsonValue], Field(description="known before the first question, by name")]
    values: Annotated[
        dict[str, JsonValue],
        Field(description="the survey's computed values, by name: as of now, and from completion on as recorded then"),
    ]
    draft: JsonValue
    session_data: dict[str, JsonValue] | None


class EndingSent(_Sent):
    """What the participant sees at the end."""

    title: str | None
    text: str | None
    html: Annotated[str | None, Field(description="the text with elements, if the survey is in CommonMark")]
    redirect: Annotated[str | None, Field(description="address of a page to continue on")]
    summary: Annotated[bool, Field(description="whether to show what was answered")]


class _StateSent(_Sent):
    session: SessionSent
    step: StepSent | None
    progress: Progress
    ending: Annotated[
        EndingSent | None, Field(description="of a completed session, if one of the survey's endings applies")
    ] = None


class StateSent(_StateSent):
    """On connection: the whole session."""

    type: Literal["state"]
    version: int
    resumed: bool


class AckSent(_StateSent):
    """The command is committed."""

    type: Literal["ack"]
    id: str
    version: int
    duplicate: bool


class PendingSent(_StateSent):
    """Accepted, not yet committed; an ack or a reject follows."""

    type: Literal["pending"]
    id: str


class SyncSent(_StateSent):
    """Another connection of the same session changed it."""

    type: Literal["sync"]
    version: int


class RejectSent(_Sent):
    """Rejected by the survey's rules; nothing was saved."""

    type: Literal["reject"]
    id: str
    code: RejectCode
    message: str
    fields: Annotated[dict[str, str], Field(description="of a page or grid: what is wrong, by field or row")] = {}
    step: StepSent | None


class ErrorSent(_Sent):
    """An invalid or forbidden message."""

    type: Literal["error"]
    id: Annotated[str | None, Field(description="of the refused command; null if the message has no readable id")]
    code: ErrorCode
    message: str


class PongSent(_Sent):
    """The answer to a ping."""

    type: Literal["pong"]


ServerMessage = StateSent | AckSent | PendingSent | RejectSent | SyncSent | ErrorSent | PongSent

SERVER_MESSAGE: TypeAdapter[Any] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")])


class AuthReceived(_Sent):
    """The first frame of a client that cannot send headers, within ten seconds; answered by `state`."""

    type: Literal["auth"]
    token: Annotated[str, Field(max_length=MAX_AUTH_LENGTH, description="a participant's resume token")]


# RFC 6455, 7.4
CLOSE_CODES = {
    1001: "the server is shutting down, or the session was erased: reconnect",
    1008: "no answer to a ping, too many control frames or fragments, or the rest of a message came too late",
    1009: "a message over 64 KiB",
    1011: "internal server error; acknowledged answers are saved",
    1013: "overloaded, or the database is unavailable: try again later",
    4400: "repeated malformed messages, no user id, or a wrong or missing parameter of the survey",
    4401: "missing, invalid, expired or revoked credentials",
    4403: "not allowed: another origin, or another participant's session",
    4404: "no such survey",
    4429: "too many messages or connections",
}

_SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    name: {**scheme, "type": "httpApiKey" if "in" in scheme else "http"} for name, scheme in SECURITY_SCHEMES.items()
}
_SECURITY_SCHEMES["ApiKey"]["description"] = "An integrator's key with the scope sessions:write."
_SECURITY_SCHEMES["ResumeToken"]["description"] = (
    "A participant's token. Clients that cannot set headers, such as browsers, use the subprotocols "
    "`stepkeep, token.<token>`, or the `auth` message as the first frame."
)

_QUERY = {
    "type": "object",
    "properties": {
        "survey": {"type": "string", "pattern": SURVEY_ID, "description": "the survey; default: the default one"},
        "is_audio": {"enum": ["true", "false"], "description": "the mode of a new session"},
        "lang": {
            "type": "string",
            "description": "the language of a new session, if the survey has it; otherwise Accept-Language decides",
        },
    },
}


@cache
def asyncapi_document() -> dict[str, Any]:
    """Return the shared document, not to be changed."""
    _, models = models_json_schema(
        [(model, "serialization") for model in (*get_args(ServerMessage), AuthReceived)], ref_template=REFERENCE
    )
    received = client_message()
    client = [
        "AuthReceived",
        *(path.rsplit("/", 1)[-1] for path in sorted(received["discriminator"]["mapping"].values())),
    ]
    server = [model.__name__ for model in get_args(ServerMessage)]
    schemas = {**JSON_SCHEMAS, **models["$defs"], **received["$defs"]}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Stepkeep", "version": __version__},
        "channels": {"survey": _channel([*client, *server])},
        "operations": {"receive": _operation("receive", client), "send": _operation("send", server)},
        "components": {
            "messages": {name: _message(name, schemas) for name in (*client, *server)},
            "schemas": schemas,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _message(name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    payload = {"$ref": REFERENCE.format(model=name)}
    return {"payload": payload, "examples": [{"payload": example_of(payload, schemas)}]}


def _channel(messages: list[str]) -> dict[str, Any]:
    codes = "; ".join(f"{code} {why}" for code, why in CLOSE_CODES.items())
    return {
        "address": "/ws/survey/{user_id}",
        "description": "One participant's session of one survey, in JSON text frames. The server speaks first, with "
        f"`state`; without credentials in the handshake, after the client's `auth`. Close codes: {codes}.",
        "parameters": {
            "user_id": {"description": "1 to 128 of A-Z a-z 0-9 . _ @ : -, but not . or ..", "examples": ["user123"]}
        },
        "bindings": {"ws": {"method": "GET", "query": _QUERY, "bindingVersion": "0.1.0"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "x-close-codes": {str(code): why for code, why in CLOSE_CODES.items()},
    }


def _operation(action: str, messages: list[str]) -> dict[str, Any]:
    channel = "#/channels/survey"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in messages],
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY_SCHEMES],
    }
