"""Authentication of requests, before any session is read: a refusal does not show whether one exists.

Invalid credentials are refused rather than treated as anonymous.
"""

import hashlib
import threading
from time import monotonic

import flask
from werkzeug import Response

from ..access import PREFIX, Anyone, Credentials, Developer, Integrator, Participant, Principal
from ..errors import ConfigurationError, DatabaseUnavailable, Unauthorized, Unavailable
from ..sessions import SessionStore
from ..settings import Settings
from ..survey import SessionKey
from .cookies import ResumeCookies, SignIns
from .host_login import HostLogin, HostPrincipals
from .rate_limits import RateLimits
from .request_origin import client_address, require_same_origin
from .security_log import record_credential, record_principal

SUBPROTOCOL = "stepkeep"  # selected when it is offered with ``token.<token>``: browsers require an answer

METRICS_KEY_AGE_S = 3600.0  # then a cached API key is read again
METRICS_KEYS = 100

MIN_SECRET_LENGTH = 32  # at least the hash's bytes (RFC 2104, 3)

_DEVELOPMENT_SECRET = "only for development: everyone on this machine knows it"  # noqa: S105 - not a secret
_HINT = 'Generate one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'

_TOKEN_PREFIX = "token."  # noqa: S105 - not a secret
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Authenticator:
    """Authenticates requests. Safe from any thread."""

    def __init__(self, store: SessionStore, login: HostLogin | None = None) -> None:
        settings = store.settings
        secrets = signing_secrets(settings)
        self._settings = settings
        self._store = store
        self.credentials = Credentials(store, secrets)
        self.host = None if login is None else HostPrincipals(store, self.credentials, login)
        # In development, callers without credentials may do everything.
        is_authenticating = self.host is not None and (self.host.has_participants or self.host.has_dashboard)
        self.is_development = settings.environment == "development" and not is_authenticating
        self.limits = RateLimits(settings)
        self.resume_cookies = ResumeCookies(store, self.credentials)
        self.sign_ins = SignIns(
            settings, self.credentials, self.limits, secrets[-1], self.host, is_development=self.is_development
        )

    def principal(self, key: SessionKey | None = None) -> Principal:
        credential = self._bearer()
        if credential is not None:
            return self._check(credential)
        participant, is_invalid = self._current_participant(key)
        integrator = None
        # A sign-in precedes another session's cookie, except for a WebSocket, which would outlive it.
        if (participant is None or participant.key != key) and not flask.request.path.startswith("/ws/"):
            integrator = self.sign_ins.integrator()
        if integrator is not None:
            return self._require_own_page(integrator)
        if is_invalid and not self.is_development:  # there it may be another database's
            raise Unauthorized
        if participant is not None and (participant.key == key or not self.is_development):
            return self._require_own_page(participant)
        return record_principal(Developer()) if self.is_development else Anyone()

    def participant(self, token: str) -> Participant:
        principal = self._check(token)
        if not isinstance(principal, Participant):
            raise Unauthorized
        return principal

    def link_participant(self, token: str) -> Participant:
        """Return the participant of a link's token, which gives no access yet."""
        record_credential(token)
        with self.limits.counting_failures(client_address()):
            return record_principal(self.credentials.verify_link(token))

    def current_participant(self, survey_id: str) -> Participant | None:
        user = None if self.host is None else self.host.participant(survey_id)
        if user is not None:
            return record_principal(user)
        token = self.resume_cookies.cookie(survey_id).value
        if token is None:
            return None
        participant = self.credentials.verify_token(token)
        if participant.key.survey_id != survey_id:
            raise Unauthorized
        return record_principal(participant)

    def is_still_valid(self, principal: Principal) -> bool:
        return self.credentials.revocations.is_valid(principal, self._store.clock())

    def is_from_cookie(self, key: SessionKey) -> bool:
        if self.host is not None and self.host.user.participant is not None:
            return False
        participant, _ = self._current_participant(key)
        is_own = participant is not None and participant.key == key
        return is_own and flask.request.headers.get("Authorization") is None

    def set_resume_cookie(self, response: Response, key: SessionKey, renewed: Participant | None = None) -> None:
        self.resume_cookies.set(response, key.survey_id, self.new_token(key, renewed))

    def new_token(self, key: SessionKey, renewed: Participant | None = None) -> str:
        """Return a token that renews a participant's, or else grants access."""
        if renewed is None:
            return self.credentials.issue_token(key)[0]
        return self.credentials.issue_token(key, granted_at=renewed.granted_at, parameters=renewed.parameters)[0]

    def _bearer(self) -> str | None:
        header = flask.request.headers.get("Authorization")
        if header is not None:
            scheme, _, credential = header.partition(" ")
            if scheme.lower() != "bearer" or not credential.strip():
                raise Unauthorized
            return credential.strip()
        for item in flask.request.headers.get("Sec-WebSocket-Protocol", "").split(","):
            if item.strip().startswith(_TOKEN_PREFIX):
                return item.strip()[len(_TOKEN_PREFIX) :]
        return None

    def _check(self, credential: str) -> Participant | Integrator:
        record_credential(credential)
        with self.limits.counting_failures(client_address()):
            if credential.startswith(PREFIX):
                return record_principal(self.credentials.verify_key(credential))
            return record_principal(self.credentials.verify_token(credential))

    def _current_participant(self, key: SessionKey | None) -> tuple[Participant | None, bool]:
        """Return the participant, and whether a cookie's token is invalid."""
        if key is None:
            return None, False
        try:
            return self.current_participant(key.survey_id), False
        except Unauthorized:
            return None, True

    def _require_own_page(self, principal: Participant | Integrator) -> Principal:
        """Refuse cross-site writes: browsers send cookies with requests of any page."""
        if flask.request.method not in _SAFE_METHODS:
            require_same_origin(self._settings)
        return principal


