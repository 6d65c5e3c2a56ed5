"""The application with credentials of each kind of caller of the authorization matrix."""

import itertools
from collections.abc import Callable

from app.access.principals import SCOPES, SERVER_SCOPES, Scope
from app.survey.snapshot import SessionKey
from tests.store.contents import Rows, dump
from tests.web.production import DAY_US, App, SessionReads, altered, signed_token

NUMBERS = itertools.count()
LIMITS = {"key of the survey": "phq9", "key of another survey": "intake"}


class Matrix:
    """The application on one database, with credentials of each kind of caller."""

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.port = port
        self.reads = SessionReads(app)
        self._keys: dict[tuple[str, Scope | None], str] = {}

    def new_user(self) -> str:
        return f"user-{next(NUMBERS)}"

    def authorization(self, caller: str, user_id: str, scope: Scope) -> str | None:
        """Return the Authorization header of this kind of caller."""
        key, at = SessionKey("phq9", user_id), self.app.clock()
        headers: dict[str, str | None] = {"nobody": None, "no bearer": "Basic YTpi", "nonsense": "Bearer nonsense"}
        if caller in headers:
            return headers[caller]
        tokens: dict[str, Callable[[], str]] = {
            "another's token": lambda: self.app.create_token(f"{user_id}-other"),
            "token of another survey": lambda: self.app.create_token(user_id, "intake"),
            "expired token": lambda: signed_token(self.app, key, at - 2 * DAY_US, DAY_US),
            "revoked token": lambda: self._revoked(key),
            "altered token": lambda: altered(self.app.create_token(user_id)),
            "participant": lambda: self.app.create_token(user_id),
        }
        return f"Bearer {tokens[caller]() if caller in tokens else self._key(caller, scope)}"

    def dump(self) -> Rows:
        """Return all rows but those of the audit log."""
        return {name: rows for name, rows in dump(self.app.store).items() if not name.startswith("audit_")}

    def _revoked(self, key: SessionKey) -> str:
        token = self.app.create_token(key.user_id)
        self.app.credentials.revoke_tokens(key)
        return token

    def _key(self, caller: str, scope: Scope) -> str:
        key = self._keys.get((caller, scope))
        if key is None:
            key = self._keys[caller, scope] = self._new_key(caller, scope)
        return key

    def _new_key(self, caller: str, scope: Scope) -> str:
        if caller == "nonsense key":
            return f"stepkeep_{'a' * 12}_{'b' * 43}"
        if caller == "altered key":
            return altered(self.app.create_key(scope))
        if caller == "key without the scope":
            return self.app.create_key(*(other for other in SCOPES if other != scope))
        if caller == "expired key":
            self.app.clock.ahead_us = -2 * DAY_US
            key = self.app.create_key(scope, expires_at=self.app.clock() + DAY_US)
            self.app.clock.ahead_us = 0
            return key
        if caller in LIMITS:
            scopes: list[Scope] = ["sessions:read"] if scope in SERVER_SCOPES else [scope]
            return self.app.create_key(*scopes, surveys=[LIMITS[caller]])
        key = self.app.create_key(scope)
        if caller == "revoked key":
            self.app.credentials.revoke_key(key.split("_")[1])
        return key
