"""Who calls a route, and the status that each gets."""

from collections.abc import Mapping

CALLERS = (
    "nobody",
    "no bearer",
    "nonsense",
    "nonsense key",
    "altered key",
    "key without the scope",
    "revoked key",
    "expired key",
    "another's token",
    "token of another survey",
    "expired token",
    "revoked token",
    "altered token",
    "key of another survey",
    "participant",
    "key of the survey",
    "key",
)
"""The credentials of a request; the last three are valid. A key of a survey is limited to it."""

INVALID = (
    "no bearer",
    "nonsense",
    "nonsense key",
    "altered key",
    "revoked key",
    "expired key",
    "expired token",
    "revoked token",
    "altered token",
)
"""Invalid credentials."""

INVALID_AS_COOKIE = "token of another survey"
"""In the cookie of another survey a token is invalid; in a header it identifies its participant."""

TOKENS = tuple(caller for caller in CALLERS if "token" in caller or caller == "participant")

Expected = Mapping[str, int]


def open_to_all(status: int) -> Expected:
    """Return the status for all callers of a route without authentication."""
    return dict.fromkeys(CALLERS, status)


def open_to_valid(status: int) -> Expected:
    """Return the statuses of a route that needs no credential, but refuses an invalid one."""
    return {**open_to_all(status), **dict.fromkeys(INVALID, 401)}


def needs_scope(status: int, *, participant: int = 403) -> Expected:
    """Return the statuses of a route that needs a scope, or the participant's token."""
    forbidden = ("key without the scope", "key of another survey", "another's token", "token of another survey")
    return {**open_to_valid(status), "nobody": 401, **dict.fromkeys(forbidden, 403), "participant": participant}


def needs_unlimited_key(status: int) -> Expected:
    """Return the statuses of a route that concerns all surveys."""
    return {**needs_scope(status), "key of the survey": 403}


def needs_key(status: int) -> Expected:
    """Return the statuses of a route that shows each key what is of its surveys."""
    return {**needs_scope(status), "key of another survey": status}


def only_for(status: int, otherwise: int, *callers: str) -> Expected:
    """Return the statuses of a route for these callers and for all others."""
    return {**open_to_all(otherwise), **dict.fromkeys(callers, status)}
