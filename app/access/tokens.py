"""Resume tokens: signed proof that somebody is this participant of this survey, for a while.

A token is base64url JSON and an HMAC-SHA256 over it (itsdangerous), made with a key that is derived from SECRET_KEY:
``[survey_id, user_id, issued_at, expires_at]``, times in microseconds since 1970 UTC. Nothing in it is secret but the
proof itself. Several of a participant hold at once, one a device; revoking is by time (``revocations.py``).
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
"""Characters; the longest survey and user ids make 420."""

_SHAPE = re.compile(r"\.?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""Of a token as it is made. itsdangerous decodes base64 leniently: it passes over strange characters, and the last
one's two spare bits, so that other texts would be as good as the token (RFC 4648, 3.5 and 12)."""

DAY_US = 86_400 * 1_000_000


def new_user_id() -> str:
    """Return an id for somebody who comes without one: 128 random bits, which nobody guesses or counts up to.

    Never with a ``-`` in front, which a command line takes for an option.
    """
    return secrets.token_hex(16)


class ResumeTokens:
    """Makes and reads tokens. A value; safe from any thread.

    Args:
        secrets: the newest last; all of them are accepted, the newest signs.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._serializer = URLSafeSerializer(
            list(secrets),
            salt="stepkeep.resume",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def issue(self, key: SessionKey, at: int, life_us: int) -> str:
        """Return a new token of the session's participant, which holds for ``life_us`` microseconds."""
        return self._serializer.dumps([*key, at, at + life_us])

    def read(self, token: str, at: int) -> Participant:
        """Return whose token it is.

        Raises:
            Unauthorized: it is not one of ours, was changed, or has expired; nothing says which.
        """
        if len(token) > MAX_LENGTH or not _SHAPE.fullmatch(token):
            raise Unauthorized
        try:
            found: Any = self._serializer.loads(token)
        except BadData:
            raise Unauthorized from None
        survey_id, user_id, issued_at, expires_at = found  # of our making: the signature says so
        if at >= expires_at:
            raise Unauthorized
        return Participant(key=SessionKey(survey_id, user_id), issued_at=issued_at, expires_at=expires_at)
