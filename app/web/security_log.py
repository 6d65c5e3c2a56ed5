"""What an operator wants to know of who came: sign-ins, refusals and floods, a line each on standard error.

Called where requests end and where sockets are refused, for all doors. A line says from where, who, what and why; of
what was asked the method and path alone, without its query; of what was shown a key's id at most. What an address is
refused for again and again is one WARNING a minute, and the next one says how many there were, so that no flood
fills the log.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal, cast

import flask
from werkzeug.exceptions import SecurityError

from ..access.principals import Anyone, audit_name
from ..errors import StepkeepError
from ..observability.logging import redact
from .authentication import address

log = logging.getLogger("stepkeep.security")

Event = Literal["signed_in", "signed_out", "sign_in_failed", "refused", "limited", "wrong_host"]

EVERY_S = 60.0
"""Seconds between two warnings of one kind about one address and principal."""

REMEMBERED = 10_000
"""Kinds that are remembered at once, at most."""

MAX_SHOWN = 200
"""Characters of a path or an origin that a line has."""

_OF_SIGN_IN: dict[tuple[str | None, int], Event] = {
    ("sign_in.begin", 303): "signed_in",
    ("sign_in.begin", 401): "sign_in_failed",
    ("sign_in.end", 303): "signed_out",
}
_OF_STATUS: dict[int, Event] = {401: "refused", 403: "refused", 429: "limited"}


class SecurityLog:
    """Writes the lines; the application's extension ``stepkeep_security_log``. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._told: dict[tuple[Event, str, str], tuple[float, int]] = {}

    def note(self, event: Event, why: str = "") -> None:
        """Write a line about the request that is being served."""
        who = audit_name(flask.g.get("who") or Anyone())
        parts = {"address": address(), "who": who, "shown": flask.g.get("shown"), "what": _asked(), "why": why}
        if event in {"refused", "wrong_host"}:
            parts["origin"] = flask.request.headers.get("Origin", "")[:MAX_SHOWN]
        if event == "wrong_host":
            parts["host"] = flask.request.environ.get("HTTP_HOST", "")[:MAX_SHOWN]
        text = " ".join(f"{name}={value!r}" for name, value in parts.items() if value)
        if event in {"signed_in", "signed_out"}:
            log.info("%s %s", event, text)
            return
        before = self._untold(event, parts["address"] or "", who)
        if before is not None:
            log.warning("%s %s%s", event, text, f" untold={before}" if before else "")

    def _untold(self, event: Event, address: str, who: str) -> int | None:
        """Return how many were not told of since the last line; None where this one isn't either."""
        now, kind = self._clock(), (event, address, who)
        with self._mutex:
            at, untold = self._told.get(kind, (now - EVERY_S, 0))
            if now - at < EVERY_S:
                self._told[kind] = (at, untold + 1)
                return None
            if len(self._told) >= REMEMBERED:  # so many addresses are a flood: the oldest is forgotten
                del self._told[next(iter(self._told))]
            self._told[kind] = (now, 0)
            return untold


def security_log() -> SecurityLog:
    """Return the running application's."""
    return cast("SecurityLog", flask.current_app.extensions["stepkeep_security_log"])


def note_response(response: flask.Response) -> flask.Response:
    """Write a line if the response refuses, or somebody signed in or out; return the response."""
    error: Exception | None = flask.g.get("error")
    event = _OF_SIGN_IN.get((flask.request.endpoint, response.status_code)) or _OF_STATUS.get(response.status_code)
    if isinstance(error, SecurityError):
        event = "wrong_host"
    if event is not None:
        security_log().note(event, error.message if isinstance(error, StepkeepError) else "")
    return response


def _asked() -> str:
    return redact(f"{flask.request.method} {flask.request.path[: 10 * MAX_SHOWN]}")[:MAX_SHOWN]
