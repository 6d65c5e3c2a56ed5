"""The OpenAPI 3.1 document, from the views' declarations."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ....access import SCOPES
from ....core.installation import __version__
from ...ws.messages import RejectCode
from ..models import Problem
from ..webhook_messages import MESSAGE_MODELS, webhooks_document
from .operation import COMMAND, Operation, Resource
from .parameters import SURVEY_ID, USER_ID, WEBHOOK_ID, header
from .schemas import JSON_SCHEMAS, REFERENCE, client_message

CODES: dict[int, tuple[str, ...]] = {
    400: ("invalid_json", "http"),
    401: ("unauthorized",),
    403: ("forbidden",),
    404: ("not_found", "no_such_session", "no_such_survey", "no_such_version", "no_such_webhook", "http"),
    405: ("http",),
    409: (
        "message_id_reused",
        "participant_conflict",
        "link_unconfirmed",
        "link_used",
        "quota",
        *get_args(RejectCode),
    ),
    412: ("version_conflict",),
    413: ("too_large",),
    415: ("http",),
    422: ("invalid_input", "invalid_user_id"),
    429: ("rate_limited", "too_many_participants"),
    500: ("internal", "session_unreadable", "database_refused"),
    503: (
        "unavailable",
        "overloaded",
        "missing_key",
        "other_release",
        "erasure_journal_unavailable",
        "storage_low",
        "configuration",
        "schema_mismatch",
        "store_in_use",
    ),
}

_MEANINGS = {
    400: "Invalid JSON, or the `Host` of another server",
    401: "Valid credentials are required",
    403: "The credentials lack permission, or the request came from another origin",
    404: "Not found",
    405: "The method is not allowed; Allow has those that are",
    409: "The survey's rules, a reused message id, a full session, or another participant's cookie conflict with the "
    "request",
    412: "The session is at another version than `If-Match`",
    413: "The body is too large",
    415: "The body is compressed",
    422: "Invalid input",
    429: "Too many requests",
    500: "Internal server error; acknowledged answers are saved",
    503: "Unavailable, try again later; nothing was acknowledged",
}

_RETRY = header("Retry-After", "seconds", {"type": "integer", "minimum": 0})
_PROBLEM_HEADERS = {
    401: header("WWW-Authenticate", "RFC 6750", {"const": "Bearer"}),
    405: header("Allow", "methods, separated by commas"),
    429: _RETRY,
    503: _RETRY,
}

_PATH_PARAMETERS = (USER_ID, SURVEY_ID, WEBHOOK_ID)

SECURITY_SCHEMES = {
    "ApiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "stepkeep_<id>_<secret>",
        "description": f"An API key. Possible scopes: {', '.join(SCOPES)}.",
    },
    "ResumeToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A participant's token, for one session.",
    },
    "ResumeCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-stepkeep.{survey}",
        "description": "A participant's token as a cookie, one per survey, e.g. `__Host-stepkeep.phq9`; with "
        "`__Secure-` below a prefix, and without either in development. With a cookie, writes are accepted from this "
        "server's pages only.",
    },
    "SignIn": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-stepkeep-sign-in",
        "description": "A sign-in to the dashboard. It has the scopes of the API key that was used.",
    },
}


def build_document(resources: Iterable[Resource]) -> dict[str, Any]:
    operations = [operation for resource in resources for operation in resource.operations.values()]
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        method, rule = operation.route.split()
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
        paths.setdefault(path, {})[method.lower()] = operation
    schemas = _schemas(operations)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stepkeep",
            "version": __version__,
            "description": "A survey server that never loses an answer. Errors are problem details (RFC 9457) with a "
            "`code`. Unsupported methods get 405 with `Allow`.",
        },
        "servers": [{"url": "/"}],
        "paths": {path: _path(path, methods, schemas) for path, methods in paths.items()},
        "webhooks": webhooks_document(),
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error_response(status) for status in CODES},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _error_response(status: int) -> dict[str, Any]:
    only = {"properties": {"status": {"const": status}, "code": {"enum": list(CODES[status])}}}
    schema = {"allOf": [{"$ref": REFERENCE.format(model="Problem")}, only]}
    return {
        "description": f"{_MEANINGS[status]} ({', '.join(CODES[status])})",
        "headers": _PROBLEM_HEADERS.get(status, {}),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _path(path: str, operations: dict[str, Operation], schemas: dict[str, Any]) -> dict[str, Any]:
    words = [word for word in path.split("/") if word not in {"", "api"} and not word.startswith("{")]
    if path.endswith("}"):
        words[-1] = words[-1].removesuffix("s")  # get_surveys lists them, get_survey returns one: ids are unique
    item: dict[str, Any] = {
        method: operation.document("_".join([method, *words]), schemas) for method, operation in operations.items()
    }
    parameters = [each.document() for each in _PATH_PARAMETERS if f"{{{each.name}}}" in path]
    return {**item, "parameters": parameters} if parameters else item


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    requests = [operation.request for operation in operations if isinstance(operation.request, type)]
    responses = [operation.response for operation in operations if operation.response is not None]
    models: list[type[BaseModel]] = [Problem, *MESSAGE_MODELS, *requests, *responses]
    _, schemas = models_json_schema([(model, "validation") for model in dict.fromkeys(models)], ref_template=REFERENCE)
    command = client_message()
    definitions: dict[str, Any] = {**JSON_SCHEMAS, **command.pop("$defs"), **schemas["$defs"], COMMAND: command}
    for request in requests:
        _require_strict_json(definitions[request.__name__])
    return definitions


def _require_strict_json(schema: dict[str, Any]) -> None:
    for name, field in schema["properties"].items():
        reference = {"$ref": REFERENCE.format(model="JsonObject")}
        if field.get("additionalProperties") is True:
            schema["properties"][name] = reference
        elif "anyOf" in field and any(each.get("additionalProperties") is True for each in field["anyOf"]):
            schema["properties"][name] = {"anyOf": [reference, {"type": "null"}]}
