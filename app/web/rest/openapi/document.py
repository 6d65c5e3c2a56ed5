"""The OpenAPI 3.1 document of the REST door, made of the models.

Nobody needs it to be served, so it tells only what holds: a test sends what it allows and forbids to every operation,
and another looks for each route and each error code here.
"""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from ....access.principals import SCOPES
from ... import webhook_messages
from ...export_messages import EXPORT_ANSWERS
from ...openapi_export import EXPORT_OPERATIONS
from ...openapi_webhooks import WEBHOOK_ID, WEBHOOK_MODELS_WITHOUT_DEFAULTS, WEBHOOK_OPERATIONS
from ...ws.asyncapi import AckSent, PongSent
from ..models import ANSWERS, BODIES
from . import operation as parts
from .errors import CODES, refusal
from .operation import Operation
from .strict_json_schema import JSON_SCHEMAS, REFERENCE, client_message

VERSION = "0.1.0"
"""The program's, as in pyproject.toml."""

_SECURITY_SCHEMES = {
    "ApiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "stepkeep_<id>_<secret>",
        "description": f"An integrator's key. The roles are scopes: {', '.join(SCOPES)}.",
    },
    "ResumeToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A participant's token: for the one session that it names.",
    },
    "ResumeCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-stepkeep.{survey}",
        "description": "The same in a browser, one cookie a survey, e.g. `__Host-stepkeep.phq9`; without `__Host-` in "
        "development. What changes something is taken from pages of the server's own only.",
    },
    "SignIn": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-stepkeep-sign-in",
        "description": "A sign-in with an API key, for the dashboard; it may do what the key may.",
    },
}

_BASIC = (400, 500)
_OPEN = (*_BASIC, 429, 503)
_GUARDED = (*_OPEN, 401, 403)

_STATE = {"current_step": "Q2", "answers": {"Q1": 1}, "step_history": ["Q1"]}
_COMMAND = {"type": "answer", "id": "7f9c", "step": "Q1", "value": 1}


def _integrator(scope: str) -> dict[str, str | None]:
    return {"ApiKey": scope, "SignIn": scope}


def _own(scope: str) -> dict[str, str | None]:
    return {"ApiKey": scope, "ResumeToken": None, "ResumeCookie": None, "SignIn": scope}


def _anybody(scope: str) -> dict[str, str | None]:
    return {"nobody": None, **_own(scope)}


_SESSION = {
    "get": Operation(
        does="The session",
        answers={200: "SessionAnswer"},
        headers=parts.ETAG,
        needs=_own("sessions:read"),
        parameters=(parts.SURVEY, parts.AT_VERSION),
        refuses=(*_GUARDED, 404, 422),
    ),
    "put": Operation(
        does="Make this the whole state",
        answers={200: "SessionAnswer", 201: "SessionAnswer"},
        headers=parts.ETAG,
        needs=_integrator("sessions:write"),
        parameters=(parts.SURVEY, parts.IF_MATCH, parts.IDEMPOTENCY_KEY),
        body="WholeState",
        example=_STATE,
        refuses=(*_GUARDED, 404, 409, 412, 413, 422),
    ),
    "patch": Operation(
        does="Change some of the state",
        answers={200: "SessionAnswer"},
        headers=parts.ETAG,
        needs=_integrator("sessions:write"),
        parameters=(parts.SURVEY, parts.IF_MATCH, parts.IDEMPOTENCY_KEY),
        body="SomeState",
        example={"is_audio_mode": True},
        refuses=(*_GUARDED, 404, 409, 412, 413, 422),
    ),
    "delete": Operation(
        does="Erase the session and its history",
        answers={200: "Done"},
        needs=_integrator("sessions:write"),
        parameters=(parts.SURVEY,),
        refuses=(*_GUARDED, 404, 422),
    ),
}

