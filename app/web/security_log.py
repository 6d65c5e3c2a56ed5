"""The security log: a line for each sign-in, refusal and exceeded limit, without query or credential."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import flask
from werkzeug.exceptions import SecurityError

from ..access import PREFIX, Anyone, Principal, audit_name, parse_key_id
from ..errors import StepkeepError
from ..observability.logging import redact
from .request_origin import client_address

P = TypeVar("P", bound=Principal)

log = logging.getLogger("stepkeep.security")

Event = Literal["signed_in", "signed_out", "sign_in_failed", "refused", "limited", "wrong_host"]

REPEAT_S = 60.0  # between warnings of one event, address and principal: a flood must not fill the log
REMEMBERED = 10_000

MAX_LENGTH = 200  # of a path, origin or host

_SIGN_IN_EVENTS: dict[tuple[str | None, int], Event] = {
    ("sign_in.begin", 303): "signed_in",
    ("sign_in.begin", 401): "sign_in_failed",
    ("sign_in.end", 303): "signed_out",
}
_STATUS_EVENTS: dict[int, Event] = {401: "refused", 403: "refused", 429: "limited"}


class Source(NamedTuple):
    """Where a request or a WebSocket came from."""

    address: str
    principal: str
    credential: str | None
    request: str
    origin: str


class SecurityLog:
    """Writes the lines. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._warned: dict[tuple[Event, str, str], tuple[float, int]] = {}

    def write(self, event: Event, reason: str = "", source: Source | None = None) -> None:
        """Write a line; the source is that of a WebSocket after its request has ended."""
        source = source or current_source()
        fields = source._asdict()
        origin = fields.pop("origin")
        fields["reason"] = reason
        if event in {"refused", "wrong_host"}:
            fields["origin"] = origin
        if event == "wrong_host":
            fields["host"] = flask.request.environ.get("HTTP_HOST", "")[:MAX_LENGTH]
        text = " ".join(f"{name}={value!r}" for name, value in fields.items() if value)
        if event in {"signed_in", "signed_out"}:
            log.info("%s %s", event, text)
            return
        suppressed = self._suppressed(event, source.address, source.principal)
        if suppressed is not None:
            log.warning("%s %s%s", event, text, f" suppressed={suppressed}" if suppressed else "")

    def write_response(self, response: flask.Response) -> flask.Response:
        error: Exception | None = flask.g.get("error")
        status = response.status_code
        event = _SIGN_IN_EVENTS.get((flask.request.endpoint, status)) or _STATUS_EVENTS.get(status)
        if isinstance(error, SecurityError):
            event = "wrong_host"
        if event is not None:
            self.write(event, error.message if isinstance(error, StepkeepError) else "")
        return response

    def _suppressed(self, event: Event, address: str, principal: str) -> int | None:
        """Return the number suppressed since the last; None to suppress this one."""
        now, kind = self._clock(), (event, address, principal)
        with self._mutex:
            warned_at, suppressed = self._warned.get(kind, (now - REPEAT_S, 0))
            if now - warned_at < REPEAT_S:
                self._warned[kind] = (warned_at, suppressed + 1)
                return None
            if len(self._warned) >= REMEMBERED:  # a flood of many addresses
                del self._warned[next(iter(self._warned))]
            self._warned[kind] = (now, 0)
            return suppressed


def record_principal(principal: P) -> P:
    flask.g.principal = principal
    return principal


def record_credential(credential: str) -> None:
    is_key = credential.startswith(PREFIX)
    flask.g.credential = f"key:{parse_key_id(credential) or 'malformed'}" if is_key else "token"


def current_source() -> Source:
    return Source(
        client_address(),
        audit_name(flask.g.get("principal") or Anyone()),
        flask.g.get("credential"),
        redact(f"{flask.request.method} {flask.request.path[: 10 * MAX_LENGTH]}")[:MAX_LENGTH],
        flask.request.headers.get("Origin", "")[:MAX_LENGTH],
    )
