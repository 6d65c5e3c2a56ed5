"""The login of the Flask application that Stepkeep is mounted in: its user is the participant.

Pages of other sites may send the user's cookie too: their requests have no user, except a link to a page.
"""

from collections.abc import Callable
from dataclasses import dataclass

import flask

from ..access import IDLE_US, SCOPES, Credentials, Integrator, Participant
from ..errors import Unavailable
from ..sessions import SessionStore
from ..survey import SessionKey
from .request_origin import is_link_to_page, is_own_origin, is_own_site

HOST_USER = "stepkeep.user"  # key of the WSGI environment


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUser:
    """The user of one request."""

    participant: str | None = None  # None: not signed in
    opens_dashboard: bool = False
    login_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLogin:
    """The application's functions, called in its own request context; see :class:`app.flask.Stepkeep`."""

    participant: Callable[[], object] | None = None
    dashboard: Callable[[], bool] | None = None
    login_url: Callable[[], str] | None = None

    def user(self, path: str) -> HostUser:
        if path.startswith("/assets/"):
            return HostUser()
        participant = None if self.participant is None else self.participant()
        may_sign_in = self.participant is not None and participant is None
        return HostUser(
            participant=None if participant is None else str(participant),
            opens_dashboard=self.dashboard is not None and bool(self.dashboard()),
            login_url=self.login_url() if self.login_url is not None and may_sign_in else None,
        )


class HostPrincipals:
    """Principals of the current request's user. Safe from any thread."""

    def __init__(self, store: SessionStore, credentials: Credentials, login: HostLogin) -> None:
        self._store = store
        self._credentials = credentials
        self.has_participants = login.participant is not None
        self.has_dashboard = login.dashboard is not None

    @property
    def user(self) -> HostUser:
        # Browsers send Origin in some requests only, and Sec-Fetch-Site only over HTTPS and to localhost.
        is_own = is_own_origin(self._store.settings) and (is_own_site() or is_link_to_page())
        user: HostUser = flask.request.environ[HOST_USER] if is_own else HostUser()
        return user

    def participant(self, survey_id: str) -> Participant | None:
        """Return the user as a survey's participant; of a closed one, only if they have a session."""
        survey, user_id = self._store.catalogue.surveys.get(survey_id), self.user.participant
        if survey is None or user_id is None:
            return None
        key = self._store.queries.key(user_id, survey_id)
        if survey.access == "closed" and not self._has_session(key):
            return None
        # Granted with each request: revoking tokens ends connections, but does not lock the user out. A connection ends
        # after IDLE_US, and the client connects again: not after the user has signed out.
        at = max(self._store.clock(), self._credentials.revocations.revoked_at(key) + 1)
        return Participant(key=key, issued_at=at, expires_at=at + IDLE_US, granted_at=at)

    def _has_session(self, key: SessionKey) -> bool:
        try:
            return key in self._store.queries.versions([key])
        except Unavailable:
            if self._store.subscribers.latest(key) is None:
                raise
            return True

    def integrator(self) -> Integrator | None:
        user = self.user
        if not user.opens_dashboard:
            return None
        name = user.participant or "dashboard"
        return Integrator(key_id="host", name=name[:100], scopes=frozenset(SCOPES), expires_at=None)