_OPERATIONS: dict[str, dict[str, Operation]] = {
    "/api/session/{user_id}": _SESSION,
    "/api/session/{user_id}/commands": {
        "post": Operation(
            does="Do one command of the WebSocket",
            says="A session begins where there is none. A participant that the survey's rules refuse something gets "
            "409 with the code of the WebSocket's `reject`.",
            answers={200: ("AckSent", "PongSent")},
            needs=_own("sessions:write"),
            parameters=(parts.SURVEY, parts.COMMAND_KEY),
            body="Command",
            example=_COMMAND,
            refuses=(*_GUARDED, 404, 409, 413, 422),
        )
    },
    "/api/session/{user_id}/history": {
        "get": Operation(
            does="Its events, oldest first",
            answers={200: "HistoryPage"},
            needs=_own("sessions:read"),
            parameters=(parts.SURVEY, parts.AFTER_VERSION, parts.LIMIT),
            refuses=(*_GUARDED, 404, 422),
        )
    },
    "/api/session/{user_id}/link": {
        "post": Operation(
            does="A link to go on with another device",
            answers={200: "LinkMade"},
            needs=_own("sessions:write"),
            parameters=(parts.SURVEY,),
            body="LinkAsked",
            body_is_optional=True,
            example={"hours": 24},
            refuses=(*_GUARDED, 404, 413, 422),
        )
    },
    "/api/session/{user_id}/tokens": {
        "delete": Operation(
            does="Revoke all tokens and links of the session",
            says="On all devices; a browser that asks with its cookie goes on with a new one.",
            answers={200: "Done"},
            headers=parts.SET_COOKIE,
            needs=_own("sessions:write"),
            parameters=(parts.SURVEY,),
            refuses=(*_GUARDED, 404, 422),
        )
    },
    "/api/session/{user_id}/export": {
        "get": Operation(
            does="All that is known of a participant",
            says="In this survey, or with a key and no `survey` in all of them. Of whom nothing is known the lists "
            "are empty.",
            answers={200: "Export"},
            headers=parts.ATTACHED,
            needs=_own("export"),
            parameters=(parts.SURVEY,),
            refuses=(*_GUARDED, 404, 422),
        )
    },
    "/api/sessions": {
        "get": Operation(
            does="Sessions",
            answers={200: "SessionPage"},
            needs=_integrator("sessions:read"),
            parameters=(
                parts.ONE_SURVEY,
                parts.STATUS,
                parts.UPDATED_SINCE,
                parts.STEP,
                parts.USER_ID_PREFIX,
                parts.AFTER,
                parts.LIMIT,
            ),
            refuses=(*_GUARDED, 422),
        )
    },
    "/api/surveys": {
        "get": Operation(
            does="The surveys",
            says="Closed ones are named to those alone who may see all sessions.",
            answers={200: "SurveyList"},
            needs=_anybody("sessions:read"),
            refuses=(*_OPEN, 401),
        )
    },
    "/api/surveys/{survey_id}": {
        "get": Operation(
            does="One survey",
            answers={200: "SurveyAnswer"},
            needs=_anybody("sessions:read"),
            refuses=(*_OPEN, 401, 404),
        )
    },
    "/api/surveys/{survey_id}/participants": {
        "post": Operation(
            does="A new participant's id and token",
            says="Anybody may ask for one of a public survey, without a body. Who may write sessions invites to "
            "closed ones too, and may say the `user_id` and the hours. The session begins when he comes.",
            answers={201: "ParticipantMade"},
            needs={"nobody": None, **_integrator("sessions:write")},
            body="Invitation",
            body_is_optional=True,
            example={"hours": 24},
            refuses=(*_GUARDED, 404, 413, 422),
        )
    },
    "/api/surveys/{survey_id}/analytics": {
        "get": Operation(
            does="A survey's figures",
            says="How many came, where they stopped, how long it took and what was answered; of sessions as they are "
            "now, by their last walk. Never a name or a text. They may be some seconds old: `computed_at` says when.",
            answers={200: "Analytics"},
            needs=_integrator("sessions:read"),
            parameters=(parts.SINCE, parts.UNTIL, parts.MODE, parts.REVISION, parts.STATUS),
            refuses=(*_GUARDED, 404, 422),
        )
    },
    "/api/audit": {
        "get": Operation(
            does="Who read, exported or erased what, newest first",
            answers={200: "AuditPage"},
            needs=_integrator("admin"),
            parameters=(parts.AFTER_ENTRY, parts.LIMIT),
            refuses=(*_GUARDED, 422),
        )
    },
    **EXPORT_OPERATIONS,
    **WEBHOOK_OPERATIONS,
    "/resume": {
        "post": Operation(
            does="Put the token of a link into the browser's cookie",
            says="Where another participant of the survey is under way in this browser, only with `replace`.",
            answers={200: "Resumed"},
            headers={"Set-Cookie": {**parts.SET_COOKIE["Set-Cookie"], "required": True}},
            body="TokenShown",
            refuses=(*_GUARDED, 409, 413, 422),
        )
    },
    "/leave": {
        "post": Operation(
            does="Take the survey's cookie out of this browser",
            answers={200: "Done"},
            headers={"Set-Cookie": {**parts.SET_COOKIE["Set-Cookie"], "required": True}},
            parameters=(parts.LEFT_SURVEY,),
            refuses=(*_OPEN, 403, 422),
        )
    },
    "/metrics": {
        "get": Operation(
            does="All figures, for Prometheus",
            says="Of all server processes that share a folder (STEPKEEP_METRICS_DIR).",
            answers={200: "Metrics"},
            media="text/plain",
            needs=_integrator("metrics"),
            refuses=_GUARDED,
        )
    },
    "/healthz": {"get": Operation(does="Alive", answers={200: "Alive"}, refuses=_BASIC)},
    "/readyz": {"get": Operation(does="Ready for participants", answers={200: "Ready"}, refuses=(*_BASIC, 503))},
}


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document; the same object each time, not to be changed."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stepkeep",
            "version": VERSION,
            "description": "Keeps a person's place in a survey. Errors are problem details (RFC 9457), each kind with "
            "a `code` of its own. A method that an address does not know is answered with 405 and `Allow`.",
        },
        "servers": [{"url": "/"}],
        "paths": {path: _path(path, operations) for path, operations in _OPERATIONS.items()},
        "components": {
            "schemas": _schemas(),
            "responses": {str(status): refusal(status) for status in CODES},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _path(path: str, operations: dict[str, Operation]) -> dict[str, Any]:
    words = [word for word in path.split("/") if word not in {"", "api"} and not word.startswith("{")]
    made: dict[str, Any] = {
        method: operation.document("_".join([method, *words])) for method, operation in operations.items()
    }
    found = [one for one in (parts.USER_ID, parts.SURVEY_ID, WEBHOOK_ID) if f"{{{one['name']}}}" in path]
    return {**made, "parameters": found} if found else made


def _schemas() -> dict[str, Any]:
    """Return the models, what comes in held to the gate for JSON; of what may be left out no default is told."""
    _, answers = models_json_schema([(model, "serialization") for model in (AckSent, PongSent)], ref_template=REFERENCE)
    models = (*ANSWERS, *BODIES, *webhook_messages.ANSWERS, *webhook_messages.BODIES, *EXPORT_ANSWERS)
    _, rest = models_json_schema([(model, "validation") for model in models], ref_template=REFERENCE)
    command = client_message()
    made: dict[str, Any] = {**JSON_SCHEMAS, **answers["$defs"], **command.pop("$defs"), **rest["$defs"]}
    held = {"$ref": REFERENCE.format(model="JsonObject")}
    for name in ("WholeState", "SomeState"):
        made[name]["properties"]["answers"] = held
        made[name]["properties"]["session_data"] = {"anyOf": [held, {"type": "null"}]}
    for name in ("SomeState", "Invitation", "LinkAsked", "Problem", *WEBHOOK_MODELS_WITHOUT_DEFAULTS):
        for field in made[name]["properties"].values():
            field.pop("default", None)
    return {**made, "Command": command}
