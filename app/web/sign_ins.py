"""Dashboard sign-ins with an API key, and their CSRF tokens."""

import hashlib
import hmac

from werkzeug import Response

from ..access import Credentials, Developer, Integrator
from ..errors import Forbidden, Unauthorized
from ..settings import Settings
from .cookies import Cookies
from .rate_limits import RateLimits
from .request_origin import client_address, require_same_origin
from .security_log import record_credential, record_principal


class SignIns:
    """Starts, finds and ends dashboard sign-ins."""

    def __init__(
        self, settings: Settings, credentials: Credentials, cookies: Cookies, limits: RateLimits, secret: str
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._cookies = cookies
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
        cookie = self._cookies.sign_in()
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
        self._cookies.set_sign_in(response, cookie)
        return record_principal(integrator)

    def end(self, response: Response) -> None:
        self._end_stored()
        self._cookies.clear_sign_in(response)

    def csrf_token(self) -> str:
        message = b"csrf " + (self._cookies.sign_in() or "").encode()
        return hmac.new(self._secret.encode(), message, hashlib.sha256).hexdigest()

    def require_csrf_token(self, token: str) -> None:
        """Raise Forbidden unless token and page are this sign-in's."""
        require_same_origin(self._settings)
        if not hmac.compare_digest(token.encode(), self.csrf_token().encode()):
            raise Forbidden("This form has expired. Reload the page.")

    def _end_stored(self) -> None:
        cookie = self._cookies.sign_in()
        if cookie is not None:
            self._credentials.sign_out(cookie)
