"""Encryption of answers at rest: AES-256-GCM (NIST SP 800-38D) with random nonces.

``enc:1:<key id>:<base64url of nonce, ciphertext and tag>``; JSON never begins with ``e``, so values may also be plain.
A key is good for 2^32 values (SP 800-38D, 8.3), about three a turn.
"""

import base64
import hashlib
import os
from bisect import bisect_left
from collections.abc import Sequence

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import ConfigurationError, MissingKey

ValueLocation = tuple[str | int, ...]  # table and column, survey_id, user_id, and history's version; or a webhook's id

ANSWERS = "sessions.answers"
DRAFTS = "sessions.drafts"
SESSION_DATA = "sessions.session_data"
CONTEXT = "sessions.context"
ANSWER = "session_history.answer"
DATA = "session_history.data"

# What is encrypted instead of a NULL, which would tell that there is none. The survey tells whether there is a context.
ABSENT = {SESSION_DATA: "null", DRAFTS: "{}", ANSWER: "null", DATA: "{}"}

# Bytes to which texts are padded: their lengths tell nothing else. Longer ones have no class.
SIZE_CLASSES = tuple(2**power for power in range(6, 25))

SET_ASIDE = "~set-aside-"  # follows the user id; no participant's id contains ``~``
ENCRYPTED_PREFIX = "enc:"
KEY_BYTES = 32
NONCE_BYTES = 12
_TAG_BYTES = 16
PLAIN_FIRST = "plain"  # first in STEPKEEP_ANSWERS_KEYS: new values are stored plain
_FORMAT_VERSION = "1"


class DecryptionError(ValueError):
    """An encrypted value was truncated, changed or moved."""


class Cipher:
    """Encrypts with its first key, decrypts with any. Safe from any thread."""

    def __init__(self, keys: Sequence[bytes] = (), *, is_on: bool = True) -> None:
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.has_keys = bool(keys)
        self.is_on = is_on and self.has_keys
        self.prefix = f"{ENCRYPTED_PREFIX}{_FORMAT_VERSION}:{key_id(keys[0])}:" if self.is_on else ""
        self._first = self._ciphers[key_id(keys[0])] if keys else None

    def encrypt(self, text: str, location: ValueLocation) -> str:
        """Encrypt a text that ends in no space, if encryption is on."""
        if not self.is_on or self._first is None:
            return text
        nonce = os.urandom(NONCE_BYTES)  # the system's: a forked child never repeats its parent's
        encrypted = self._first.encrypt(nonce, _pad(text.encode()), _associated_data(location))
        return self.prefix + base64.urlsafe_b64encode(nonce + encrypted).decode()

    def decrypt(self, text: str, location: ValueLocation) -> str:
        """Return a value's text; raise MissingKey, or DecryptionError if it was changed or moved."""
        if not text.startswith(ENCRYPTED_PREFIX):
            return text
        cipher, body = self._parts(text)
        try:
            encrypted = base64.urlsafe_b64decode(body)
            padded = cipher.decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], _associated_data(location))
            return padded.rstrip(b" ").decode()
        except (InvalidTag, ValueError) as error:  # ValueError: no base64, or too short for a nonce
            raise DecryptionError(f"An encrypted value of {location[0]} can't be decrypted.") from error

    def encrypted_length(self, size_bytes: int) -> int:
        return len(self.prefix) + (NONCE_BYTES + size_bytes + _TAG_BYTES + 2) // 3 * 4

    def missing_key_id(self, text: str | None) -> str | None:
        try:
            if text is not None and text.startswith(ENCRYPTED_PREFIX):
                self._parts(text)
        except MissingKey as error:
            return error.key_id
        except DecryptionError:
            return None
        return None

    def _parts(self, text: str) -> tuple[AESGCM, str]:
        try:
            _, format_version, encryption_key_id, body = text.split(":", 3)
        except ValueError as error:
            raise DecryptionError("An encrypted value is truncated.") from error
        cipher = self._ciphers.get(encryption_key_id)
        if cipher is None or format_version != _FORMAT_VERSION:  # a newer release's format is not damage
            raise MissingKey(encryption_key_id)
        return cipher, body


PLAIN = Cipher()


def key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def cipher_from_keys(answers_keys: str) -> Cipher:
    """Parse STEPKEEP_ANSWERS_KEYS; raise ConfigurationError if a key is invalid."""
    items = [item.strip() for item in answers_keys.split(",")]
    if items == [""]:
        return PLAIN
    is_on = items[0] != PLAIN_FIRST
    encoded = items if is_on else items[1:]
    keys = [_key(item, f"key {number} of {len(encoded)}") for number, item in enumerate(encoded, start=1)]
    if len({key_id(key) for key in keys}) < len(keys):
        raise ConfigurationError("STEPKEEP_ANSWERS_KEYS: the same key stands there twice")
    return Cipher(keys, is_on=is_on)


def _key(item: str, name: str) -> bytes:
    try:
        key = base64.b64decode(item.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"STEPKEEP_ANSWERS_KEYS: {name} is not {KEY_BYTES} bytes in base64: `openssl rand -base64 32`"
        )
    if len(set(key)) < KEY_BYTES // 4:
        raise ConfigurationError(
            f"STEPKEEP_ANSWERS_KEYS: {name} is not random: `openssl rand -base64 32` makes one that is"
        )
    return key


def _pad(text: bytes) -> bytes:
    position = bisect_left(SIZE_CLASSES, len(text))
    return text if position == len(SIZE_CLASSES) else text.ljust(SIZE_CLASSES[position])  # JSON permits spaces


def _associated_data(location: ValueLocation) -> bytes:
    column, first, *rest = location
    if rest:  # so that the values of sessions set aside stay readable
        rest[0] = str(rest[0]).partition(SET_ASIDE)[0]
    return orjson.dumps((_FORMAT_VERSION, column, first, *rest))
