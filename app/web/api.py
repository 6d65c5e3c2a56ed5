"""The REST door (PROTOCOL.md): sessions, their history, the surveys, and whether the server is well."""

import base64
import binascii
import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import flask
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app import exact_json
from app.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidJson,
    NoSuchSession,
    StepkeepError,
    VersionConflict,
)
from app.service import SessionStore
from app.snapshot import Snapshot
from app.store.batch import Outcome
from app.store.listing import Cursor
from app.store.rows import Entry, SessionKey
from app.survey.commands import AnyCommand, Begin, Save, Update
from app.survey.definition import Survey
from app.web import messages
from app.web.openapi import openapi_document
from app.web.server_messages import asyncapi_document

api = flask.Blueprint("api", __name__)

MAX_LIMIT = 1000
"""Entries of one page of a list."""

_FIELDS = frozenset({"current_step", "answers", "step_history", "is_audio_mode", "session_data"})
_STATUSES = frozenset({"in_progress", "completed", "expired"})


@api.get("/api/session/<path:user_id>")
def get_session(user_id: str) -> flask.Response:
    """The session, or as it was at a version."""
    store = _store()
    key = store.meant_key(user_id, _survey())
    version = _whole_number("at_version", None, low=1)
    snapshot = store.load(key) if version is None else store.at_version(key, version)
    if snapshot is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    return _session(snapshot)


@api.put("/api/session/<path:user_id>")
def put_session(user_id: str) -> flask.Response:
    """Make the body the whole state."""
    body = _body(_FIELDS)
    missing = [name for name in ("current_step", "answers", "step_history") if name not in body]
    if missing:
        raise InvalidInput(f"a whole state needs {', '.join(missing)} too")
    path = body["step_history"]
    command = Save(
        at=_store().clock(),
        message_id=_idempotency_key(),
        expected_version=_expected_version(),
        current_step=body["current_step"],
        answers=body["answers"],
        step_history=tuple(path) if isinstance(path, list) else path,
        is_audio_mode=body.get("is_audio_mode", False),
        session_data=body.get("session_data"),
    )
    return _change(user_id, command)


@api.patch("/api/session/<path:user_id>")
def patch_session(user_id: str) -> flask.Response:
    """Change the fields of the state that the body has."""
    changes = _body(_FIELDS)
    if isinstance(changes.get("step_history"), list):
        changes["step_history"] = tuple(changes["step_history"])
    command = Update(
        at=_store().clock(),
        message_id=_idempotency_key(),
        expected_version=_expected_version(),
        changes=changes,
    )
    return _change(user_id, command)


@api.delete("/api/session/<path:user_id>")
def delete_session(user_id: str) -> flask.Response:
    """Erase the session and its history."""
    store = _store()
    key = store.meant_key(user_id, _survey())
    if not store.delete(key):
        raise NoSuchSession(key.survey_id, key.user_id)
    return _json({"success": True})


@api.post("/api/session/<path:user_id>/commands")
def post_command(user_id: str) -> flask.Response:
    """Do one command of the WebSocket; a session begins where there is none."""
    store = _store()
    key = store.meant_key(user_id, _survey())
    body = _body(None)
    header = _idempotency_key()
    if header is not None and body.get("type") != "draft":
        if body.get("id", header) != header:
            raise InvalidInput("the body's id and Idempotency-Key differ")
        body["id"] = header
    try:
        command = messages.command_of(messages.parse_value(body), store.clock())
    except messages.BadMessage as bad:
        raise InvalidInput(bad.message) from bad
    if command is None:
        return _json({"type": "pong"})
    return _answer(store, key, command)


@api.get("/api/session/<path:user_id>/history")
def get_history(user_id: str) -> flask.Response:
    """The session's events, oldest first, a page at a time."""
    store = _store()
    key = store.meant_key(user_id, _survey())
    if store.load(key) is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    limit = _limit()
    after = _whole_number("after", 0, low=0) or 0
    entries = store.history(key, after_version=after, limit=limit)
    more = entries[-1].version if len(entries) == limit else None
    return _json({"success": True, "events": [_event(entry) for entry in entries], "next": more})


@api.get("/api/sessions")
def list_sessions() -> flask.Response:
    """Sessions a page at a time, in the order of their keys, or of their last change with updated_since."""
    store = _store()
    limit = _limit()
    arguments = flask.request.args
    filters: dict[str, Any] = {}
    if "status" in arguments:
        if arguments["status"] not in _STATUSES:
            raise InvalidInput(f"status must be one of {', '.join(sorted(_STATUSES))}")
        filters["status"] = arguments["status"]
    if "survey" in arguments:
        filters["survey_id"] = store.key("x", arguments["survey"]).survey_id
    if "step" in arguments:
        exact_json.check(arguments["step"], "step")
        filters["current_step"] = arguments["step"]
    found, last = store.list(after=_cursor(), limit=limit, filters=filters, updated_since=_updated_since())
    more = None if last is None else _cursor_text(last)
    return _json({"success": True, "sessions": [_shown(snapshot) for snapshot in found], "next": more})


