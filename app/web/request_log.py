"""What is seen of each request: its id, its line in the log, its figures, its span. Around all that answers it.

The id is X-Request-ID of the proxy in front where one is believed, else made here; it stands in every line of the log
that is written meanwhile, and in the response. A socket has an id of its own, and one line, at its end.
"""

import logging
import re
import secrets
from collections.abc import Callable
from time import monotonic

import flask
from structlog.contextvars import bound_contextvars
from werkzeug.exceptions import HTTPException

from ..errors import StepkeepError
from ..observability import metrics, tracing
from .authorization import store
from .gauges import gauges

log = logging.getLogger("stepkeep.requests")

REQUEST_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{7,63}")
"""Ids that are taken over: UUIDs, and what proxies make; nothing that could begin a line, and no secret of ours."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: their lines are for who looks for them."""


def observe(answer: Callable[[], flask.Response]) -> flask.Response:
    """Return the response, seen in the log, the figures and the traces."""
    began_at = monotonic()
    rule = flask.request.url_rule
    route = "none" if rule is None else rule.rule
    method = flask.request.method if flask.request.method in _METHODS else "other"
    gauges().start()
    if route.startswith("/ws/"):
        with bound_contextvars(connection_id=secrets.token_hex(8)):
            response = answer()
            _tell(method, route, response.status_code, monotonic() - began_at)
        return response
    request_id = _given_id() or secrets.token_hex(16)
    with bound_contextvars(request_id=request_id):
        response = _traced(method, route, answer)
        response.headers["X-Request-ID"] = request_id
        took_s = monotonic() - began_at
        metrics.REQUEST_SECONDS.labels(method, route).observe(took_s)
        _tell(method, route, response.status_code, took_s)
    return response


def _traced(method: str, route: str, answer: Callable[[], flask.Response]) -> flask.Response:
    said = {"http.request.method": method, "http.route": route}
    with tracing.span(f"{method} {route}", kind="SERVER", headers=dict(flask.request.headers), **said) as set_attribute:
        response = answer()
        set_attribute("http.response.status_code", response.status_code)
        error = flask.g.get("error")
        if error is not None and response.status_code >= 500:  # noqa: PLR2004 - faults of ours
            set_attribute("error.type", type(error).__name__)
        return response


def _tell(method: str, route: str, status: int, took_s: float) -> None:
    error = flask.g.get("error")
    if error is not None:
        metrics.ERRORS.labels("http", _code(error)).inc()
    is_socket = route.startswith("/ws/") and error is None
    if not is_socket:
        metrics.REQUESTS.labels(method, route, str(status)).inc()
    if status == 500:  # noqa: PLR2004 - 503 and the like are told by their own figures
        metrics.INTERNAL_ERRORS.inc()
    log.log(
        logging.DEBUG if route in _PROBES else logging.INFO,
        "connection ended" if is_socket else "answered",
        extra={"method": method, "route": route, "status": status, "ms": round(took_s * 1000, 1)},
    )


def _given_id() -> str | None:
    """Return the id that a proxy of ours gave the request."""
    settings = store().settings
    given = flask.request.headers.get("X-Request-ID", "")
    is_believed = settings.proxies > 0 and settings.environment == "production"
    return given if is_believed and REQUEST_ID.fullmatch(given) else None


def _code(error: Exception) -> str:
    if isinstance(error, StepkeepError):
        return error.code
    return "http" if isinstance(error, HTTPException) else "internal"
