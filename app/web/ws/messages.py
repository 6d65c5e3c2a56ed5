"""The messages of docs/protocol.md."""

import contextlib
import logging
import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...core import strict_json
from ...core.formats import MAX_LANGUAGE_LENGTH, field_message
from ...errors import InvalidJson
from ...observability import metrics
from ...survey import Rejection, Snapshot, commands

log = logging.getLogger("stepkeep.survey")

VALUE_DEPTH = strict_json.MAX_DEPTH + 1  # ``value`` is a field of an object
MAX_AUTH_LENGTH = 2048  # characters of a first frame

# Of JSON; a last string may be cut off.
_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)

ErrorCode = Literal["malformed", "unknown_type", "too_large", "unauthorized", "rate_limited", "unavailable", "quota"]

RejectCode = Literal[
    "not_current", "invalid_answer", "confirm", "required", "at_start", "completed", "expired", "invalid_language"
]

MessageId = Annotated[str, Field(min_length=1, max_length=64, description="made by the client; a UUID serves")]
StepId = Annotated[str, Field(min_length=1, max_length=255)]


class _Message(BaseModel):
    # Newer clients' unknown fields are ignored.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class AnswerMessage(_Message):
    """Answers a step: the current one, or another on the route."""

    type: Literal["answer"]
    id: MessageId
    step: StepId
    value: Any
    confirmed: Annotated[
        bool, Field(description="the participant has seen the warnings of a reject with the code `confirm`")
    ] = False


class BackMessage(_Message):
    """Returns to the previous step."""

    type: Literal["back"]
    id: MessageId


class GotoMessage(_Message):
    """Goes to a step on the route."""

    type: Literal["goto"]
    id: MessageId
    step: StepId


class ModeMessage(_Message):
    """Switches audio or text mode."""

    type: Literal["mode"]
    id: MessageId
    audio: bool


class LanguageMessage(_Message):
    """Shows the survey in another of its languages; also when it is completed."""

    type: Literal["language"]
    id: MessageId
    language: Annotated[
        str, Field(min_length=1, max_length=MAX_LANGUAGE_LENGTH, description="a BCP 47 tag, such as de-AT")
    ]


class RestartMessage(_Message):
    """Starts the survey again."""

    type: Literal["restart"]
    id: MessageId


class DraftMessage(_Message):
    """An unsubmitted answer; it replaces the previous draft."""

    type: Literal["draft"]
    step: StepId
    value: Any


class PingMessage(_Message):
    """Gets ``pong``."""

    type: Literal["ping"]


ClientMessage = Annotated[
    AnswerMessage
    | BackMessage
    | GotoMessage
    | ModeMessage
    | LanguageMessage
    | RestartMessage
    | DraftMessage
    | PingMessage,
    Field(discriminator="type"),
]

CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)
CLIENT_TYPES = frozenset({"answer", "back", "goto", "mode", "language", "restart", "draft", "ping"})


class BadMessage(Exception):
    """An invalid frame; answered with an ``error``."""

    def __init__(self, code: ErrorCode, message: str, message_id: str | None = None) -> None:
        self.code: ErrorCode = code
        self.message = message
        self.message_id = message_id
        super().__init__(message)


def parse(frame: str | bytes) -> ClientMessage:
    if isinstance(frame, bytes):
        text = frame.decode("utf-8", "replace")
        raise BadMessage("malformed", "Binary frames are not supported; send JSON in a text frame.", readable_id(text))
    try:
        value = strict_json.decode(frame, "message", VALUE_DEPTH)
    except InvalidJson as error:
        raise BadMessage("malformed", error.message, readable_id(frame)) from error
    return parse_value(value)


def readable_id(text: str) -> str | None:
    """Return the id of invalid JSON, or of its beginning, so that the client does not send the command again."""
    parts = _PARTS.findall(text)
    depth, ids = 0, []
    for index, part in enumerate(parts):
        if part in {"{", "["}:
            depth += 1
        elif part in {"}", "]"}:
            depth -= 1
        elif depth == 1 and part == '"id"' and parts[index + 1 : index + 2] == [":"]:
            ids += parts[index + 2 : index + 3]
    with contextlib.suppress(InvalidJson):
        if parts[:1] == ["{"] and len(ids) == 1:
            return _message_id({"id": strict_json.decode(ids[0])})
    return None


