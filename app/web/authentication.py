"""Who is asking: what a request shows is looked at here, and nowhere else.

In this order: ``Authorization: Bearer`` with an API key or a resume token, a WebSocket's subprotocol
``token.<token>``, the resume cookie of the survey that is asked for, the cookie of a sign-in. What is shown must
hold: a wrong key is not nobody. Decided before any session is looked for, so that what is refused tells nothing of
what is there. In development, where nothing is shown, everything is allowed; but only at an address of this machine.
"""

import hashlib
import hmac
import ipaddress
from typing import TypeVar, cast
from urllib.parse import urlsplit

import flask
from werkzeug import Response

from ..access.api_keys import PREFIX, parse_key_id
from ..access.credentials import Credentials
from ..access.principals import Anyone, Developer, Integrator, Participant, Principal
from ..access.tokens import DAY_US
from ..errors import ConfigurationError, Forbidden, Unauthorized
from ..sessions.service import SessionStore
from ..settings import Settings, is_loopback
from ..survey import SessionKey
from .rate_limits import Limits

P = TypeVar("P", bound=Principal)

SUBPROTOCOL = "stepkeep"
"""What a client offers beside ``token.<token>``, and the server answers with: a browser wants an answer."""

MIN_SECRET = 32
"""Characters of a SECRET_KEY, at least: as many bytes as the hash that it feeds has (RFC 2104, 3)."""

