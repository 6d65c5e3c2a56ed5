"""The OpenAPI 3.1 document, from the views' declarations."""

import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ....access import SCOPES
from ....operations.webhooks import ID_PATTERN
from ..models import Problem
from .errors import CODES, error_response
from .operation import COMMAND, Operation, Resource
from .parameters import SURVEY_ID, USER_ID, path_id
from .strict_json_schema import JSON_SCHEMAS, REFERENCE, client_message

VERSION = "0.1.0"
"""As in pyproject.toml."""

_PATH_PARAMETERS = (USER_ID, SURVEY_ID, path_id("webhook_id", "the webhook", ID_PATTERN, "wh_0123456789abcdef"))

_SECURITY_SCHEMES = {
    "ApiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "stepkeep_<id>_<secret>",
        "description": f"An integrator's key. Its scopes are some of: {', '.join(SCOPES)}.",
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
        "description": "The same in a browser, one cookie a survey, e.g. `__Host-stepkeep.phq9`; without `__Host-` in "
        "development. Requests that change something are accepted from this server's pages only.",
    },
    "SignIn": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-stepkeep-sign-in",
        "description": "A dashboard sign-in with an API key, with the key's scopes.",
    },
}


def build_document(resources: Iterable[Resource]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Operation]] = {}
    for resource in resources:
        for (method, rule), operation in resource.operations.items():
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stepkeep",
            "version": VERSION,
            "description": "A survey server that keeps every answer. Errors are problem details (RFC 9457) with a "
            "`code`. Methods that a path does not support get 405 and `Allow`.",
        },
        "servers": [{"url": "/"}],
        "paths": {path: _path(path, operations) for path, operations in paths.items()},
        "components": {
            "schemas": _schemas([each for operations in paths.values() for each in operations.values()]),
            "responses": {str(status): error_response(status) for status in CODES},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _path(path: str, operations: dict[str, Operation]) -> dict[str, Any]:
    words = [word for word in path.split("/") if word not in {"", "api"} and not word.startswith("{")]
    item: dict[str, Any] = {
        method: operation.document("_".join([method, *words])) for method, operation in operations.items()
    }
    parameters = [each.document() for each in _PATH_PARAMETERS if f"{{{each.name}}}" in path]
    return {**item, "parameters": parameters} if parameters else item


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    models: dict[type[BaseModel], Literal["validation"]] = {Problem: "validation"}
    for operation in operations:
        models.update(dict.fromkeys(operation.models(), "validation"))
    _, schemas = models_json_schema(list(models.items()), ref_template=REFERENCE)
    command = client_message()
    definitions: dict[str, Any] = {**JSON_SCHEMAS, **command.pop("$defs"), **schemas["$defs"], COMMAND: command}
    for operation in operations:
        if isinstance(operation.request, type):
            _require_strict_json(definitions[operation.request.__name__])
    return definitions


def _require_strict_json(schema: dict[str, Any]) -> None:
    for name, field in schema["properties"].items():
        reference = {"$ref": REFERENCE.format(model="JsonObject")}
        if field.get("additionalProperties") is True:
            schema["properties"][name] = reference
        elif "anyOf" in field and any(each.get("additionalProperties") is True for each in field["anyOf"]):
            schema["properties"][name] = {"anyOf": [reference, {"type": "null"}]}
