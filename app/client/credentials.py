"""The client's token: sending it, keeping it out of the log, and its refusal."""

import logging
import re

from .errors import BadToken, NotAdmitted, PermanentlyRefused

_FINAL_CODES = frozenset({4400, 4401, 4403, 4404})
"""The server would refuse again (docs/protocol.md)."""

_NOT_ADMITTED_CODES = frozenset({4401, 4403})
"""A different token may help."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, 2.1; other text could inject headers."""


class _NoDebugLog(logging.LoggerAdapter[logging.Logger]):
    """At DEBUG the WebSocket library logs the token and answers."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return level > logging.DEBUG and super().isEnabledFor(level)


LIBRARY_LOG = _NoDebugLog(logging.getLogger("stepkeep.client"), {})


def authorization_header(token: str | None) -> dict[str, str]:
    """Return the headers of the handshake.

    Raises:
        BadToken: the text can't be a token.
    """
    if token is None:
        return {}
    if not _TOKEN.fullmatch(token):
        raise BadToken
    return {"Authorization": f"Bearer {token}"}


def refusal(close_code: int, reason: str) -> PermanentlyRefused | None:
    """Return the error for a final close code, or None if another attempt may succeed."""
    if close_code in _NOT_ADMITTED_CODES:
        return NotAdmitted(close_code, reason)
    return PermanentlyRefused(close_code, reason) if close_code in _FINAL_CODES else None
