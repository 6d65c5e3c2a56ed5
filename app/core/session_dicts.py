"""Types of sessions and events at every interface; times are RFC 3339 in UTC."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

Status = Literal["in_progress", "completed", "expired"]


class SessionFields(TypedDict):
    """``session`` of docs/protocol.md."""

    user_id: str
    survey_id: str
    survey_revision: str | None
    status: Status
    current_step: str
    answers: dict[str, Any]
    step_history: list[str]
    is_audio_mode: bool
    language: str | None
    parameters: Mapping[str, Any]
    values: Mapping[str, Any]
    draft: Any
    session_data: dict[str, Any] | None


class SessionDict(SessionFields):
    """A session with version and times."""

    version: int
    created_at: str
    updated_at: str
    completed_at: str | None


class HistoryDict(TypedDict):
    """An entry of a history in the Python API."""

    action: str
    step: str | None
    answer: Any
    timestamp: str
    version: int


class EventDict(HistoryDict):
    """An event, as REST and exports show it."""

    message_id: str | None
    data: Mapping[str, Any]