class MetricsKeyCache:
    """Valid API keys, for metrics without the database, unless expired or revoked. Safe from any thread."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._mutex = threading.Lock()
        self._keys: dict[bytes, tuple[Integrator, float]] = {}

    def principal(self, *, cached_only: bool = False) -> Principal:
        digest = hashlib.sha256(flask.request.headers.get("Authorization", "").encode(errors="replace")).digest()
        cached, read_at = self._keys.get(digest, (None, 0.0))
        if cached is not None and not self._authenticator.is_still_valid(cached):
            cached = None
        if cached is not None and monotonic() - read_at < METRICS_KEY_AGE_S:
            return cached
        try:
            if cached_only:
                raise DatabaseUnavailable("slow")
            principal = self._authenticator.principal()
        except Unavailable:
            if cached is None:
                raise
            return cached
        if isinstance(principal, Integrator) and "Authorization" in flask.request.headers:
            with self._mutex:
                if len(self._keys) >= METRICS_KEYS:
                    self._keys.pop(next(iter(self._keys)))
                self._keys[digest] = principal, monotonic()
        return principal


def signing_secrets(settings: Settings) -> list[str]:
    """Return the secrets, the newest last; raise ConfigurationError for a weak one."""
    newest, *fallbacks = settings.secret_keys
    if settings.environment == "production":
        _require_strong("SECRET_KEY", newest)
        for fallback in fallbacks:
            _require_strong("STEPKEEP_SECRET_KEY_FALLBACKS", fallback)
    elif not newest:
        newest = _DEVELOPMENT_SECRET
    return [*reversed(fallbacks), newest]


def _require_strong(name: str, secret: str) -> None:
    if not secret:
        raise ConfigurationError(
            f"{name} is missing: in production it signs participants' tokens. {_HINT} "
            "(for commands without `make run`: STEPKEEP_ENVIRONMENT=development)"
        )
    is_example = "changeme" in secret.lower().replace("-", "").replace("_", "") or secret == _DEVELOPMENT_SECRET
    if len(secret) < MIN_SECRET_LENGTH or len(set(secret)) < MIN_SECRET_LENGTH // 4 or is_example:
        raise ConfigurationError(f"{name} is weak: it needs at least {MIN_SECRET_LENGTH} random characters. {_HINT}")
