"""API keys: ``stepkeep_<id>_<secret>``, made here, shown once, kept as a hash.

The id finds the row, the secret is 256 random bits. A plain SHA-256 is enough for it: slow hashes protect what
people choose (OWASP ASVS 5.0, 11.4; NIST SP 800-63B, 5.1.1), and this can't be guessed.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

PREFIX = "stepkeep_"
"""With which each begins, so that scanners for leaked secrets find one, and doors tell it from a token."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_KEY = re.compile(rf"{PREFIX}([{_ALPHABET}]{{12}})_([A-Za-z0-9_-]{{43}})")
_NONE = hashlib.sha256(b"no key").hexdigest()


class NewKey(NamedTuple):
    """A key at the moment when it is made."""

    key_id: str
    text: str
    secret_hash: str


def new_key() -> NewKey:
    """Return a new key; its text is to be shown to its owner and then forgotten."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    return NewKey(key_id, f"{PREFIX}{key_id}_{secret}", _hash(secret))


def id_in(text: str) -> str | None:
    """Return the id of the key that the text has the form of; None where it has not."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def is_secret_of(text: str, secret_hash: str | None) -> bool:
    """Return whether it is the key of this hash; takes as long where there is no such key (None)."""
    match = _KEY.fullmatch(text)
    is_same = hmac.compare_digest(_hash(match[2] if match else ""), secret_hash or _NONE)
    return is_same and secret_hash is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