@api.get("/api/surveys")
def list_surveys() -> flask.Response:
    """The surveys that are offered."""
    surveys = _store().catalogue.surveys.values()
    listed = [
        {
            "id": survey.id,
            "title": survey.title,
            "language": survey.language,
            "description": survey.description,
            "revision": survey.revision,
            "steps": len(survey.steps),
        }
        for survey in surveys
    ]
    return _json({"success": True, "surveys": listed})


@api.get("/api/surveys/<survey_id>")
def get_survey(survey_id: str) -> flask.Response:
    """One survey: its steps with defaults filled in; of their rules only what a client can go on with offline.

    Each step says where it ``leads_to`` whatever is answered (null where that depends on answers), and, by
    ``reads``, which other steps' answers decide where it leads (null: any).
    """
    survey = _store().catalogue.survey(survey_id)
    shown = survey.model_dump(mode="json", exclude={"steps"})
    ways = survey.walkway
    steps = [
        {
            **(survey.shown_step(step.id) or {}),
            "leads_to": ways.leads_always_to(step.id),
            "reads": None if (read := ways.reads(step.id)) is None else sorted(read),
        }
        for step in survey.steps
    ]
    return _json({"success": True, "survey": {**shown, "revision": survey.revision, "steps": steps}})


@api.get("/healthz")
def healthz() -> flask.Response:
    """Alive."""
    return _json({"status": "ok"})


@api.get("/readyz")
def readyz() -> flask.Response:
    """Ready: the database can be reached and has the right schema."""
    try:
        facts = _store().database_facts()
    except StepkeepError as error:
        return _problem(503, error.code, error.message)
    return _json({"status": "ready", **facts, "surveys": list(_store().catalogue.surveys)})


@api.get("/openapi.json")
def get_openapi() -> flask.Response:
    """What this door offers, as OpenAPI 3.1."""
    return _json(openapi_document())


@api.get("/asyncapi.json")
def get_asyncapi() -> flask.Response:
    """The WebSocket, as AsyncAPI 3.0."""
    return _json(asyncapi_document())


@api.get("/survey.schema.json")
def get_survey_schema() -> flask.Response:
    """The JSON Schema of a survey file."""
    return _json(Survey.model_json_schema(mode="validation"))


@api.get("/docs")
def docs() -> str:
    """The same, to read."""
    return flask.render_template("openapi.html", document=openapi_document())


def answer_error(error: Exception) -> flask.Response | HTTPException:
    """Make problem details (RFC 9457) of an error; what is not ours says nothing of the inside."""
    if isinstance(error, ConfigurationError):
        return _problem(503, error.code, "the server is not ready")
    if isinstance(error, StepkeepError):
        extra: dict[str, Any] = {"place": error.place} if isinstance(error, InvalidJson) else {}
        return _problem(error.http_status, error.code, error.message, **extra)
    if isinstance(error, HTTPException):
        if not flask.request.path.startswith(("/api/", "/healthz", "/readyz", "/openapi")):
            return error
        code = "too_large" if isinstance(error, RequestEntityTooLarge) else "http"
        response = _problem(error.code or 500, code, error.description or error.name)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response
    flask.current_app.logger.error("a fault of ours", exc_info=error)
    return _problem(500, "internal", "a fault of ours; what was acknowledged is saved")


def _store() -> SessionStore:
    store: SessionStore = flask.current_app.extensions["stepkeep"]
    return store


def _change(user_id: str, command: Save | Update) -> flask.Response:
    store = _store()
    key = store.meant_key(user_id, _survey())
    if flask.request.headers.get("If-Match", "").strip() == "*" and store.load(key) is None:
        raise VersionConflict(1, 0)
    outcome = store.submit_or_raise(key, command)
    response = _session(Snapshot(key=key, state=outcome.state, survey=outcome.survey))
    if outcome.version == 1 and not outcome.duplicate:
        response.status_code = 201
    return response


