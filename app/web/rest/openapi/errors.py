"""Errors in the OpenAPI document."""

from typing import Any

from .strict_json_schema import REFERENCE

CODES: dict[int, tuple[str, ...]] = {
    400: ("invalid_json", "http"),
    401: ("unauthorized",),
    403: ("forbidden",),
    404: ("not_found", "no_such_session", "no_such_survey", "no_such_version", "no_such_webhook", "http"),
    405: ("http",),
    409: (
        "message_id_reused",
        "participant_conflict",
        "not_current",
        "invalid_answer",
        "required",
        "at_start",
        "completed",
        "expired",
    ),
    412: ("version_conflict",),
    413: ("too_large",),
    422: ("invalid_input", "invalid_user_id"),
    429: ("rate_limited",),
    500: ("internal", "session_unreadable", "database_refused"),
    503: (
        "unavailable",
        "overloaded",
        "missing_key",
        "erasure_journal_unavailable",
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
    409: "The survey's rules, a reused message id, or another participant's cookie conflict with the request",
    412: "The session is at another version than `If-Match`",
    413: "The body is too large",
    422: "Invalid input",
    429: "Too many requests",
    500: "Internal server error; acknowledged answers are saved",
    503: "Unavailable, try again later; nothing was acknowledged",
}

_RETRY = {
    "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}, "required": True},
}
_PROBLEM_HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {"description": "RFC 6750", "schema": {"const": "Bearer"}, "required": True},
    },
    405: {
        "Allow": {"description": "methods, separated by commas", "schema": {"type": "string"}, "required": True},
    },
    429: _RETRY,
    503: _RETRY,
}


def error_response(status: int) -> dict[str, Any]:
    """Return a status's OpenAPI response."""
    only = {"properties": {"status": {"const": status}, "code": {"enum": list(CODES[status])}}}
    return {
        "description": f"{_MEANINGS[status]} ({', '.join(CODES[status])})",
        "headers": _PROBLEM_HEADERS.get(status, {}),
        "content": {
            "application/problem+json": {"schema": {"allOf": [{"$ref": REFERENCE.format(model="Problem")}, only]}}
        },
    }
