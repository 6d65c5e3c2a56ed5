"""Answers at rest, encrypted: the cipher, and the keys of STEPKEEP_ANSWERS_KEYS.

AES-256-GCM (NIST SP 800-38D) with a random nonce for each value. A sealed value is text,
``enc:1:<key id>:<base64url of nonce, ciphertext and tag>``; JSON never begins with ``e``, so that plain and sealed
values may lie in one table, and sealing can be switched on at any time.

Sealed are ``answers``, ``drafts`` and ``session_data`` of sessions, ``answer`` and ``data`` of their history (which
holds drafts, whole saved states, and the fingerprints of commands: hashes of answers that need no key to be tried).
Not sealed: where a session is and has been (``current_step``, ``step_history``, ``step``), what was done and when
(``action``, the times), and who it is (``user_id``, ``message_id``): lists and filters need them. Nor does it hide how
long an answer is. Who can write to the database can put plain text, or an older value of the same place, into a row.

A key is good for 2^32 values with random nonces (SP 800-38D, 8.3), some three a turn: begin a new one well before a
thousand million turns (``operations/rotation.py``). Pure but for the nonces; imported by the rest of ``store/``.
"""

import base64
import hashlib
import os
from collections.abc import Sequence

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import ConfigurationError, MissingKey

ValueLocation = tuple[str | int, ...]
"""Where a value lies: table and column, survey_id, user_id, and in history the version; of a webhook, its id."""

ANSWERS = "sessions.answers"
DRAFTS = "sessions.drafts"
SESSION_DATA = "sessions.session_data"
ANSWER = "session_history.answer"
DATA = "session_history.data"

SET_ASIDE = "~set-aside-"
"""Follows the user id in the name of a session that was set aside; no participant's id has a ``~``."""

ENCRYPTED_PREFIX = "enc:"
"""What every sealed value begins with, and no JSON."""

KEY_BYTES = 32
NONCE_BYTES = 12

PLAIN_FIRST = "plain"
"""First entry of STEPKEEP_ANSWERS_KEYS to store new values unencrypted; the keys decrypt old values only."""

_FORM = "1"


class DecryptionError(ValueError):
    """A sealed value that was cut, changed, or moved here from another place: as unreadable as corrupt JSON."""


class Cipher:
    """Seals values with its first key, and opens what any of its keys sealed. Safe from any thread, and after a fork.

    Args:
        keys: of 32 bytes each.
        is_on: whether the first one seals; else values stay plain.
    """

    def __init__(self, keys: Sequence[bytes] = (), *, is_on: bool = True) -> None:
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.is_on = is_on and bool(keys)
        self.prefix = f"{ENCRYPTED_PREFIX}{_FORM}:{key_id(keys[0])}:" if self.is_on else ""
        self._first = self._ciphers[key_id(keys[0])] if keys else None

    @property
    def has_keys(self) -> bool:
        """Whether there are any, be it only to open."""
        return bool(self._ciphers)

    def encrypt(self, text: str, place: ValueLocation) -> str:
        """Return the text sealed with the first key, for this place only; the text itself where sealing is off."""
        if not self.is_on or self._first is None:
            return text
        nonce = os.urandom(NONCE_BYTES)  # the system's: a forked child must never count on from its parent's
        sealed = self._first.encrypt(nonce, text.encode(), _bound_to(place))
        return self.prefix + base64.urlsafe_b64encode(nonce + sealed).decode()

    def decrypt(self, text: str, place: ValueLocation) -> str:
        """Return the text of a value; a plain one is its own.

        Raises:
            MissingKey: none of the keys is the one that sealed it.
            DecryptionError: it is not what was sealed for this place.
        """
        if not text.startswith(ENCRYPTED_PREFIX):
            return text
        cipher, body = self._parts(text)
        try:
            sealed = base64.urlsafe_b64decode(body)
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(place)).decode()
        except (InvalidTag, ValueError) as error:  # ValueError: no base64, or too short for a nonce
            raise DecryptionError(f"a sealed value of {place[0]} does not open") from error

    def missing_key_id(self, text: str | None) -> str | None:
        """Return the id of the key that this value needs and that is not there; None where nothing is missing."""
        try:
            if text is not None and text.startswith(ENCRYPTED_PREFIX):
                self._parts(text)
        except MissingKey as locked:
            return locked.key_id
        except DecryptionError:
            return None
        return None

    def _parts(self, text: str) -> tuple[AESGCM, str]:
        try:
            _, form, named, body = text.split(":", 3)
        except ValueError as error:
            raise DecryptionError("a sealed value is cut") from error
        cipher = self._ciphers.get(named)
        if cipher is None or form != _FORM:  # of a newer version's form nothing may be lost either
            raise MissingKey(named)
        return cipher, body


PLAIN = Cipher()
"""No keys: values stay as they are, and sealed ones stay closed."""


def key_id(key: bytes) -> str:
    """Return what names a key in the values that it sealed: the beginning of its hash; no other passes for it."""
    return hashlib.sha256(key).hexdigest()[:8]


def cipher_from_keys(answers_keys: str) -> Cipher:
    """Return what the setting STEPKEEP_ANSWERS_KEYS describes; of an empty one, :data:`PLAIN`.

    Raises:
        ConfigurationError: it can't be used; the message says which key, and never shows it.
    """
    items = [item.strip() for item in answers_keys.split(",")]
    if items == [""]:
        return PLAIN
    is_on = items[0] != PLAIN_FIRST
    given = items if is_on else items[1:]
    keys = [_key(item, f"key {number} of {len(given)}") for number, item in enumerate(given, start=1)]
    if len({key_id(key) for key in keys}) < len(keys):
        raise ConfigurationError("STEPKEEP_ANSWERS_KEYS: the same key stands there twice")
    return Cipher(keys, is_on=is_on)


def _key(item: str, name: str) -> bytes:
    try:
        key = base64.b64decode(item.translate(_STANDARD), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        # `from None`: the item stays out of the traceback's texts.
        raise ConfigurationError(
            f"STEPKEEP_ANSWERS_KEYS: {name} is not {KEY_BYTES} bytes in base64: `openssl rand -base64 32`"
        )
    if len(set(key)) < KEY_BYTES // 4:
        raise ConfigurationError(
            f"STEPKEEP_ANSWERS_KEYS: {name} is not random: `openssl rand -base64 32` makes one that is"
        )
    return key


_STANDARD = str.maketrans("-_", "+/")


def _bound_to(place: ValueLocation) -> bytes:
    """Return the associated data of a value: a session that is set aside takes its name, not its values, with it."""
    column, first, *rest = place
    if rest:
        rest[0] = str(rest[0]).partition(SET_ASIDE)[0]
    return orjson.dumps((_FORM, column, first, *rest))
