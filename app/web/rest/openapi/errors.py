"""How the OpenAPI document tells of errors: the statuses, the codes that each may have, and their headers."""

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
        "other_visit",
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
    500: ("internal", "session_unreadable", "refused_by_database"),
    503: (
        "unavailable",
        "overloaded",
        "answers_locked",
        "erasure_not_listed",
        "configuration",
        "schema_mismatch",
        "store_in_use",
    ),
}
"""The kinds of errors by status."""

_MEANINGS = {
    400: "Not JSON that all can hold exactly, or not for this server",
    401: "Credentials that hold are needed",
    403: "Not his to do, or asked for by a page of another site",
    404: "There is no such thing",
    405: "The address knows other methods, which Allow names",
    409: "The survey's rules refuse it, the message id was used for another command, or somebody else is here",
    412: "The session is at another version",
    413: "The body is too large",
    422: "Not valid",
    429: "Too much in too short a time",
    500: "A fault of ours; what was acknowledged is saved",
    503: "It may work later; nothing was acknowledged",
}

_RETRY = {
    "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}, "required": True},
}
_PROBLEM_HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {"description": "RFC 6750", "schema": {"const": "Bearer"}, "required": True},
    },
    405: {
        "Allow": {"description": "methods, by commas", "schema": {"type": "string"}, "required": True},
    },
    429: _RETRY,
    503: _RETRY,
}


def refusal(status: int) -> dict[str, Any]:
    """Return the response of a status at which all is refused, as it stands in the document."""
    only = {"properties": {"status": {"const": status}, "code": {"enum": list(CODES[status])}}}
    return {
        "description": f"{_MEANINGS[status]} ({', '.join(CODES[status])})",
        "headers": _PROBLEM_HEADERS.get(status, {}),
        "content": {
            "application/problem+json": {"schema": {"allOf": [{"$ref": REFERENCE.format(model="Problem")}, only]}}
        },
    }