def parse_value(value: object) -> ClientMessage:
    """Return the message of JSON decoded with VALUE_DEPTH; raise BadMessage."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadMessage("malformed", "A message is a JSON object with a type.", _message_id(value))
    if value["type"] not in CLIENT_TYPES:
        known = ", ".join(sorted(CLIENT_TYPES))
        raise BadMessage("unknown_type", f"Unknown message type; known types: {known}.", _message_id(value))
    try:
        return CLIENT_MESSAGE.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadMessage("malformed", field_message(first, first["loc"][1:]), _message_id(value)) from None


def error(code: ErrorCode, text: str, message_id: str | None = None) -> dict[str, Any]:
    metrics.ERRORS.labels("socket", code).inc()
    return {"type": "error", "id": message_id, "code": code, "message": text}


def size_bytes(message: str | bytes) -> int:
    return len(message.encode() if isinstance(message, str) else message)


def auth_token(frame: str | bytes | None) -> str | None:
    if not isinstance(frame, str) or len(frame) > MAX_AUTH_LENGTH:
        return None
    try:
        value = strict_json.decode(frame, "message")
    except InvalidJson:
        return None
    token = value.get("token") if isinstance(value, dict) and value.get("type") == "auth" else None
    return token if isinstance(token, str) else None


def to_command(  # noqa: C901 - one case a message
    message: ClientMessage, at: int, session_started_at: int | None = None
) -> commands.AnyCommand | None:
    common: dict[str, Any] = {"at": at, "session_started_at": session_started_at}
    match message:
        case AnswerMessage():
            confirmed = message.confirmed
            return commands.Answer(
                message_id=message.id, step=message.step, value=message.value, confirmed=confirmed, **common
            )
        case BackMessage():
            return commands.Back(message_id=message.id, **common)
        case GotoMessage():
            return commands.Goto(message_id=message.id, step=message.step, **common)
        case ModeMessage():
            return commands.SetMode(message_id=message.id, is_audio_mode=message.audio, **common)
        case LanguageMessage():
            return commands.SetLanguage(message_id=message.id, language=message.language, **common)
        case RestartMessage():
            return commands.Restart(message_id=message.id, **common)
        case DraftMessage():
            return commands.Draft(step=message.step, value=message.value, **common)
        case PingMessage():
            return None


def session_fields(snapshot: Snapshot, at: int) -> dict[str, Any]:
    fields = {"session": snapshot.to_dict(at), "step": step_fields(snapshot, at), "progress": snapshot.progress}
    ending = snapshot.ending(at)
    return fields if ending is None else {**fields, "ending": ending}


def step_fields(snapshot: Snapshot, at: int) -> Mapping[str, Any] | None:
    """Return the current step; None if completed or of an unknown revision."""
    drawn = snapshot.draw_step(at)
    if drawn.has_conflicting_bounds and snapshot.survey is not None:
        _warn_of_bounds(snapshot.survey.id, snapshot.survey.revision, snapshot.state.current_step)
    return drawn.fields


@cache  # logs once for each step of a revision, of which survey files have few
def _warn_of_bounds(survey_id: str, revision: str, step: str) -> None:
    log.warning(
        "The computed bounds of step %s in revision %s exclude every answer of a session, so they are ignored.",
        step,
        revision,
        extra={"survey_id": survey_id},
    )


def ack(message_id: str, version: int, snapshot: Snapshot, at: int, *, duplicate: bool) -> dict[str, Any]:
    fields = session_fields(snapshot, at)
    return {"type": "ack", "id": message_id, "version": version, "duplicate": duplicate, **fields}


def reject(message_id: str, rejection: Rejection, snapshot: Snapshot, at: int) -> dict[str, Any]:
    fields = {} if rejection.fields is None else {"fields": rejection.fields}
    reason = {"code": rejection.code, "message": rejection.message, **fields}
    return {"type": "reject", "id": message_id, **reason, "step": step_fields(snapshot, at)}


def _message_id(value: object) -> str | None:
    message_id = value.get("id") if isinstance(value, dict) else None
    return message_id if isinstance(message_id, str) and 1 <= len(message_id) <= 64 else None  # noqa: PLR2004 - as MessageId
