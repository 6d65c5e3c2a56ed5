"""Each request's id, log line, metrics and span; a WebSocket has a connection id."""

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
from .context import app_context, store

log = logging.getLogger("stepkeep.requests")

REQUEST_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{7,63}")  # can neither forge a log line nor be a token

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # requested every few seconds: logged at DEBUG
_ASSETS = "/assets/<path:filename>"  # requested 30 times for a page: logged at DEBUG, unless there is an error


def observe(respond: Callable[[], flask.Response]) -> flask.Response:
    started_at = monotonic()
    rule = flask.request.url_rule
    route = "none" if rule is None else rule.rule
    method = flask.request.method if flask.request.method in _METHODS else "other"
    app_context().gauges.start()
    if route.startswith("/ws/"):
        with bound_contextvars(connection_id=secrets.token_hex(8)):
            response = respond()
            _log(method, route, response.status_code, monotonic() - started_at)
        return response
    request_id = _proxy_request_id() or secrets.token_hex(16)
    with bound_contextvars(request_id=request_id):
        response = _trace(method, route, respond)
        response.headers["X-Request-ID"] = request_id
        duration_s = monotonic() - started_at
        metrics.REQUEST_SECONDS.labels(method, route).observe(duration_s)
        _log(method, route, response.status_code, duration_s)
    return response


def _trace(method: str, route: str, respond: Callable[[], flask.Response]) -> flask.Response:
    attributes = {"http.request.method": method, "http.route": route}
    span = tracing.span(f"{method} {route}", kind="SERVER", headers=dict(flask.request.headers), **attributes)
    with span as set_attribute:
        response = respond()
        set_attribute("http.response.status_code", response.status_code)
        error = flask.g.get("error")
        if error is not None and response.status_code >= 500:  # noqa: PLR2004 - server errors
            set_attribute("error.type", type(error).__name__)
        return response


def _log(method: str, route: str, status: int, duration_s: float) -> None:
    error = flask.g.get("error")
    if error is not None:
        metrics.ERRORS.labels("http", _error_code(error)).inc()
    is_websocket = route.startswith("/ws/") and error is None
    if not is_websocket:
        metrics.REQUESTS.labels(method, route, str(status)).inc()
    is_quiet = route in _PROBES or (route == _ASSETS and error is None)
    if status == 500:  # noqa: PLR2004 - others have metrics of their own
        metrics.INTERNAL_ERRORS.inc()
    log.log(
        logging.DEBUG if is_quiet else logging.INFO,
        "connection opened" if is_websocket else "answered",
        extra={"method": method, "route": route, "status": status, "ms": round(duration_s * 1000, 1)},
    )


def _proxy_request_id() -> str | None:
    settings = store().settings
    request_id = flask.request.headers.get("X-Request-ID", "")
    is_trusted = settings.proxies > 0 and settings.environment == "production"
    return request_id if is_trusted and REQUEST_ID.fullmatch(request_id) else None


def _error_code(error: Exception) -> str:
    if isinstance(error, StepkeepError):
        return error.code
    return "http" if isinstance(error, HTTPException) else "internal"
