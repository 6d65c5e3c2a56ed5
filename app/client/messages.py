"""Types of the server's messages (docs/protocol.md)."""

from typing import Any, Literal, NotRequired, TypedDict

from ..core.session_dicts import SessionFields


class Ending(TypedDict):
    """What is shown at the end."""

    title: str | None
    text: str | None
    html: str | None
    redirect: str | None
    summary: bool


class _WithSession(TypedDict):
    session: SessionFields
    step: dict[str, Any] | None
    progress: float
    ending: NotRequired[Ending]


class StateMessage(_WithSession):
    """The whole session, on connection."""

    type: Literal["state"]
    version: int
    resumed: bool


class AckMessage(_WithSession):
    """The command is committed."""

    type: Literal["ack"]
    id: str
    version: int
    duplicate: bool


class PendingMessage(_WithSession):
    """The command is not committed yet."""

    type: Literal["pending"]
    id: str


class SyncMessage(_WithSession):
    """Another connection changed the session."""

    type: Literal["sync"]
    version: int


class RejectMessage(TypedDict):
    """The rules reject the command."""

    type: Literal["reject"]
    id: str
    code: str
    message: str
    fields: NotRequired[dict[str, str]]
    step: dict[str, Any] | None


class ErrorMessage(TypedDict):
    """The message is invalid."""

    type: Literal["error"]
    id: str | None
    code: str
    message: str


class PongMessage(TypedDict):
    """The answer to a ping."""

    type: Literal["pong"]


ServerMessage = StateMessage | AckMessage | PendingMessage | SyncMessage | RejectMessage | ErrorMessage | PongMessage
"""Checking ``message["type"]`` narrows it."""
