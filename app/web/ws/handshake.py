"""Authentication of a WebSocket, in the handshake or its first frame."""

from typing import Any, NamedTuple

from ...access import Anyone, Participant, Principal, require_session_access
from ...errors import Unauthorized
from ...survey import SessionKey
from ..authentication import Authenticator
from ..authorization import audit
from ..context import AppContext
from ..rate_limits import MessageBudget
from ..request_origin import client_address
from . import messages

AUTH_TIMEOUT_S = 10.0


class AuthenticatedClient(NamedTuple):
    """A principal and their message budget."""

    principal: Principal
    authenticator: Authenticator
    budget: MessageBudget

    @property
    def is_still_valid(self) -> bool:
        return self.authenticator.is_still_valid(self.principal)


def authenticate(ws: Any, context: AppContext, key: SessionKey) -> AuthenticatedClient:  # noqa: ANN401
    """Return the client, authorized before the session is read.

    Raises:
        Unauthorized, Forbidden: not authorized.
        RateLimited: too many connections.
    """
    authenticator, address, participant = context.authenticator, client_address(), f"{key.survey_id}/{key.user_id}"
    authenticator.limits.count("address_connections", address)
    principal = authenticator.principal(key)
    if isinstance(principal, Anyone):
        with context.connections.slot("anonymous", ""):  # few of all: authenticated clients need room
            principal = _authenticate_by_frame(ws, authenticator)
    require_session_access(principal, "sessions:write", key, own=True)
    audit(principal, "session_written", key, interface="socket")
    # An integrator connects for many participants: each is counted alone.
    authenticator.limits.count("participant_connections", participant)
    budget = MessageBudget(authenticator.limits, context.store.settings, participant, address)
    return AuthenticatedClient(principal, authenticator, budget)


def _authenticate_by_frame(ws: Any, authenticator: Authenticator) -> Participant:  # noqa: ANN401
    token = messages.auth_token(ws.receive(timeout=AUTH_TIMEOUT_S))
    if token is None:
        raise Unauthorized
    return authenticator.participant(token)
