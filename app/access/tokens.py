"""Resume tokens: signed, expiring proof that the bearer is a participant.

base64url JSON, ``[survey_id, user_id, issued_at, expires_at]`` (microseconds since 1970 UTC), and an HMAC-SHA256
(itsdangerous) with a key derived from SECRET_KEY.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from ..errors import Unauthorized
from ..survey import SessionKey
from .principals import Participant

MAX_LENGTH = 1024
"""Characters; the longest survey and user ids need 420."""

_SHAPE = re.compile(r"\.?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""Canonical only: itsdangerous ignores foreign characters and spare bits in base64 (RFC 4648, 3.5 and 12)."""

DAY_US = 86_400 * 1_000_000


def new_user_id() -> str:
    """Return 128 random bits in hex: a leading ``-`` would be a shell option."""
    return secrets.token_hex(16)


class ResumeTokens:
    """Issues and verifies tokens. Safe from any thread.

    Args:
        secrets: all are accepted; the newest, the last, signs.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._serializer = URLSafeSerializer(
            list(secrets),
            salt="stepkeep.resume",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def issue(self, key: SessionKey, at: int, life_us: int) -> str:
        """Return a new token, valid for ``life_us`` microseconds."""
        return self._serializer.dumps([*key, at, at + life_us])

    def read(self, token: str, at: int) -> Participant:
        """Return the token's participant.

        Raises:
            Unauthorized: forged, malformed or expired.
        """
        if len(token) > MAX_LENGTH or not _SHAPE.fullmatch(token):
            raise Unauthorized
        try:
            payload: Any = self._serializer.loads(token)
        except BadData:
            raise Unauthorized from None
        survey_id, user_id, issued_at, expires_at = payload  # well-formed: it is signed
        if at >= expires_at:
            raise Unauthorized
        return Participant(key=SessionKey(survey_id, user_id), issued_at=issued_at, expires_at=expires_at)
