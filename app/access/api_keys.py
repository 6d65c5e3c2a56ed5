"""API keys, ``stepkeep_<id>_<secret>``: shown once, stored as a hash.

SHA-256 is enough for 256 random bits: slow hashes protect secrets that people choose (OWASP ASVS 5.0, 11.4; NIST SP
800-63B, 5.1.1).
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

PREFIX = "stepkeep_"
"""For secret scanners, and to tell a key from a token."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_KEY = re.compile(rf"{PREFIX}([{_ALPHABET}]{{12}})_([A-Za-z0-9_-]{{43}})")
_NONE = hashlib.sha256(b"no key").hexdigest()


class NewKey(NamedTuple):
    """A key when it is created."""

    key_id: str
    text: str
    secret_hash: str


def new_key() -> NewKey:
    """Return a new key; show its text to its owner, do not store it."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    return NewKey(key_id, f"{PREFIX}{key_id}_{secret}", _hash(secret))


def parse_key_id(text: str) -> str | None:
    """Return the id in a key's text; None if malformed."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def matches_key(text: str, secret_hash: str | None) -> bool:
    """Compare in constant time, also for an unknown key (None)."""
    match = _KEY.fullmatch(text)
    is_same = hmac.compare_digest(_hash(match[2] if match else ""), secret_hash or _NONE)
    return is_same and secret_hash is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
