"""Who somebody is, as a door has found out, and what he may do. Values; pure.

===========  ==================================================================================
participant  reads and answers the one session that his token names, and exports what is known of it
integrator   what the scopes of his API key say, for all sessions
anyone       the public surveys, and to begin one of them
developer    everything: in development mode, on this machine alone, nobody shows credentials
===========  ==================================================================================
"""

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import Forbidden, Unauthorized
from ..survey import SessionKey

Scope = Literal["sessions:read", "sessions:write", "export", "metrics", "webhooks", "admin"]
"""What an API key may do: read sessions and what is counted of them; begin, answer, change and erase them, and invite;
export what is known of a participant or answered in a survey; read the server's metrics; say where webhooks go; read
the audit log."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

_OF_A_PARTICIPANT: frozenset[Scope] = frozenset({"sessions:read"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Anyone:
    """Somebody who showed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Developer:
    """Whoever works on this machine, in development mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Who showed a resume token.

    Attributes:
        key: the one session that is his.
        issued_at: when the token was made, microseconds since 1970 UTC.
        expires_at: from when on it holds no more.
    """

    key: SessionKey
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrator:
    """Who showed an API key, or signed in with one.

    Attributes:
        key_id: of the API key; no secret.
        expires_at: from when on it holds no more; None: never.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    expires_at: int | None


Principal = Anyone | Developer | Participant | Integrator


def check_scope(who: Principal, scope: Scope) -> None:
    """Return if he may do this to all sessions.

    Raises:
        Unauthorized: he showed nothing.
        Forbidden: it is not his to do.
    """
    match who:
        case Developer():
            return
        case Integrator() if scope in who.scopes:
            return
        case Integrator():
            raise Forbidden(f"this API key lacks the scope {scope}")
        case Participant():
            raise Forbidden("a participant's token is for his own session")
        case Anyone():
            raise Unauthorized


def check_session(who: Principal, scope: Scope, key: SessionKey, *, own: bool = False) -> None:
    """Return if he may do this to one session; whether there is one plays no part, so that nobody can find out.

    Args:
        own: a participant may do it to his own session, whatever the scope.

    Raises:
        Unauthorized, Forbidden: as :func:`check_scope`.
    """
    if isinstance(who, Participant) and who.key == key and (own or scope in _OF_A_PARTICIPANT):
        return
    check_scope(who, scope)


def name_of(who: Principal) -> str:
    """Return how the audit log calls him; participants by no more than that."""
    match who:
        case Integrator():
            return f"key:{who.key_id} ({who.name})"
        case Participant():
            return "participant"
        case Developer():
            return "development"
        case Anyone():
            return "anyone"
