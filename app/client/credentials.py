"""How the client is let in: what it shows in the handshake, what may be logged of that, and when it is turned away."""

import logging
import re

from .errors import BadToken, NotAdmitted, RefusedForGood

_FINAL_CODES = frozenset({4400, 4401, 4403, 4404})
"""Close codes after which the same connection would be refused again, whenever it is tried (PROTOCOL.md)."""

_NOT_ADMITTED_CODES = frozenset({4401, 4403})
"""Those of them that another token may change."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, 2.1. Other text could add headers of its own to the handshake."""


class DiscreetLog(logging.LoggerAdapter[logging.Logger]):
    """What the WebSocket library logs, but for DEBUG: there it writes out the token, in the handshake, and answers."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Return whether it is logged: never at DEBUG, whatever the level is set to."""
        return level > logging.DEBUG and super().isEnabledFor(level)


WIRE_LOG = DiscreetLog(logging.getLogger("stepkeep.client"), {})


def credentials(token: str | None) -> dict[str, str]:
    """Return the headers of the handshake that show the token.

    Raises:
        BadToken: it can't be one.
    """
    if token is None:
        return {}
    if not _TOKEN.fullmatch(token):
        raise BadToken
    return {"Authorization": f"Bearer {token}"}


def refusal(close_code: int, reason: str) -> RefusedForGood | None:
    """Return the error of a connection that was closed for good; None where it is worth another attempt."""
    if close_code in _NOT_ADMITTED_CODES:
        return NotAdmitted(close_code, reason)
    return RefusedForGood(close_code, reason) if close_code in _FINAL_CODES else None