_DEVELOPMENT_SECRET = "only for development: whoever knows it is on this machine"  # noqa: S105 - no secret
_TOKEN = "token."  # noqa: S105 - a prefix
_OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Tells who is asking, in a request; the application's extension ``stepkeep_access``.

    Raises:
        ConfigurationError: there is no SECRET_KEY that would do, in production.
    """

    def __init__(self, store: SessionStore) -> None:
        settings = store.settings
        self._settings = settings
        self._store = store
        self._secrets = signing_secrets(settings)
        self.is_development = settings.environment == "development"
        self.credentials = Credentials(store, self._secrets)
        self.limits = Limits(settings)
        self._cookie_prefix = "" if self.is_development else "__Host-"

    def who(self, key: SessionKey | None = None) -> Principal:
        """Return who asks.

        Args:
            key: the session that is asked for; its survey says which cookie counts.

        Raises:
            Unauthorized: what he shows doesn't hold.
            RateLimited: too much of this address didn't.
        """
        shown = self._bearer()
        if shown is not None:
            return self._checked(shown)
        participant, is_dead = self._participant_here(key)
        integrator = None if participant is not None and participant.key == key else self._integrator_of_cookie()
        if integrator is not None:
            return self._from_page(integrator)
        if is_dead and not self.is_development:  # there it may be of another database, or an earlier day
            raise Unauthorized
        if participant is not None and (participant.key == key or not self.is_development):
            return self._from_page(participant)
        return _noted(Developer()) if self.is_development else Anyone()

    def participant_of_cookie(self, survey_id: str) -> Participant | None:
        """Return whose resume cookie of this survey came; None where none did.

        Raises:
            Unauthorized: it holds no more.
        """
        token = flask.request.cookies.get(self._cookie_name(survey_id))
        if token is None:
            return None
        found = self.credentials.verify_token(token)
        if found.key.survey_id != survey_id:
            raise Unauthorized
        return _noted(found)

    def participant(self, token: str) -> Participant:
        """Return whose token it is, which came in a body or a frame.

        Raises:
            Unauthorized, RateLimited: as :meth:`who`.
        """
        found = self._checked(token)
        if not isinstance(found, Participant):
            raise Unauthorized
        return found

    def holds(self, who: Principal) -> bool:
        """Return whether what somebody showed holds still; for connections that stay."""
        return self.credentials.revocations.is_valid(who, self._store.clock())

    def came_by_cookie(self, key: SessionKey) -> bool:
        """Return whether the request's resume cookie is the session's own, and holds."""
        here, _ = self._participant_here(key)
        return flask.request.headers.get("Authorization") is None and here is not None and here.key == key

    def set_cookie(self, response: Response, key: SessionKey) -> None:
        """Put a new resume token of the session into the browser's cookie."""
        token, _ = self.credentials.issue_token(key)
        response.set_cookie(
            self._cookie_name(key.survey_id),
            token,
            max_age=int(self._settings.token_days * DAY_US // 1_000_000),
            secure=not self.is_development,
            httponly=True,
            samesite="Lax",  # Strict would not come along from a link in a mail, and he would seem to be new
        )

    def clear_cookie(self, response: Response, survey_id: str) -> None:
        """Remove the survey's resume cookie from the browser."""
        response.delete_cookie(
            self._cookie_name(survey_id), secure=not self.is_development, httponly=True, samesite="Lax"
        )

    def signed_in(self) -> Integrator | Developer:
        """Return who is signed in to the dashboard; in development nobody needs to.

        Raises:
            Unauthorized: nobody, or no more.
        """
        found = self._integrator_of_cookie()
        if found is not None:
            return found
        if self.is_development:
            return Developer()
        raise Unauthorized

    def sign_in(self, text: str, response: Response) -> Integrator:
        """Sign in with an API key: the response gets the cookie.

        Raises:
            Unauthorized, RateLimited: as :meth:`who`.
        """
        flask.g.shown = _named(text.strip())
        with _Counted(self.limits):
            cookie, who = self.credentials.sign_in(text)
        before = self._sign_in_cookie()
        if before is not None:
            self.credentials.sign_out(before)
        response.set_cookie(
            self._cookie_prefix + "stepkeep-sign-in",
            cookie,
            secure=not self.is_development,
            httponly=True,
            samesite="Strict",
        )
        return _noted(who)

    def sign_out(self, response: Response) -> None:
        """End the sign-in, here and in the browser."""
        cookie = self._sign_in_cookie()
        if cookie is not None:
            self.credentials.sign_out(cookie)
        response.delete_cookie(
            self._cookie_prefix + "stepkeep-sign-in",
            secure=not self.is_development,
            httponly=True,
            samesite="Strict",
        )

    def csrf_token(self) -> str:
        """Return what forms of this sign-in carry: an HMAC of its cookie, which no other site can know."""
        message = b"csrf " + (self._sign_in_cookie() or "").encode()
        return hmac.new(self._secrets[-1].encode(), message, hashlib.sha256).hexdigest()

    def check_csrf(self, token: str) -> None:
        """Return if a form carried this sign-in's token.

        Raises:
            Forbidden: it did not, or another site's page sent it.
        """
        self.check_own_page()
        if not hmac.compare_digest(token.encode(), self.csrf_token().encode()):
            raise Forbidden("this form is old: load the page again")

    def check_own_page(self) -> None:
        """Return if no page of another site sent the request (W3C Fetch Metadata; RFC 6454).

        Raises:
            Forbidden: one did.
        """
        site = flask.request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in {"same-origin", "none"} or not self.is_allowed_origin():
            raise Forbidden("a page of another site may not do this")

    def is_allowed_origin(self) -> bool:
        """Return whether the page that asks is ours, or of a configured origin; other clients name none."""
        origin = flask.request.headers.get("Origin")
        if origin is None or origin in allowed_origins(self._settings):
            return True
        own = urlsplit(self._settings.public_url or flask.request.host_url)
        try:
            asks = urlsplit(origin)
        except ValueError:  # brackets that hold no address
            return False
        # A proxy may speak plain HTTP to us: then a page that came over TLS is as good as ours.
        return asks.netloc == own.netloc and asks.scheme in {own.scheme, "https"}

    def count_request(self) -> None:
        """Count a request of this address in.

        Raises:
            RateLimited: it is one too many.
        """
        self.limits.count("address_requests", address())

    def public_address(self, path: str) -> str:
        """Return a link to a page of this server."""
        return (self._settings.public_url or flask.request.host_url.rstrip("/")) + path

    def _bearer(self) -> str | None:
        header = flask.request.headers.get("Authorization")
        if header is not None:
            scheme, _, text = header.partition(" ")
            if scheme.lower() != "bearer" or not text.strip():
                raise Unauthorized
            return text.strip()
        offered = flask.request.headers.get("Sec-WebSocket-Protocol", "")
        return next(
            (item.strip()[len(_TOKEN) :] for item in offered.split(",") if item.strip().startswith(_TOKEN)), None
        )

    def _checked(self, shown: str) -> Participant | Integrator:
        flask.g.shown = _named(shown)
        with _Counted(self.limits):
            if shown.startswith(PREFIX):
                return _noted(self.credentials.verify_key(shown))
            return _noted(self.credentials.verify_token(shown))

    def _participant_here(self, key: SessionKey | None) -> tuple[Participant | None, bool]:
        """Return whose cookie of the session's survey came, and whether one came that holds no more."""
        if key is None:
            return None, False
        try:
            return self.participant_of_cookie(key.survey_id), False
        except Unauthorized:
            return None, True

    def _from_page(self, who: Participant | Integrator) -> Principal:
        """Return him; a browser adds cookies by itself, whichever page makes it ask."""
        if flask.request.method not in _SAFE:
            self.check_own_page()
        return who

    def _integrator_of_cookie(self) -> Integrator | None:
        cookie = self._sign_in_cookie()
        if cookie is None or flask.request.path.startswith("/ws/"):  # a socket would outlive the sign-in
            return None
        try:
            return _noted(self.credentials.verify_sign_in(cookie))
        except Unauthorized:
            return None

    def _sign_in_cookie(self) -> str | None:
        return flask.request.cookies.get(self._cookie_prefix + "stepkeep-sign-in")

    def _cookie_name(self, survey_id: str) -> str:
        return f"{self._cookie_prefix}stepkeep.{survey_id}"


class _Counted:
    """Credentials that don't hold are counted, and after too many none of this address are looked at."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __enter__(self) -> None:
        self._limits.check("address_failures", address())

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if isinstance(error, Unauthorized):
            self._limits.count("address_failures", address())


def _noted(who: P) -> P:
    """Return him; the log of this request calls him by his name."""
    flask.g.who = who
    return who


def _named(shown: str) -> str:
    """Return how the log calls what was shown: a key by its id."""
    if not shown.startswith(PREFIX):
        return "token"
    return f"key:{parse_key_id(shown) or 'malformed'}"


def access() -> Access:
    """Return the running application's."""
    return cast("Access", flask.current_app.extensions["stepkeep_access"])


def address() -> str:
    """Return the address that asks, as the proxies that are believed tell it; of IPv6 the network of one household."""
    text = flask.request.remote_addr or ""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:  # on a socket for both: all of IPv4 would be one household
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def signing_secrets(settings: Settings) -> list[str]:
    """Return what signs tokens, the newest last.

    Raises:
        ConfigurationError: in production, where there is none or it can be guessed.
    """
    earlier = [
        secret.strip() for secret in settings.secret_key_fallbacks.get_secret_value().split(",") if secret.strip()
    ]
    newest = settings.secret_key.get_secret_value()
    if not newest and settings.environment == "development":
        newest = _DEVELOPMENT_SECRET
    elif settings.environment == "production":
        for name, secret in (
            ("SECRET_KEY", newest),
            *(("STEPKEEP_SECRET_KEY_FALLBACKS", secret) for secret in earlier),
        ):
            _check_secret(name, secret)
    return [*reversed(earlier), newest]


def check_this_machine() -> None:
    """Return if the request is to an address of this machine by its name, and from it: development serves no other.

    A page of the web could have its own name lead here (DNS rebinding), and would then be asked for no credentials;
    and a server that was started in another way than ours may listen elsewhere.

    Raises:
        Forbidden: it is not.
    """
    host = urlsplit(f"//{flask.request.host}").hostname or ""
    asks = flask.request.remote_addr  # none over a Unix socket
    is_passed_on = any(name in flask.request.headers for name in _OF_PROXIES)
    if not is_loopback(host) or (asks and not is_loopback(asks)) or is_passed_on:
        raise Forbidden(
            "in development only this machine is served, without a proxy: http://127.0.0.1 or http://localhost"
        )


def allowed_origins(settings: Settings) -> frozenset[str]:
    """Return the configured origins of other sites' pages."""
    return frozenset(item.strip().rstrip("/") for item in settings.allowed_origins.split(",") if item.strip())


def _check_secret(name: str, secret: str) -> None:
    how = 'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
    if not secret:
        raise ConfigurationError(
            f"{name} is missing: in production it signs participants' tokens; {how} "
            "(for commands beside `make run`: STEPKEEP_ENVIRONMENT=development)"
        )
    is_known = "changeme" in secret.lower().replace("-", "").replace("_", "") or secret == _DEVELOPMENT_SECRET
    if len(secret) < MIN_SECRET or len(set(secret)) < MIN_SECRET // 4 or is_known:
        raise ConfigurationError(f"{name} is weak: it needs {MIN_SECRET} random characters or more; {how}")
