"""Authentication and permissions: participants' tokens, API keys, sign-ins to the dashboard, revocations.

``principals.py`` alone decides what a principal may do. Secrets exist in plain text only while they are created; the
database stores hashes.
"""

from ..store import StoredKey
from .api_keys import PREFIX, parse_key_id
from .credentials import IDLE_US, SIGNED_IN_US, Credentials
from .principals import (
    SCOPES,
    Anyone,
    Developer,
    Integrator,
    Participant,
    Principal,
    Scope,
    audit_name,
    require_scope,
    require_session_access,
)
from .tokens import DAY_US, MAX_LENGTH, new_user_id

__all__ = [
    "DAY_US",
    "IDLE_US",
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
    "new_user_id",
    "parse_key_id",
    "require_scope",
    "require_session_access",
]
