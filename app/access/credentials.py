"""Credentials: API keys made, shown and revoked; sign-ins to the dashboard; participants' tokens. Safe from any thread.

What is checked at each request reads one row at most; what tells apart a key that is unknown, wrong, expired or
revoked stays here.
"""

import hashlib
import secrets
import threading
from collections.abc import Sequence

from ..errors import InvalidInput, Unauthorized
from ..sessions.service import SessionStore
from ..store import credentials
from ..store.credentials import StoredKey
from ..survey import SessionKey
from . import api_keys
from .principals import SCOPES, Integrator, Participant, Scope
from .revocations import Revocations
from .tokens import DAY_US, ResumeTokens

IDLE_US = 30 * 60 * 1_000_000
"""A sign-in without a request for this long has ended (OWASP ASVS 5.0, 7.3.1)."""

SIGNED_IN_US = 12 * 3600 * 1_000_000
"""A sign-in ends after this long, whatever is done with it (7.3.2)."""

RECORD_INTERVAL_US = 60 * 1_000_000
"""How exactly it is noted when a key was used or a sign-in seen: each note is a write."""

MAX_NAME = 100


class Credentials:
    """All that proves who somebody is.

    Args:
        store: in whose database they are kept.
        secrets: what signs tokens, the newest last.
    """

    def __init__(self, store: SessionStore, signing: Sequence[str]) -> None:
        self._store = store
        self._tokens = ResumeTokens(signing)
        self._life_us = int(store.settings.token_days * DAY_US)
        self._mutex = threading.Lock()
        self._noted: dict[str, int] = {}
        self.revocations = Revocations(
            lambda since: store.run_read(lambda connection: credentials.read_revocations(connection, since)),
            lambda: store.run_read(credentials.read_revoked_keys),
            self._forget_revocations,
            clock=store.clock,
            life_us=self._life_us,
        )
        store.add_close_callback(self.revocations.close)

    def issue_token(self, key: SessionKey, life_us: int | None = None) -> tuple[str, int]:
        """Return a new resume token of a session's participant and when it expires (microseconds since 1970 UTC).

        There need be no session yet: it begins when he comes.
        """
        at = self._store.clock()
        life = self._life_us if life_us is None else min(life_us, self._life_us)
        return self._tokens.issue(key, at, life), at + life

    def participant(self, token: str) -> Participant:
        """Return whose token it is.

        Raises:
            Unauthorized: it doesn't hold.
        """
        at = self._store.clock()
        found = self._tokens.read(token, at)
        # Also in force: STEPKEEP_TOKEN_DAYS as it is now, so that revocations older than that need not be kept.
        if at >= found.issued_at + self._life_us or not self.revocations.holds(found, at):
            raise Unauthorized
        return found

    def should_renew(self, who: Participant) -> bool:
        """Return whether a token should be replaced by a new one, now that its owner is there."""
        return self._store.clock() - who.issued_at > self._life_us // 2

    def revoke_tokens(self, key: SessionKey) -> None:
        """Revoke all tokens of a session that were issued up to now: on all devices, and all links."""
        at = self._store.clock()

        self._store.run_transaction(lambda connection: credentials.revoke_tokens(connection, key, at))
        self.revocations.note(key, at)

    def create_key(self, name: str, scopes: Sequence[str], expires_at: int | None = None) -> str:
        """Return a new API key, for the only time.

        Args:
            expires_at: microseconds since 1970 UTC; None: never.

        Raises:
            InvalidInput: no name, no such scope, or a time that is over.
        """
        at = self._store.clock()
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise InvalidInput(f"a key's name has 1 to {MAX_NAME} printable characters: say whose it is")
        wrong = [scope for scope in scopes if scope not in SCOPES]
        if wrong or not scopes:
            raise InvalidInput(f"a key's scopes are some of {', '.join(SCOPES)}, not {', '.join(wrong) or 'none'}")
        if expires_at is not None and expires_at <= at:
            raise InvalidInput("a key must expire in the future")
        made = api_keys.new_key()
        stored = StoredKey(
            key_id=made.key_id,
            name=name.strip(),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            secret_hash=made.secret_hash,
            created_at=at,
            expires_at=expires_at,
            last_used_at=None,
            revoked_at=None,
        )
        self._store.run_transaction(lambda connection: credentials.add_key(connection, stored))
        return made.text

    def keys(self) -> list[StoredKey]:
        """Return all API keys, the newest first."""
        return self._store.run_read(credentials.read_keys)

    def revoke_key(self, key_id: str) -> bool:
        """Revoke an API key and end its sign-ins; return False where no key of this id holds."""
        at = self._store.clock()
        was_revoked = self._store.run_transaction(lambda connection: credentials.revoke_key(connection, key_id, at))
        if was_revoked:
            self.revocations.note_key(key_id)
        return was_revoked

    def integrator(self, text: str) -> Integrator:
        """Return whose API key it is.

        Raises:
            Unauthorized: it doesn't hold.
            Unavailable: the database can't be read now.
        """
        key_id = api_keys.parse_key_id(text)
        stored = (
            None
            if key_id is None
            else self._store.run_read(lambda connection: credentials.read_key(connection, key_id))
        )
        is_right = api_keys.matches_key(text, None if stored is None else stored.secret_hash)
        at = self._store.clock()
        if stored is None or not is_right or not stored.holds(at):
            raise Unauthorized
        if self._should_record_use(stored.key_id, stored.last_used_at, at):
            self._store.run_transaction(lambda connection: credentials.note_use(connection, stored.key_id, at))
        return _integrator(stored)

    def sign_in(self, text: str) -> tuple[str, Integrator]:
        """Return the cookie of a new sign-in with an API key, and whose it is.

        Raises:
            Unauthorized: the key doesn't hold.
        """
        who = self.integrator(text.strip())
        cookie = secrets.token_urlsafe(32)
        at = self._store.clock()
        self._store.run_transaction(
            lambda connection: credentials.add_sign_in(
                connection, _hash(cookie), who.key_id, at, old_before=at - SIGNED_IN_US
            )
        )
        return cookie, who

    def signed_in(self, cookie: str) -> Integrator:
        """Return who signed in and got this cookie.

        Raises:
            Unauthorized: he signed out, was away too long, or his key holds no more.
        """
        at = self._store.clock()
        hashed = _hash(cookie)
        found = self._store.run_read(lambda connection: credentials.read_sign_in(connection, hashed))
        if (
            found is None
            or at - found.seen_at > IDLE_US
            or at - found.signed_in_at > SIGNED_IN_US
            or not found.key.holds(at)
        ):
            raise Unauthorized
        if at - found.seen_at > RECORD_INTERVAL_US:
            self._store.run_transaction(lambda connection: credentials.see_sign_in(connection, hashed, at))
        return _integrator(found.key)

    def sign_out(self, cookie: str) -> None:
        """End the sign-in of this cookie; what has ended stays so."""
        self._store.run_transaction(lambda connection: credentials.end_sign_in(connection, _hash(cookie)))

    def _forget_revocations(self, before: int) -> None:
        if self._store.run_read(lambda connection: credentials.has_revocations(connection, before)):
            self._store.run_transaction(lambda connection: credentials.forget_revocations(connection, before))

    def _should_record_use(self, key_id: str, last_used_at: int | None, at: int) -> bool:
        with self._mutex:
            noted = max(last_used_at or 0, self._noted.get(key_id, 0))
            if at - noted <= RECORD_INTERVAL_US:
                return False
            self._noted[key_id] = at
            return True


def _integrator(stored: StoredKey) -> Integrator:
    scopes: frozenset[Scope] = frozenset(scope for scope in SCOPES if scope in stored.scopes)
    return Integrator(key_id=stored.key_id, name=stored.name, scopes=scopes, expires_at=stored.expires_at)


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="replace")).hexdigest()  # of ours all are ASCII
