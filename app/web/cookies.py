"""Cookies of participants, and of dashboard sign-ins with their CSRF tokens."""

import hashlib
import hmac
from typing import Any, Literal

import flask
from werkzeug import Response

from ..access import DAY_US, Credentials, Developer, Integrator
from ..errors import Forbidden, Unauthorized
from ..settings import Settings
from .rate_limits import RateLimits
from .request_origin import client_address, require_same_origin
from .security_log import record_credential, record_principal

SameSite = Literal["Lax", "Strict"]


class Cookie:
    """A cookie of this host's pages.

    Args:
        max_age_s: None: until the browser is closed.
    """

    def __init__(self, settings: Settings, name: str, samesite: SameSite, max_age_s: int | None = None) -> None:
        is_secure = settings.environment != "development"
        self._name = f"__Host-{name}" if is_secure else name
        self._max_age_s = max_age_s
        self._attributes: dict[str, Any] = {"secure": is_secure, "httponly": True, "samesite": samesite}

    @property
    def value(self) -> str | None:
        """The request's."""
        return flask.request.cookies.get(self._name)

    def set(self, response: Response, value: str) -> None:
        response.set_cookie(self._name, value, max_age=self._max_age_s, **self._attributes)

    def clear(self, response: Response) -> None:
        response.delete_cookie(self._name, **self._attributes)


def resume_cookie(settings: Settings, survey_id: str) -> Cookie:
    """Return the cookie of a survey's participant."""
    age_s = int(settings.token_days * DAY_US // 1_000_000)
    # Strict is not sent from an e-mail's link: the participant would look new.
    return Cookie(settings, f"stepkeep.{survey_id}", "Lax", age_s)


class SignIns:
    """Starts, finds and ends dashboard sign-ins."""

    def __init__(self, settings: Settings, credentials: Credentials, limits: RateLimits, secret: str) -> None:
        self._settings = settings
        self._credentials = credentials
        self._cookie = Cookie(settings, "stepkeep-sign-in", "Strict")
        self._limits = limits
        self._secret = secret

    def principal(self) -> Integrator | Developer:
        """Raise Unauthorized unless signed in; development needs no sign-in."""
        integrator = self.integrator()
        if integrator is not None:
            return integrator
        if self._settings.environment == "development":
            return Developer()
        raise Unauthorized

    def integrator(self) -> Integrator | None:
        cookie = self._cookie.value
        if cookie is None:
            return None
        try:
            return record_principal(self._credentials.verify_sign_in(cookie))
        except Unauthorized:
            return None

    def begin(self, api_key: str, response: Response) -> Integrator:
        """Sign in, ending the browser's earlier sign-in.

        Raises:
            Unauthorized: invalid key.
            RateLimited: too many from this address.
        """
        record_credential(api_key.strip())
        with self._limits.counting_failures(client_address()):
            cookie, integrator = self._credentials.sign_in(api_key)
        self._end_stored()
        self._cookie.set(response, cookie)
        return record_principal(integrator)

    def end(self, response: Response) -> None:
        self._end_stored()
        self._cookie.clear(response)

    def csrf_token(self) -> str:
        message = b"csrf " + (self._cookie.value or "").encode()
        return hmac.new(self._secret.encode(), message, hashlib.sha256).hexdigest()

    def require_csrf_token(self, token: str) -> None:
        """Raise Forbidden unless token and page are this sign-in's."""
        require_same_origin(self._settings)
        if not hmac.compare_digest(token.encode(), self.csrf_token().encode()):
            raise Forbidden("This form has expired. Reload the page.")

    def _end_stored(self) -> None:
        cookie = self._cookie.value
        if cookie is not None:
            self._credentials.sign_out(cookie)
