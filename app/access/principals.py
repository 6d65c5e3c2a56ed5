"""Principals, and their permissions. Pure.

===========  ==================================================================================
participant  reads, answers and exports the one session of their token
integrator   has an API key's scopes, for all sessions
anyone       sees public surveys, and begins their sessions
developer    may do everything: development mode serves this machine only
===========  ==================================================================================
"""

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import Forbidden, Unauthorized
from ..survey import SessionKey

Scope = Literal["sessions:read", "sessions:write", "export", "metrics", "webhooks", "admin"]
"""``sessions:read`` includes statistics; ``sessions:write`` erasure; ``admin`` reads the audit log."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

_PARTICIPANT_SCOPES: frozenset[Scope] = frozenset({"sessions:read"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Anyone:
    """A caller without credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Developer:
    """A caller on this machine, in development mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A caller with a resume token.

    Attributes:
        issued_at, expires_at: microseconds since 1970 UTC.
        granted_at: when the first of the tokens that this one renews was issued. A revocation covers them all.
    """

    key: SessionKey
    issued_at: int
    expires_at: int
    granted_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrator:
    """A caller with an API key, or signed in with one.

    Attributes:
        key_id: not secret.
        expires_at: microseconds since 1970 UTC; None for never.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    expires_at: int | None


Principal = Anyone | Developer | Participant | Integrator


def has_scope(principal: Principal, scope: Scope) -> bool:
    """Return whether the principal has a scope for all sessions."""
    return isinstance(principal, Developer) or (isinstance(principal, Integrator) and scope in principal.scopes)


def require_scope(principal: Principal, scope: Scope) -> None:
    """Raise unless the principal has a scope for all sessions.

    Raises:
        Unauthorized: no credentials were given.
        Forbidden: they lack the scope.
    """
    if has_scope(principal, scope):
        return
    if isinstance(principal, Integrator):
        raise Forbidden(f"The API key lacks the scope {scope}.")
    if isinstance(principal, Participant):
        raise Forbidden("A participant token gives access to that participant's session only.")
    raise Unauthorized


def require_session_access(principal: Principal, scope: Scope, key: SessionKey, *, own: bool = False) -> None:
    """Raise unless the principal has a scope for a session, which need not exist.

    Args:
        own: allow a participant their own session, whatever the scope.

    Raises:
        Unauthorized, Forbidden: as :func:`require_scope`.
    """
    if isinstance(principal, Participant) and principal.key == key and (own or scope in _PARTICIPANT_SCOPES):
        return
    require_scope(principal, scope)


def granted_at(principal: Principal) -> int | None:
    """Return since when a participant has access; None if revoking their tokens does not concern the caller."""
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
