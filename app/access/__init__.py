"""Authentication and permissions. Secrets are stored as hashes only."""

from ..store import StoredKey
from .credentials import IDLE_US, SIGNED_IN_US, Credentials
from .principals import (
    INVITATION,
    SCOPES,
    Anyone,
    Developer,
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
    require_within,
)
from .tokens import DAY_US, MAX_LENGTH, PREFIX, new_link_id, new_user_id, parse_key_id

__all__ = [
    "DAY_US",
    "IDLE_US",
    "INVITATION",
    "MAX_LENGTH",
    "PREFIX",
    "SCOPES",
    "SIGNED_IN_US",
    "Anyone",
    "Credentials",
    "Developer",
    "Integrator",
    "Participant",
    "Principal",
    "Scope",
    "StoredKey",
    "audit_name",
    "granted_at",
    "has_scope",
    "limits",
    "new_link_id",
    "new_user_id",
    "parse_key_id",
    "require_scope",
    "require_session_access",
    "require_some_scope",
    "require_within",
]
