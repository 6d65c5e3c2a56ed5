"""Creates, verifies and revokes credentials."""

import secrets
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..errors import InvalidInput, LinkUsed, Unauthorized
from ..sessions import SessionStore
from ..store import StoredKey, credentials, leases
from ..survey import SessionKey
from .principals import SCOPES, SERVER_SCOPES, Integrator, Participant
from .revocations import Revocations
from .tokens import DAY_US, ResumeTokens, hash_secret, matches_key, new_key, parse_key_id

IDLE_US = 30 * 60 * 1_000_000  # a sign-in without requests expires (OWASP ASVS 5.0, 7.3.1)
SIGNED_IN_US = 12 * 3600 * 1_000_000  # a sign-in's longest life (OWASP ASVS 5.0, 7.3.2)
RECORD_INTERVAL_US = 60 * 1_000_000  # precision of a recorded last use: each record is a write
MAX_NAME = 100


class Credentials:
    """Callers never learn why a credential is invalid. Safe from any thread."""

    def __init__(self, store: SessionStore, signing: Sequence[str]) -> None:
        self._store = store
        self._tokens = ResumeTokens(signing)
        self._life_us = int(store.settings.token_days * DAY_US)
        self._mutex = threading.Lock()
        self._recorded: dict[str, int] = {}
        self.revocations = Revocations(store, self._life_us)
        store.add_close_callback(self.revocations.close)

    def issue_token(
        self,
        key: SessionKey,
        life_us: int | None = None,
        *,
        granted_at: int | None = None,
        mark: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> tuple[str, int]:
        """Return a token and its expiry, microseconds since 1970 UTC; ``granted_at`` is of the token that it renews."""
        at = self._store.clock()
        if granted_at is None:  # the clock that revoked earlier tokens may be ahead
            at = max(at, self.revocations.revoked_at(key) + 1)
        life = self._life_us if life_us is None else min(life_us, self._life_us)
        return self._tokens.issue(key, at, life, granted_at, mark, parameters), at + life

    def verify_token(self, token: str) -> Participant:
        """Return the participant; raise Unauthorized also for a link that works once."""
        participant = self.verify_link(token)
        if participant.link_id is not None:
            raise Unauthorized
        return participant

    def verify_link(self, token: str) -> Participant:
        """Return the participant of a link; only :meth:`use_link` gives access."""
        at = self._store.clock()
        participant = self._tokens.read(token, at)
        # STEPKEEP_TOKEN_DAYS also limits older tokens, so that older revocations need not be kept.
        if at >= participant.issued_at + self._life_us or not self.revocations.is_valid(participant, at):
            raise Unauthorized
        return participant

    def require_unused(self, participant: Participant, exchange_id: str) -> None:
        name = _link_name(participant)
        user = name and self._store.run_read(lambda connection: leases.read_holder(connection, name))
        if user is not None and user != hash_secret(exchange_id):
            raise LinkUsed

    def use_link(self, participant: Participant, exchange_id: str) -> None:
        """Raise LinkUsed unless this exchange is the first."""
        name = _link_name(participant)
        if name is None:
            return
        at, user = self._store.clock(), hash_secret(exchange_id)
        # Until it expires, whatever the clock says.
        use = partial(leases.acquire, name=name, holder=user, at=at, for_us=participant.expires_at - at)
        if not self._store.run_transaction(use):
            raise LinkUsed

    def should_renew(self, participant: Participant) -> bool:
        return self._store.clock() - participant.issued_at > self._life_us // 2

    def revoke_tokens(self, key: SessionKey, *, granted_at: int | None = None) -> None:
        """Revoke a session's tokens; raise Unauthorized if ``granted_at`` was revoked meanwhile."""
        at = self._store.clock()
        self._store.run_transaction(lambda connection: credentials.revoke_tokens(connection, key, at, granted_at))
        self.revocations.add_tokens(key, at)

    def create_key(
        self, name: str, scopes: Sequence[str], expires_at: int | None = None, surveys: Sequence[str] | None = None
    ) -> str:
        """Return the key's text; ``expires_at`` is in microseconds since 1970 UTC."""
        at = self._store.clock()
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise InvalidInput(f"The name of a key must have 1 to {MAX_NAME} printable characters.")
        wrong = [scope for scope in scopes if scope not in SCOPES]
        if wrong or not scopes:
            raise InvalidInput(
                f"The scopes of a key must be among {', '.join(SCOPES)}, not {', '.join(wrong) or 'none'}."
            )
        if expires_at is not None and expires_at <= at:
            raise InvalidInput("The expiry of a key must be in the future.")
        _require_limitable(scopes, surveys)
        new = new_key()
        stored = StoredKey(
            id=new.key_id,
            name=name.strip(),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            secret_hash=new.secret_hash,
            created_at=at,
            expires_at=expires_at,
            last_used_at=None,
            revoked_at=None,
            surveys=None if surveys is None else tuple(sorted(set(map(self._store.queries.survey_id, surveys)))),
        )
        self._store.run_transaction(lambda connection: credentials.add_key(connection, stored))
        return new.text

    def keys(self) -> list[StoredKey]:
        return self._store.run_read(credentials.read_keys)

    def revoke_key(self, key_id: str) -> bool:
        """Revoke a key and its sign-ins; return whether it was valid."""
        at = self._store.clock()
        was_revoked = self._store.run_transaction(lambda connection: credentials.revoke_key(connection, key_id, at))
        if was_revoked:
            self.revocations.add_key(key_id)
        return was_revoked

    def verify_key(self, text: str) -> Integrator:
        key_id = parse_key_id(text)
        stored = None
        if key_id is not None:
            stored = self._store.run_read(lambda connection: credentials.read_key(connection, key_id))
        is_right = matches_key(text, None if stored is None else stored.secret_hash)
        at = self._store.clock()
        if stored is None or not is_right or not stored.is_valid(at):
            raise Unauthorized
        if self._should_record_use(stored.id, stored.last_used_at, at):
            self._store.run_transaction(lambda connection: credentials.record_key_use(connection, stored.id, at))
        return _integrator(stored)

    def sign_in(self, text: str) -> tuple[str, Integrator]:
        integrator = self.verify_key(text.strip())
        cookie = secrets.token_urlsafe(32)
        at = self._store.clock()
        self._store.run_transaction(
            lambda connection: credentials.add_sign_in(
                connection, hash_secret(cookie), integrator.key_id, at, old_before=at - SIGNED_IN_US
            )
        )
        return cookie, integrator

    def verify_sign_in(self, cookie: str) -> Integrator:
        at = self._store.clock()
        hashed = hash_secret(cookie)
        found = self._store.run_read(lambda connection: credentials.read_sign_in(connection, hashed))
        if (
            found is None
            or at - found.seen_at > IDLE_US
            or at - found.signed_in_at > SIGNED_IN_US
            or not found.key.is_valid(at)
        ):
            raise Unauthorized
        if at - found.seen_at > RECORD_INTERVAL_US:
            self._store.run_transaction(lambda connection: credentials.record_sign_in_use(connection, hashed, at))
        return _integrator(found.key)

    def sign_out(self, cookie: str) -> None:
        self._store.run_transaction(lambda connection: credentials.end_sign_in(connection, hash_secret(cookie)))

    def _should_record_use(self, key_id: str, last_used_at: int | None, at: int) -> bool:
        with self._mutex:
            recorded = max(last_used_at or 0, self._recorded.get(key_id, 0))
            if at - recorded <= RECORD_INTERVAL_US:
                return False
            self._recorded[key_id] = at
            return True


def _require_limitable(scopes: Sequence[str], surveys: Sequence[str] | None) -> None:
    if surveys is None:
        return
    if not surveys:
        raise InvalidInput("A key that is limited to surveys must name at least one.")
    wide = [scope for scope in scopes if scope in SERVER_SCOPES]
    if wide:
        raise InvalidInput(
            f"A key that is limited to surveys can't have {', '.join(wide)}, which concerns all of them."
        )


def _link_name(participant: Participant) -> str | None:
    return None if participant.link_id is None else leases.link_name(participant.link_id, participant.expires_at)


def _integrator(stored: StoredKey) -> Integrator:
    return Integrator(
        key_id=stored.id,
        name=stored.name,
        scopes=frozenset(scope for scope in SCOPES if scope in stored.scopes),
        expires_at=stored.expires_at,
        surveys=None if stored.surveys is None else frozenset(stored.surveys),
    )
