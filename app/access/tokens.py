"""Resume tokens and API keys.

A token is base64url JSON, ``[survey_id, user_id, issued_at, expires_at, granted_at, mark, parameters]`` (times in
microseconds since 1970 UTC; the last three as far as needed), and an HMAC-SHA256.

API keys are stored as SHA-256, enough for 256 random bits (OWASP ASVS 5.0, 11.4; NIST SP 800-63B, 5.1.1).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from itsdangerous import BadData, URLSafeSerializer

from ..errors import Unauthorized
from ..store import CLOCK_SKEW_US
from ..survey import SessionKey
from .principals import Participant

MAX_LENGTH = 2048  # characters; the longest survey and user ids need 470, MAX_INVITATION_BYTES of parameters 1,334 more

_SHAPE = re.compile(r"\.?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""Canonical only: itsdangerous ignores foreign characters and spare bits in base64 (RFC 4648, 3.5 and 12)."""

DAY_US = 86_400 * 1_000_000
PREFIX = "stepkeep_"  # for secret scanners, and to tell a key from a token

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_KEY = re.compile(rf"{PREFIX}([{_ALPHABET}]{{12}})_([A-Za-z0-9_-]{{43}})")
_NONE = hashlib.sha256(b"no key").hexdigest()


def new_link_id() -> str:
    """Return 128 random bits: a mark that is no INVITATION."""
    return secrets.token_urlsafe(16)


def new_user_id() -> str:
    """Return 128 random bits in hex: a leading ``-`` would be a shell option."""
    return secrets.token_hex(16)


class ResumeTokens:
    """Accepts all secrets; the last signs. Safe from any thread."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._serializer = URLSafeSerializer(
            list(secrets),
            salt="stepkeep.resume",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def issue(
        self,
        key: SessionKey,
        at: int,
        life_us: int,
        granted_at: int | None = None,
        mark: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> str:
        payload: list[object] = [*key, at, at + life_us]
        if granted_at is not None or mark is not None or parameters:
            payload.append(at if granted_at is None else granted_at)
        if mark is not None or parameters:
            payload.append(mark)
        if parameters:
            payload.append(parameters)
        return self._serializer.dumps(payload)

    def read(self, token: str, at: int) -> Participant:
        """Raise Unauthorized also if issued more than CLOCK_SKEW_US in the future."""
        if len(token) > MAX_LENGTH or not _SHAPE.fullmatch(token):
            raise Unauthorized
        try:
            payload: Any = self._serializer.loads(token)
        except BadData:
            raise Unauthorized from None
        survey_id, user_id, issued_at, expires_at, *more = payload  # well-formed: it is signed
        if at >= expires_at or issued_at > at + CLOCK_SKEW_US:  # no revocation reaches far into the future
            raise Unauthorized
        return Participant(
            key=SessionKey(survey_id, user_id),
            issued_at=issued_at,
            expires_at=expires_at,
            granted_at=more[0] if more else issued_at,
            mark=more[1] if more[1:] else None,
            parameters=more[2] if more[2:] else {},
        )


class NewKey(NamedTuple):
    """A key when it is created."""

    key_id: str
    text: str
    secret_hash: str


def new_key() -> NewKey:
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    return NewKey(key_id, f"{PREFIX}{key_id}_{secret}", hash_secret(secret))


def parse_key_id(text: str) -> str | None:
    """Return None if malformed."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def matches_key(text: str, secret_hash: str | None) -> bool:
    """Compare in constant time, also for an unknown key."""
    match = _KEY.fullmatch(text)
    is_same = hmac.compare_digest(hash_secret(match[2] if match else ""), secret_hash or _NONE)
    return is_same and secret_hash is not None


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