def _answer(store: SessionStore, key: SessionKey, command: AnyCommand) -> flask.Response:
    if not isinstance(command, Begin) and key.survey_id in store.catalogue.surveys:
        store.begin(key, is_audio_mode=False)
        command = replace(command, at=store.clock())  # nothing happens to a session before it began
    result = store.submit(key, command)
    at = store.clock()
    message_id = command.message_id or ""
    if isinstance(result, Outcome):
        snapshot = Snapshot(key=key, state=result.state, survey=result.survey)
        return _json(messages.ack(message_id, result.version, snapshot, at, duplicate=result.duplicate))
    if result.state is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    snapshot = Snapshot(key=key, state=result.state, survey=result.survey)
    refused = result.rejection
    if refused.code == "unchanged":  # a draft that is kept already
        return _json(messages.ack(message_id, result.state.version, snapshot, at, duplicate=True))
    return _problem(409, refused.code, refused.message, id=message_id, step=snapshot.step)


def _json(value: Mapping[str, Any], status: int = 200) -> flask.Response:
    return flask.Response(exact_json.encode(value), status, mimetype="application/json")


def _problem(status: int, code: str, detail: str, **extra: object) -> flask.Response:
    body = {
        "type": "about:blank",
        "title": detail.split(":", maxsplit=1)[0][:120],
        "status": status,
        "detail": detail,
        "code": code,
        "success": False,
        **extra,
    }
    response = flask.Response(exact_json.encode(body), status, mimetype="application/problem+json")
    if status == 503:  # noqa: PLR2004 - RFC 9110, 15.6.4
        response.headers["Retry-After"] = "5"
    return response


def _session(snapshot: Snapshot) -> flask.Response:
    response = _json({"success": True, "session": _shown(snapshot)})
    response.set_etag(str(snapshot.state.version))
    response.headers["Cache-Control"] = "no-store"
    return response


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    state = snapshot.state
    return {
        **snapshot.shown(_store().clock()),
        "version": state.version,
        "progress": snapshot.progress,
        "created_at": _time(state.started_at),
        "updated_at": _time(state.updated_at),
        "completed_at": None if state.completed_at is None else _time(state.completed_at),
    }


def _event(entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "version": entry.version,
        "action": record.action,
        "step": record.step,
        "answer": record.answer,
        "timestamp": _time(record.at),
        "message_id": entry.message_id,
        "data": record.data,
    }


def _time(at: int) -> str:
    moment = datetime.datetime.fromtimestamp(at // 1_000_000, datetime.UTC)
    return moment.replace(microsecond=at % 1_000_000).isoformat(timespec="microseconds")


def _survey() -> str | None:
    return flask.request.args.get("survey")


def _body(allowed: frozenset[str] | None) -> dict[str, Any]:
    body = exact_json.decode(flask.request.get_data(), "body")
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object")
    unknown = sorted(body.keys() - allowed) if allowed is not None else []
    if unknown:
        raise InvalidInput(f"a session has no {', '.join(unknown)[:200]}")
    return body


def _idempotency_key() -> str | None:
    key = flask.request.headers.get("Idempotency-Key")
    if key is not None:
        if not 1 <= len(key) <= 64:  # noqa: PLR2004 - as a message's id
            raise InvalidInput("Idempotency-Key must have 1 to 64 characters")
        exact_json.check(key, "Idempotency-Key")
    return key


def _expected_version() -> int | None:
    header = flask.request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 16:  # noqa: PLR2004 - digits of 2^53
        raise InvalidInput('If-Match must be a version as ETag gives it, e.g. "5"')
    return int(text)


def _whole_number(name: str, default: int | None, *, low: int, high: int = 2**53) -> int | None:
    text = flask.request.args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not low <= int(text) <= high:  # noqa: PLR2004
        raise InvalidInput(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def _limit() -> int:
    return _whole_number("limit", 100, low=1, high=MAX_LIMIT) or MAX_LIMIT


def _updated_since() -> int | None:
    text = flask.request.args.get("updated_since")
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text.replace(" ", "+"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        since_1970 = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise InvalidInput("updated_since must be a time as 2026-11-23T10:00:00Z") from None
    return max(0, since_1970 // datetime.timedelta(microseconds=1))


def _cursor() -> Cursor | None:
    text = flask.request.args.get("after")
    if text is None:
        return None
    try:
        parts = base64.urlsafe_b64decode(text.encode("ascii")).decode().split("\n")
        if len(parts) == 3:  # noqa: PLR2004 - an event: its time and its id behind nothing
            at, number = (min(max(0, int(part)), exact_json.MAX_INTEGER) for part in parts[1:])
            return Cursor(event=(at, number))
        user_id, survey_id = parts
        exact_json.check([user_id, survey_id], "after")
        return Cursor(user_id, survey_id)
    except (UnicodeError, binascii.Error, ValueError):
        raise InvalidInput("after must be the `next` of the page before") from None


def _cursor_text(cursor: Cursor) -> str:
    parts = (cursor.user_id, cursor.survey_id) if cursor.event is None else ("", *map(str, cursor.event))
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode()
