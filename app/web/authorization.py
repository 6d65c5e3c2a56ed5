"""Authorization and audit of a request, before its body or a session is read."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import flask

from ..access import (
    Anyone,
    Integrator,
    Participant,
    Principal,
    Scope,
    audit_name,
    granted_at,
    has_scope,
    limits,
    require_scope,
    require_session_access,
    require_some_scope,
)
from ..errors import StepkeepError, StorageLow, Unauthorized
from ..sessions import Action
from ..survey import Given, SessionKey
from .context import app_context, authenticator, store
from .request_origin import client_address
from .rest.openapi.operation import current_operation
from .rest.openapi.parameters import SURVEY


def authorize_session(user_id: str, scope: Scope, action: Action | None = None, *, own: bool = False) -> SessionKey:
    """Return the session's key, or raise; without an action, the caller audits it."""
    survey_id = SURVEY.value()
    key = store().queries.key(user_id, survey_id)
    principal = authenticator().principal(key)
    if survey_id is None:
        key = _only_key(principal, key)
    require_session_access(principal, scope, key, own=own)
    current_operation().require_known_query()  # ?survy= would erase the wrong session
    if not isinstance(principal, Participant) and limits(principal) is None:
        key = store().queries.resolve_key(user_id, survey_id)
    if action is not None:
        audit(principal, action, key)
    return key


def authorize_survey(
    survey_id: str, scope: Scope, action: Action, *, is_repeated: bool = False, **detail: str | int
) -> None:
    """Raise unless the principal may do this to a survey's sessions; audit repeats once in ``AUDIT_REPEAT_US``."""
    principal = authenticator().principal()
    require_scope(principal, scope, survey_id)
    current_operation().require_known_query()
    detail = {"survey": survey_id[:64], **detail}
    act = (audit_name(principal), action, *sorted(detail.items()))
    throttle = app_context().audit_throttle
    if is_repeated and not throttle.is_due(act):
        return
    audit(principal, action, None, **detail)
    if is_repeated:  # only now: a retry after a failure is recorded
        throttle.record(act)


def authorize_all(scope: Scope, action: Action) -> None:
    principal = authenticator().principal()
    require_scope(principal, scope)
    current_operation().require_known_query()
    audit(principal, action, None)


def authorize_some(
    scope: Scope, action: Action | None, survey_id: str | None = None, **detail: str | int
) -> frozenset[str] | None:
    """Return the surveys to which the principal may do this, None for all; raise if there is none."""
    principal = authenticator().principal()
    surveys = require_some_scope(principal, scope)
    if survey_id is not None:
        require_scope(principal, scope, survey_id)
    current_operation().require_known_query()
    if action is not None:
        audit(principal, action, None, **detail)
    return surveys if survey_id is None else frozenset({survey_id})


def requester_granted_at() -> int | None:
    return granted_at(flask.g.get("principal") or Anyone())


def given_parameters(principal: Principal | None, api: Mapping[str, Any] | None = None) -> Given:
    invitation = principal.parameters if isinstance(principal, Participant) else {}
    return Given(url=flask.request.args.to_dict(flat=False), invitation=invitation, api=api or {})


def acquire_own_read(key: SessionKey) -> ExitStack:
    """Return a participant's slot, to be closed with the response."""
    if not isinstance(flask.g.get("principal"), Participant):
        return ExitStack()
    return app_context().export_slots.acquire_own(f"{key.survey_id}/{key.user_id}", client_address())


def count_saved(size_bytes: int) -> None:
    if isinstance(flask.g.get("principal"), Participant):
        authenticator().limits.count("address_bytes", client_address(), size_bytes)


def admit_new_participant() -> None:
    """Raise Unauthorized, StorageLow or RateLimited unless a public survey may admit another participant."""
    host = authenticator().host
    if host is not None and host.has_participants:
        raise Unauthorized
    if app_context().health.is_storage_low():
        raise StorageLow
    limits = authenticator().limits
    limits.count("address_participants", client_address())
    limits.count("public_participants", "all")


def audit(principal: Principal, action: Action, key: SessionKey | None, **detail: str | int) -> None:
    """Record an integrator's act, which must not be done if this fails; details never have answers."""
    if isinstance(principal, Integrator):
        store().audit_log.record(audit_name(principal), action, key, detail)


def may_see_internals(*scopes: Scope, cached_only: bool = False) -> bool:
    """Return whether development mode or one of the scopes allows it; never raise."""
    if authenticator().is_development:
        return True
    if "Authorization" not in flask.request.headers and not flask.request.cookies:
        return False  # a load balancer
    try:
        principal = app_context().metrics_keys.principal(cached_only=cached_only)
    except StepkeepError:
        return False
    return any(has_scope(principal, scope) for scope in scopes)


def _only_key(principal: Principal, key: SessionKey) -> SessionKey:
    if isinstance(principal, Participant) and principal.key.user_id == key.user_id:
        return principal.key
    surveys = limits(principal) or ()
    return key._replace(survey_id=next(iter(surveys))) if len(surveys) == 1 else key


def require_internals(scope: Scope) -> None:
    """Raise unless development mode or the scope allows it; works without the database."""
    if not authenticator().is_development:
        require_scope(app_context().metrics_keys.principal(), scope)
