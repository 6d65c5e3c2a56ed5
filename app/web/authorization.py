"""May this request do this? Asked at the top of each view, before a body is read or a session is looked for.

What is not a participant's own act is noted in the audit log, before it is done: what can't be noted isn't done.
"""

import flask

from ..access.principals import (
    Integrator,
    Participant,
    Principal,
    Scope,
    audit_name,
    require_scope,
    require_session_access,
)
from ..sessions.service import SessionStore
from ..store import audit
from ..survey import SessionKey
from .authentication import access
from .rest import requests

NOTE_EVERY_S = 600
"""Seconds in which what a page that is left open asks for is noted once, by each server process."""

REMEMBERED = 1000
"""What was noted so, at most; then some is noted once more."""


def permitted(
    user_id: str, scope: Scope, action: audit.Action | None = None, *also: str, own: bool = False
) -> SessionKey:
    """Return the session that the request means, if it may do this to it.

    Args:
        action: what the audit log calls it; None: it is told there otherwise.
        also: the parameters that there may be beside ``survey``.
        own: as for ``check_session``.

    Raises:
        Unauthorized, Forbidden, RateLimited: it may not.
        InvalidInput: no user id, no survey id, or another parameter: with ``?survy=`` another session would be erased.
    """
    named = requests.survey_id()
    key = store().queries.key(user_id, named)
    who = access().who(key)
    if isinstance(who, Participant) and named is None and who.key.user_id == user_id:
        key = who.key
    require_session_access(who, scope, key, own=own)
    requests.check_arguments("survey", *also)
    if not isinstance(who, Participant):
        key = store().queries.resolve_key(user_id, named)
    if action is not None:
        note(who, action, key)
    return key


def permitted_to_all(scope: Scope, action: audit.Action, *, is_live: bool = False, **detail: str | int) -> None:
    """Return if the request may do this to all sessions.

    Args:
        is_live: a page asks for it again and again by itself: the same of the same one is noted once in NOTE_EVERY_S.
        detail: for the audit log: filters, counts; never an answer.

    Raises:
        Unauthorized, Forbidden, RateLimited: it may not.
    """
    who = access().who()
    require_scope(who, scope)
    what = (audit_name(who), action, *sorted(detail.items()))
    if is_live and _was_noted(what):
        return
    note(who, action, None, **detail)
    if is_live:
        _remember(what)


def _was_noted(what: tuple[object, ...]) -> bool:
    """Return whether it was noted a moment ago."""
    every_us = NOTE_EVERY_S * 1_000_000
    return store().clock() - _noted().get(what, -every_us) < every_us


def _remember(what: tuple[object, ...]) -> None:
    """Let it count as noted: only once it is, so that a page which asks again after a failure is noted."""
    noted = _noted()
    if len(noted) >= REMEMBERED:
        noted.clear()
    noted[what] = store().clock()


def _noted() -> dict[tuple[object, ...], int]:
    found: dict[tuple[object, ...], int] = flask.current_app.extensions.setdefault("stepkeep_noted", {})
    return found


def note(who: Principal, action: audit.Action, key: SessionKey | None, **detail: str | int) -> None:
    """Note in the audit log what an integrator does; what participants do is in their sessions' history."""
    if not isinstance(who, Integrator):
        return
    entry = audit.AuditEntry(
        at=store().clock(),
        actor=audit_name(who),
        action=action,
        survey_id=None if key is None else key.survey_id,
        user_id=None if key is None else key.user_id,
        detail=detail,
    )
    store().run_transaction(lambda connection: audit.record(connection, entry))


def store() -> SessionStore:
    """Return the running application's."""
    found: SessionStore = flask.current_app.extensions["stepkeep"]
    return found
