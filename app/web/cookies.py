"""Cookies of participants and of dashboard sign-ins."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import flask
from werkzeug import Response

from ..access import DAY_US, Credentials, Developer, Integrator, Participant
from ..core.formats import SURVEY_ID
from ..errors import Forbidden, StepkeepError, Unauthorized
from ..sessions import SessionStore
from ..settings import Settings
from ..survey import SessionKey
from .host_login import HostPrincipals
from .rate_limits import RateLimits
from .request_origin import client_address, require_same_origin
from .security_log import record_credential, record_principal

SameSite = Literal["Lax", "Strict", "None"]

MAX_RESUME_BYTES = 6 * 1024  # of a browser's resume cookies: many servers refuse a header of more than 8 KiB
MAX_CLEARED = 10  # cookies that one response clears: nginx accepts 4 KiB of headers


class Cookie:
    """A cookie of the pages below a path."""

    def __init__(
        self, settings: Settings, name: str, samesite: SameSite, max_age_s: int | None = None, path: str = ""
    ) -> None:
        self._name, self._max_age_s, self._path_below_prefix = name, max_age_s, path
        self._is_secure = settings.environment != "development"
        self._attributes: dict[str, Any] = {"secure": self._is_secure, "httponly": True, "samesite": samesite}
        if samesite == "None":
            self._attributes["partitioned"] = True  # only in frames of the same site

    @property
    def name(self) -> str:
        """With the strictest prefix that the path allows (RFC 6265bis, 4.1.3)."""
        if not self._is_secure:
            return self._name
        return f"__Host-{self._name}" if self._path == "/" else f"__Secure-{self._name}"

    @property
    def value(self) -> str | None:
        return flask.request.cookies.get(self.name)

    def set(self, response: Response, value: str) -> None:
        response.set_cookie(self.name, value, max_age=self._max_age_s, path=self._path, **self._attributes)

    def clear(self, response: Response) -> None:
        response.delete_cookie(self.name, path=self._path, **self._attributes)

    @property
    def _path(self) -> str:
        return f"{flask.request.script_root}/{self._path_below_prefix}"


class ResumeCookies:
    """A cookie for each survey; bounded: a browser sends all with each request."""

    def __init__(self, store: SessionStore, credentials: Credentials) -> None:
        self._store = store
        self._credentials = credentials

    def cookie(self, survey_id: str) -> Cookie:
        # Strict is not sent from an e-mail's link: the participant would look new.
        return Cookie(self._store.settings, f"stepkeep.{survey_id}", "Lax", self._age_s)

    def embedded(self, survey_id: str) -> Cookie:
        # Of the page in a frame of another site, where browsers send no other cookie.
        return Cookie(self._store.settings, f"stepkeep-embedded.{survey_id}", "None", self._age_s, "embed/")

    def set(self, response: Response, survey_id: str, token: str) -> None:
        self.cookie(survey_id).set(response, token)
        self.limit(response, survey_id, token)

    def limit(self, response: Response, kept: str, token: str | None = None) -> None:
        """Clear cookies beyond MAX_RESUME_BYTES: invalid ones, then those of completed sessions, then the oldest."""
        tokens = self._tokens() if token is None else {**self._tokens(), kept: token}
        sizes = {survey_id: len(f"{self.cookie(survey_id).name}={text}; ") for survey_id, text in tokens.items()}
        excess = sum(sizes.values()) - MAX_RESUME_BYTES
        candidates = self._least_valuable_first(tokens) if excess > 0 else []
        for survey_id in [each for each in candidates if each != kept][:MAX_CLEARED]:
            if excess > 0:
                self.cookie(survey_id).clear(response)
                excess -= sizes[survey_id]

    def _tokens(self) -> dict[str, str]:
        prefix = self.cookie("").name
        own = [(name, token) for name, token in flask.request.cookies.items() if name.startswith(prefix)]
        tokens = {name.removeprefix(prefix): token for name, token in own}
        return {survey_id: token for survey_id, token in tokens.items() if re.fullmatch(SURVEY_ID, survey_id)}

    def _least_valuable_first(self, tokens: Mapping[str, str]) -> list[str]:
        participants = {survey_id: self._participant(token) for survey_id, token in tokens.items()}
        completed = self._completed([each.key for each in participants.values() if each is not None])

        def value(survey_id: str) -> tuple[bool, bool, int]:
            participant = participants[survey_id]
            issued_at = 0 if participant is None else participant.issued_at
            return participant is not None, survey_id not in completed, issued_at

        return sorted(tokens, key=value)

    def _participant(self, token: str) -> Participant | None:
        try:
            return self._credentials.verify_token(token)
        except Unauthorized:
            return None

    def _completed(self, keys: Sequence[SessionKey]) -> frozenset[str]:
        try:
            snapshots = [self._store.queries.load(key) for key in keys]
        except StepkeepError:
            return frozenset()
        present = [each for each in snapshots if each is not None]
        return frozenset(each.key.survey_id for each in present if each.state.status == "completed")

    @property
    def _age_s(self) -> int | None:
        settings = self._store.settings
        return None if settings.kiosk_minutes else int(settings.token_days * DAY_US // 1_000_000)


class SignIns:
    """Starts, finds and ends dashboard sign-ins."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        limits: RateLimits,
        secret: str,
        host: HostPrincipals | None,
        *,
        is_development: bool,
    ) -> None:
        self._host = host
        self._is_development = is_development
        self._settings = settings
        self._credentials = credentials
        self._cookie = Cookie(settings, "stepkeep-sign-in", "Strict")
        self._limits = limits
        self._secret = secret

    def principal(self) -> Integrator | Developer:
        integrator = self.integrator()
        if integrator is not None:
            return integrator
        if self._is_development:
            return Developer()
        raise Unauthorized

    @property
    def are_hosts(self) -> bool:
        """Whether the host application opens the dashboard."""
        return self._host is not None and self._host.has_dashboard

    def integrator(self) -> Integrator | None:
        if self._host is not None and self._host.has_dashboard:
            integrator = self._host.integrator()
            return None if integrator is None else record_principal(integrator)
        cookie = self._cookie.value
        if cookie is None:
            return None
        try:
            return record_principal(self._credentials.verify_sign_in(cookie))
        except Unauthorized:
            return None

    def begin(self, api_key: str, response: Response) -> Integrator:
        if self.are_hosts:
            raise Forbidden("Sign in to the application that this dashboard is part of.")
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
        require_same_origin(self._settings)
        if not hmac.compare_digest(token.encode(), self.csrf_token().encode()):
            raise Forbidden("This form has expired. Reload the page.")

    def _end_stored(self) -> None:
        cookie = self._cookie.value
        if cookie is not None:
            self._credentials.sign_out(cookie)
