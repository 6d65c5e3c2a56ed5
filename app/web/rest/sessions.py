"""REST (docs/protocol.md): sessions, their history, surveys, health."""

from dataclasses import replace
from typing import Any

import flask

from ...access.principals import Participant, require_scope
from ...core import strict_json
from ...errors import Forbidden, InvalidInput, NoSuchSession, NoSuchSurvey, Unauthorized, VersionConflict
from ...sessions import SessionStore
from ...survey import AnyCommand, Begin, Save, SessionKey, Snapshot, Update, survey_json_schema
from ...writer import Committed
from ..authorization import authorize_all, authorize_session, may_see_internals
from ..context import app_context, authenticator, store
from ..ws import messages
from ..ws.asyncapi import asyncapi_document
from . import requests
from .openapi.document import openapi_document
from .responses import json_response, problem

api = flask.Blueprint("api", __name__)

_FIELDS = frozenset({"current_step", "answers", "step_history", "is_audio_mode", "session_data"})
_STATUSES = frozenset({"in_progress", "completed", "expired"})


@api.get("/api/session/<path:user_id>")
def get_session(user_id: str) -> flask.Response:
    """The session, or as it was at a version."""
    key = authorize_session(user_id, "sessions:read", "session_read", "at_version")
    version = requests.whole_number("at_version", None, low=1)
    snapshot = store().queries.load(key) if version is None else store().queries.at_version(key, version)
    if snapshot is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    return _session(snapshot)


@api.put("/api/session/<path:user_id>")
def put_session(user_id: str) -> flask.Response:
    """Make the body the whole state."""
    key = authorize_session(user_id, "sessions:write", "session_written")
    body = requests.body(_FIELDS)
    missing = [name for name in ("current_step", "answers", "step_history") if name not in body]
    if missing:
        raise InvalidInput(f"a whole state needs {', '.join(missing)} too")
    path = body["step_history"]
    command = Save(
        at=store().clock(),
        message_id=requests.idempotency_key(),
        expected_version=requests.expected_version(),
        current_step=body["current_step"],
        answers=body["answers"],
        step_history=tuple(path) if isinstance(path, list) else path,
        is_audio_mode=body.get("is_audio_mode", False),
        session_data=body.get("session_data"),
    )
    return _change(key, command)


@api.patch("/api/session/<path:user_id>")
def patch_session(user_id: str) -> flask.Response:
    """Change the fields of the state that the body has."""
    key = authorize_session(user_id, "sessions:write", "session_written")
    changes = requests.body(_FIELDS)
    if isinstance(changes.get("step_history"), list):
        changes["step_history"] = tuple(changes["step_history"])
    command = Update(
        at=store().clock(),
        message_id=requests.idempotency_key(),
        expected_version=requests.expected_version(),
        changes=changes,
    )
    return _change(key, command)


@api.delete("/api/session/<path:user_id>")
def delete_session(user_id: str) -> flask.Response:
    """Erase the session and its history."""
    key = authorize_session(user_id, "sessions:write", "session_erased")
    was_there = store().erasure.delete(key)
    authenticator().credentials.revocations.add_tokens(key, store().clock())
    if not was_there:
        raise NoSuchSession(key.survey_id, key.user_id)
    return json_response({"success": True})


@api.post("/api/session/<path:user_id>/commands")
def post_command(user_id: str) -> flask.Response:
    """Do one command of the WebSocket; a session begins where there is none."""
    key = authorize_session(user_id, "sessions:write", "session_written", own=True)
    body = requests.body(None, messages.VALUE_DEPTH)
    header = requests.idempotency_key()
    if header is not None and body.get("type") != "draft":
        if body.get("id", header) != header:
            raise InvalidInput("the body's id and Idempotency-Key differ")
        body["id"] = header
    try:
        command = messages.to_command(messages.parse_value(body), store().clock())
    except messages.BadMessage as bad:
        more = "; a command has its id in the body, or as Idempotency-Key" if bad.message.startswith("id:") else ""
        raise InvalidInput(bad.message + more) from bad
    if command is None:
        return json_response({"type": "pong"})
    return _answer(store(), key, command)


@api.get("/api/session/<path:user_id>/history")
def get_history(user_id: str) -> flask.Response:
    """The session's events, oldest first, a page at a time."""
    key = authorize_session(user_id, "sessions:read", "history_read", "after", "limit")
    if store().queries.load(key) is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    limit = requests.limit()
    after = requests.whole_number("after", 0, low=0) or 0
    entries = store().queries.history(key, after_version=after, limit=limit)
    more = entries[-1].version if len(entries) == limit else None
    return json_response({"success": True, "events": [entry.to_dict() for entry in entries], "next": more})


@api.get("/api/sessions")
def list_sessions() -> flask.Response:
    """Sessions a page at a time, in the order of their keys, or of their last change with updated_since."""
    authorize_all("sessions:read", "sessions_listed")
    requests.check_arguments("survey", "status", "updated_since", "step", "user_id_prefix", "after", "limit")
    limit = requests.limit()
    arguments = flask.request.args
    filters: dict[str, Any] = {}
    if "status" in arguments:
        if arguments["status"] not in _STATUSES:
            raise InvalidInput(f"status must be one of {', '.join(sorted(_STATUSES))}")
        filters["status"] = arguments["status"]
    if "survey" in arguments:
        filters["survey_id"] = store().queries.survey_id(arguments["survey"])
    if "step" in arguments:
        strict_json.check(arguments["step"], "step")
        filters["current_step"] = arguments["step"]
    if "user_id_prefix" in arguments:
        filters["user_id_prefix"] = store().queries.key(arguments["user_id_prefix"]).user_id
    found, last = store().queries.list(
        after=requests.cursor(), limit=limit, filters=filters, updated_since=requests.updated_since()
    )
    more = None if last is None else requests.cursor_text(last)
    return json_response({"success": True, "sessions": [_shown(snapshot) for snapshot in found], "next": more})


