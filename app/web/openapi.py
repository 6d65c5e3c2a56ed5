"""The OpenAPI 3.1 document of the REST door, made of the models."""

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.json_schema import models_json_schema

from app.web.messages import CLIENT_MESSAGE


class SessionShown(BaseModel):
    """A session."""

    user_id: str
    survey_id: str
    survey_revision: str | None
    status: str
    current_step: str
    answers: dict[str, JsonValue]
    step_history: list[str]
    is_audio_mode: bool
    draft: JsonValue
    session_data: dict[str, JsonValue] | None
    version: int
    progress: float
    created_at: str
    updated_at: str
    completed_at: str | None


class SessionAnswer(BaseModel):
    """One session."""

    success: bool
    session: SessionShown


class SessionPage(BaseModel):
    """A page of sessions; ``next`` is the ``after`` of the following page, null after the last one.

    With filters a page may hold fewer than ``limit``, even none, and more may follow.
    """

    success: bool
    sessions: list[SessionShown]
    next: str | None


class EventShown(BaseModel):
    """One event of a session's history."""

    version: int
    action: str
    step: str | None
    answer: JsonValue
    timestamp: str
    message_id: str | None
    data: dict[str, JsonValue]


class HistoryPage(BaseModel):
    """A page of events, oldest first; ``next`` is the ``after`` of the following page."""

    success: bool
    events: list[EventShown]
    next: int | None


class WholeState(BaseModel):
    """A session's whole state; the steps need not be the survey's."""

    model_config = ConfigDict(extra="forbid")

    current_step: str
    answers: dict[str, JsonValue]
    step_history: list[str]
    is_audio_mode: bool = False
    session_data: dict[str, JsonValue] | None = None


class SomeState(BaseModel):
    """What is to change of a session's state."""

    model_config = ConfigDict(extra="forbid")

    current_step: str = ""
    answers: dict[str, JsonValue] = {}
    step_history: list[str] = []
    is_audio_mode: bool = False
    session_data: dict[str, JsonValue] | None = None


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    success: bool


_MODELS = (SessionAnswer, SessionPage, HistoryPage, WholeState, SomeState, Problem)
_USER = {
    "name": "user_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._@:-]{1,128}$"},
}
_QUERY = {
    "survey": "the survey; left out, the default one or the participant's only one",
    "at_version": "the session as it was at this version",
    "after": "the `next` of the page before",
    "limit": "entries of the page, 1 to 1000",
    "status": "in_progress, completed or expired",
    "updated_since": "a time as 2026-11-23T10:00:00Z; the sessions come in the order of their last change",
    "step": "the current step",
}
_NUMBERS = frozenset({"at_version", "limit"})
_HEADERS = {
    "If-Match": "the version that the change holds for, as ETag gave it; else 412",
    "Idempotency-Key": "the message's id: sent again, it is done once",
}


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document; the same object each time, not to be changed."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    command = CLIENT_MESSAGE.json_schema(ref_template="#/components/schemas/{model}")
    definitions = {**schemas.get("$defs", {}), **command.pop("$defs", {}), "Command": command}
    session = ("survey",)
    guarded = ("If-Match", "Idempotency-Key")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stepkeep",
            "version": "0.1.0",
            "description": "Keeps a person's place in a survey.",
        },
        "paths": {
            "/api/session/{user_id}": {
                "get": _operation("The session", "SessionAnswer", query=(*session, "at_version")),
                "put": _operation("Make this the whole state", "SessionAnswer", "WholeState", session, guarded),
                "patch": _operation("Change some of the state", "SessionAnswer", "SomeState", session, guarded),
                "delete": _operation("Erase the session and its history", None, query=session),
                "parameters": [_USER],
            },
            "/api/session/{user_id}/commands": {
                "post": _operation("Do one command of the WebSocket", None, "Command", session, ("Idempotency-Key",)),
                "parameters": [_USER],
            },
            "/api/session/{user_id}/history": {
                "get": _operation("Its events, oldest first", "HistoryPage", query=(*session, "after", "limit")),
                "parameters": [_USER],
            },
            "/api/sessions": {
                "get": _operation(
                    "Sessions",
                    "SessionPage",
                    query=("survey", "status", "updated_since", "step", "after", "limit"),
                )
            },
            "/api/surveys": {"get": _operation("The surveys", None)},
            "/api/surveys/{survey_id}": {
                "get": _operation("One survey", None),
                "parameters": [{"name": "survey_id", "in": "path", "required": True, "schema": {"type": "string"}}],
            },
            "/healthz": {"get": _operation("Alive", None)},
            "/readyz": {"get": _operation("Ready: database reachable, schema right", None)},
        },
        "components": {"schemas": definitions},
    }


def _operation(
    summary: str,
    answer: str | None,
    body: str | None = None,
    query: tuple[str, ...] = (),
    headers: tuple[str, ...] = (),
) -> dict[str, Any]:
    content = {"application/json": {"schema": _schema(answer)}}
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [
            *(_parameter(name, "query", _QUERY[name]) for name in query),
            *(_parameter(name, "header", _HEADERS[name]) for name in headers),
        ],
        "responses": {
            "2XX": {"description": "Done", "content": content},
            "default": {
                "description": "Refused or failed",
                "content": {"application/problem+json": {"schema": _schema("Problem")}},
            },
        },
    }
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(body)}},
        }
    return operation


def _parameter(name: str, where: str, description: str) -> dict[str, Any]:
    kind = "integer" if name in _NUMBERS else "string"
    return {"name": name, "in": where, "description": description, "schema": {"type": kind}}


def _schema(name: str | None) -> dict[str, Any]:
    return {"type": "object"} if name is None else {"$ref": f"#/components/schemas/{name}"}
