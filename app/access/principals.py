"""Principals, and their permissions. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import Forbidden, Unauthorized
from ..survey import SessionKey

Scope = Literal["sessions:read", "sessions:write", "export", "metrics", "webhooks", "admin"]
"""``sessions:read`` includes statistics; ``sessions:write`` erasure; ``admin`` reads the audit log."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

SERVER_SCOPES: frozenset[Scope] = frozenset({"metrics", "admin"})  # of all surveys: a limited key can't have them

INVITATION = "invitation"  # marks tokens that an integrator or the operator gave to the participant

_PARTICIPANT_SCOPES: frozenset[Scope] = frozenset({"sessions:read"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Anyone:
    """Without credentials: sees public surveys, and begins their sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Developer:
    """May do everything, on this machine only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Reads, answers and exports the one session of their resume token. Times are in microseconds since 1970 UTC.

    A revocation covers all tokens that renew the one issued at ``granted_at``. ``mark`` is INVITATION, or the id of a
    link that works once.
    """

    key: SessionKey
    issued_at: int
    expires_at: int
    granted_at: int
    mark: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_invited(self) -> bool:
        return self.mark == INVITATION

    @property
    def link_id(self) -> str | None:
        return None if self.is_invited else self.mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrator:
    """Has an API key's scopes, for all surveys or some."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    expires_at: int | None
    surveys: frozenset[str] | None = None


Principal = Anyone | Developer | Participant | Integrator


def has_scope(principal: Principal, scope: Scope, survey_id: str | None = None) -> bool:
    """Return whether the principal has a scope, for all surveys if None."""
    if isinstance(principal, Integrator):
        return scope in principal.scopes and (principal.surveys is None or survey_id in principal.surveys)
    return isinstance(principal, Developer)


def require_scope(principal: Principal, scope: Scope, survey_id: str | None = None) -> None:
    """Raise Unauthorized or Forbidden unless the principal has the scope."""
    require_within(require_some_scope(principal, scope), survey_id)


def require_within(surveys: frozenset[str] | None, survey_id: str | None) -> None:
    """Raise Forbidden unless a survey is within a key's limits."""
    if surveys is not None and survey_id not in surveys:
        raise Forbidden(f"The API key is limited to surveys: {', '.join(sorted(surveys))}.")


def limits(principal: Principal) -> frozenset[str] | None:
    """Return an integrator's only surveys; None for all."""
    return principal.surveys if isinstance(principal, Integrator) else None


def require_some_scope(principal: Principal, scope: Scope) -> frozenset[str] | None:
    """Return the scope's surveys, None for all; raise as :func:`require_scope`."""
    if isinstance(principal, Developer):
        return None
    if isinstance(principal, Integrator):
        if scope not in principal.scopes or principal.surveys == frozenset():
            raise Forbidden(f"The API key lacks the scope {scope}.")
        return principal.surveys
    if isinstance(principal, Participant):
        raise Forbidden("A participant token gives access to that participant's session only.")
    raise Unauthorized


def require_session_access(principal: Principal, scope: Scope, key: SessionKey, *, own: bool = False) -> None:
    """Raise unless the principal may access the session, which need not exist."""
    if isinstance(principal, Participant) and principal.key == key and (own or scope in _PARTICIPANT_SCOPES):
        return
    require_scope(principal, scope, key.survey_id)


def granted_at(principal: Principal) -> int | None:
    """Return since when a participant has access."""
    return principal.granted_at if isinstance(principal, Participant) else None


def audit_name(principal: Principal) -> str:
    """Return the audit log's name; participants stay anonymous."""
    match principal:
        case Integrator():
            return f"key:{principal.key_id} ({principal.name})"
        case Participant():
            return "participant"
        case Developer():
            return "development"
        case Anyone():
            return "anyone"