@api.get("/api/surveys")
def list_surveys() -> flask.Response:
    """The surveys that are offered; closed ones to those alone who may see all sessions."""
    shows_all = _sees_closed_surveys()
    surveys = [one for one in store().catalogue.surveys.values() if shows_all or one.access == "public"]
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
    return json_response({"success": True, "surveys": listed})


@api.get("/api/surveys/<survey_id>")
def get_survey(survey_id: str) -> flask.Response:
    """One survey: its steps with defaults filled in; of their rules only what a client can go on with offline.

    Each step says where it ``leads_to`` whatever is answered (null where that depends on answers), and, by
    ``reads``, which other steps' answers decide where it leads (null: any).
    """
    survey = store().catalogue.survey(survey_id)
    if survey.access == "closed" and not _sees_closed_surveys(survey_id):
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    shown = survey.model_dump(mode="json", exclude={"steps"})
    graph = survey.graph
    steps = [
        {
            **(survey.client_step(step.id) or {}),
            "leads_to": graph.fixed_next_step(step.id),
            "reads": None if (read := graph.dependencies(step.id)) is None else sorted(read),
        }
        for step in survey.steps
    ]
    return json_response({"success": True, "survey": {**shown, "revision": survey.revision, "steps": steps}})


@api.get("/healthz")
def healthz() -> flask.Response:
    """Alive."""
    return json_response({"status": "ok"})


@api.get("/readyz")
def readyz() -> flask.Response:
    """Ready for participants; to whom it may be told, each check with what to do."""
    is_inside = may_see_internals("metrics", "admin")  # elsewhere versions and names are nobody's business
    health = app_context().health.run()
    checks = [check.to_dict() for check in health.checks]
    if (failing := health.failing) is not None:
        if not is_inside:
            return problem(503, failing.code, "the server is not ready; its log says why")
        return problem(503, failing.code, failing.hint or failing.name, checks=checks)
    inside = {**health.facts, "surveys": list(store().catalogue.surveys), "checks": checks} if is_inside else {}
    return json_response({"status": "ready", **inside})


@api.get("/openapi.json")
def get_openapi() -> flask.Response:
    """What this door offers, as OpenAPI 3.1."""
    return json_response(openapi_document())


@api.get("/asyncapi.json")
def get_asyncapi() -> flask.Response:
    """The WebSocket, as AsyncAPI 3.0."""
    return json_response(asyncapi_document())


@api.get("/survey.schema.json")
def get_survey_schema() -> flask.Response:
    """The JSON Schema of a survey file."""
    return json_response(survey_json_schema())


@api.get("/docs")
def docs() -> str:
    """The same, to read."""
    return flask.render_template("openapi.html", document=openapi_document())


def _change(key: SessionKey, command: Save | Update) -> flask.Response:
    if flask.request.headers.get("If-Match", "").strip() == "*" and store().queries.load(key) is None:
        raise VersionConflict(1, 0)
    outcome = store().turns.submit_or_raise(key, command)
    response = _session(outcome.snapshot)
    if outcome.version == 1 and not outcome.duplicate:
        response.status_code = 201
    return response


def _answer(sessions: SessionStore, key: SessionKey, command: AnyCommand) -> flask.Response:
    if not isinstance(command, Begin) and key.survey_id in sessions.catalogue.surveys:
        sessions.turns.get_or_create(key, is_audio_mode=False)
        command = replace(command, at=sessions.clock())  # nothing happens to a session before it began
    result = sessions.turns.submit(key, command)
    at = sessions.clock()
    message_id = command.message_id or ""
    if isinstance(result, Committed):
        return json_response(messages.ack(message_id, result.version, result.snapshot, at, duplicate=result.duplicate))
    snapshot = result.snapshot
    if snapshot is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    refused = result.rejection
    if refused.code == "unchanged":  # a draft that is kept already
        return json_response(messages.ack(message_id, snapshot.state.version, snapshot, at, duplicate=True))
    return problem(409, refused.code, refused.message, id=message_id, step=snapshot.step)


def _session(snapshot: Snapshot) -> flask.Response:
    response = json_response({"success": True, "session": _shown(snapshot)})
    response.set_etag(str(snapshot.state.version))
    return response


def _sees_closed_surveys(survey_id: str | None = None) -> bool:
    """Return whether who asks was invited to the survey, or may see all sessions."""
    who = authenticator().principal(None if survey_id is None else SessionKey(survey_id, ""))
    if isinstance(who, Participant):
        return who.key.survey_id == survey_id
    try:
        require_scope(who, "sessions:read")
    except (Unauthorized, Forbidden):
        return False
    return True


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    return {**snapshot.to_full_dict(store().clock()), "progress": snapshot.progress}
