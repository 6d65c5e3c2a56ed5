"""The client's token: how it is sent, how it is kept out of the log, and when the server refuses it."""

import logging
import re

from .errors import BadToken, NotAdmitted, PermanentlyRefused

_FINAL_CODES = frozenset({4400, 4401, 4403, 4404})
"""Close codes with which the server would refuse the same connection again (docs/protocol.md)."""

_NOT_ADMITTED_CODES = frozenset({4401, 4403})
"""Those of them that a different token may change."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, 2.1. Any other text could inject headers into the handshake."""


class _NoDebugLog(logging.LoggerAdapter[logging.Logger]):
    """The log of the WebSocket library without DEBUG, where it writes out the token and answers."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Return whether a record is logged: never at DEBUG, whatever the logger's level."""
        return level > logging.DEBUG and super().isEnabledFor(level)


LIBRARY_LOG = _NoDebugLog(logging.getLogger("stepkeep.client"), {})


def authorization_header(token: str | None) -> dict[str, str]:
    """Return the headers of the handshake.

    Raises:
        BadToken: no token has these characters.
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
