"""What a REST request says, each part checked: the survey, the body, headers, and where in a list it goes on."""

import base64
import binascii
import re
from typing import Any

import flask

from ...core import strict_json
from ...core.timestamps import parse_timestamp
from ...errors import InvalidInput
from ...sessions import Cursor

MAX_LIMIT = 1000
"""Entries of one page of a list."""

IDEMPOTENCY_KEY_PATTERN = r"^[!-~]([ -~]{0,62}[!-~])?$"
"""A message's id in a header: of other than ASCII HTTP says nothing, and servers read it in different ways."""

IF_MATCH_PATTERN = r'^(\*|(W/)?("[0-9]{1,16}"|[0-9]{1,16}))$'
"""A version as ETag gives it, with 2^53's digits at most; W/ is what some proxies put before it."""

BODY_DEPTH = strict_json.MAX_DEPTH + 4
"""Nested containers of a body: a value and, e.g., {"answers": {"S1": value}}."""

CURSOR_PATTERN = r"^[A-Za-z0-9_=-]+$"
"""Base64 for addresses (RFC 4648, 5)."""


def survey_id() -> str | None:
    """Return the survey that the request names."""
    return flask.request.args.get("survey")


def check_arguments(*known: str) -> None:
    """Refuse a parameter that is not known: where a filter is misspelt, everything would be shown."""
    unknown = sorted(flask.request.args.keys() - set(known))
    if unknown:
        raise InvalidInput(f"there is no parameter {unknown[0][:100]!r} here; there are {', '.join(known)}")


def body(allowed: frozenset[str] | None, max_depth: int = BODY_DEPTH) -> dict[str, Any]:
    """Return the body, a JSON object with no other fields than those allowed (None: any)."""
    found = strict_json.decode(flask.request.get_data(), "body", max_depth)
    if not isinstance(found, dict):
        raise InvalidInput("the body must be a JSON object")
    unknown = sorted(found.keys() - allowed) if allowed is not None else []
    if unknown:
        raise InvalidInput(f"the body has no field {', '.join(unknown)[:200]}")
    return found


def idempotency_key() -> str | None:
    """Return the message id of the header."""
    key = flask.request.headers.get("Idempotency-Key")
    if key is not None and re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key) is None:
        raise InvalidInput("Idempotency-Key must have 1 to 64 characters of printable ASCII")
    return key


def expected_version() -> int | None:
    """Return the version that the change is to hold for."""
    header = flask.request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    if re.fullmatch(IF_MATCH_PATTERN, header.strip()) is None:
        raise InvalidInput('If-Match must be a version as ETag gives it, e.g. "5"')
    return int(header.strip().removeprefix("W/").strip('"'))


def whole_number(name: str, default: int | None, *, low: int, high: int = 2**53) -> int | None:
    """Return a number of the query."""
    text = flask.request.args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not low <= int(text) <= high:  # noqa: PLR2004
        raise InvalidInput(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def limit() -> int:
    """Return how many entries a page is to have."""
    return whole_number("limit", 100, low=1, high=MAX_LIMIT) or MAX_LIMIT


def updated_since() -> int | None:
    """Return the time of the query, microseconds since 1970 UTC."""
    text = flask.request.args.get("updated_since")
    return None if text is None else parse_timestamp(text, "updated_since")


def cursor() -> Cursor | None:
    """Return where the page begins."""
    text = flask.request.args.get("after")
    if text is None:
        return None
    try:
        parts = _decoded(text).split("\n")
        if len(parts) == 3:  # noqa: PLR2004 - an event: its time and its id behind nothing
            at, number = (min(max(0, int(part)), strict_json.MAX_INTEGER) for part in parts[1:])
            return Cursor(event=(at, number))
        user_id, survey_id = parts
        strict_json.check([user_id, survey_id], "after")
        return Cursor(user_id, survey_id)
    except (UnicodeError, binascii.Error, ValueError):
        raise InvalidInput("after must be the `next` of the page before") from None


def cursor_text(cursor: Cursor) -> str:
    """Return the cursor as the ``after`` of the next page."""
    parts = (cursor.user_id, cursor.survey_id) if cursor.event is None else ("", *map(str, cursor.event))
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode()


def _decoded(cursor: str) -> str:
    if re.fullmatch(CURSOR_PATTERN, cursor) is None:  # Python would leave out what is no base64
        raise ValueError("not base64")
    return base64.urlsafe_b64decode(cursor).decode()
