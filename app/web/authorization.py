"""Authorization of the request's principal, before a body or a session is read.

An integrator's act is audited before it is done, and not done if recording fails.
"""

import flask

from ..access import (
    Anyone,
    Integrator,
    Participant,
    Principal,
    Scope,
    audit_name,
    granted_at,
    require_scope,
    require_session_access,
)
from ..errors import StepkeepError
from ..sessions import Action
from ..survey import SessionKey
from .context import app_context, authenticator, store
from .rest.openapi.operation import current_operation
from .rest.openapi.parameters import SURVEY


def authorize_session(user_id: str, scope: Scope, action: Action | None = None, *, own: bool = False) -> SessionKey:
    """Return the key of the requested session.

    Args:
        action: None: the caller audits it.

    Raises:
        Unauthorized, Forbidden, RateLimited: not authorized.
        InvalidInput: invalid id, or unknown parameter: ``?survy=`` would erase the wrong session.
    """
    survey_id = SURVEY.value()
    key = store().queries.key(user_id, survey_id)
    principal = authenticator().principal(key)
    if isinstance(principal, Participant) and survey_id is None and principal.key.user_id == user_id:
        key = principal.key
    require_session_access(principal, scope, key, own=own)
    current_operation().require_known_query()
    if not isinstance(principal, Participant):
        key = store().queries.resolve_key(user_id, survey_id)
    if action is not None:
        audit(principal, action, key)
    return key


def authorize_all(scope: Scope, action: Action, *, is_repeated: bool = False, **detail: str | int) -> None:
    """Raise unless the principal may do this to all sessions.

    Args:
        is_repeated: by an open page: audited once in ``AUDIT_REPEAT_US``.
        detail: filters and counts, never an answer.

    Raises:
        Unauthorized, Forbidden, RateLimited: not authorized.
        InvalidInput: unknown parameter.
    """
    principal = authenticator().principal()
    require_scope(principal, scope)
    current_operation().require_known_query()
    act = (audit_name(principal), action, *sorted(detail.items()))
    throttle = app_context().audit_throttle
    if is_repeated and not throttle.is_due(act):
        return
    audit(principal, action, None, **detail)
    if is_repeated:  # only now: a retry after a failure is recorded
        throttle.record(act)


def requester_granted_at() -> int | None:
    """Return since when the participant whose request this is has access; None for other callers."""
    return granted_at(flask.g.get("principal") or Anyone())


def audit(principal: Principal, action: Action, key: SessionKey | None, **detail: str | int) -> None:
    """Record an integrator's act; participants' are in their session's history."""
    if isinstance(principal, Integrator):
        store().audit_log.record(audit_name(principal), action, key, detail)


def may_see_internals(*scopes: Scope, is_cached: bool = False) -> bool:
    """Return whether development mode or one of the scopes allows it; never raises.

    Args:
        is_cached: do not ask the database.
    """
    if authenticator().is_development:
        return True
    if "Authorization" not in flask.request.headers and not flask.request.cookies:
        return False  # a load balancer
    try:
        principal = app_context().metrics_keys.principal(is_cached=is_cached)
    except StepkeepError:
        return False
    return isinstance(principal, Integrator) and not principal.scopes.isdisjoint(scopes)


def require_internals(scope: Scope) -> None:
    """Raise unless development mode or the scope allows it; works without the database."""
    if not authenticator().is_development:
        require_scope(app_context().metrics_keys.principal(), scope)
