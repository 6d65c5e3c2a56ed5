"""REST responses: JSON and problem details (RFC 9457)."""

import http
import logging
from collections.abc import Mapping
from typing import Any

import flask
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ...core import strict_json
from ...errors import ConfigurationError, InvalidJson, RateLimited, StepkeepError

log = logging.getLogger("stepkeep.web")

_KEPT_HEADERS = frozenset({"Allow"})


def answer_error(error: Exception) -> flask.Response | HTTPException:
    """Return an error's problem details; unexpected errors reveal nothing internal."""
    if isinstance(error, ConfigurationError):
        return problem(503, error.code, "the server is not ready")
    if isinstance(error, StepkeepError):
        return _stepkeep_problem(error)
    if isinstance(error, HTTPException):
        if not _is_api_request():
            return error
        code = "too_large" if isinstance(error, RequestEntityTooLarge) else "http"
        response = problem(error.code or 500, code, error.description or error.name)
        for name, value in error.get_headers():
            if name in _KEPT_HEADERS:
                response.headers[name] = value
        return response
    log.error("unexpected error", exc_info=error)
    return problem(500, "internal", "Internal server error. Acknowledged answers are saved.")


def _stepkeep_problem(error: StepkeepError) -> flask.Response:
    if str(error) != error.message:  # the text for the operator
        log.error("%s", error)
    extra: dict[str, Any] = {"place": error.place} if isinstance(error, InvalidJson) else {}
    response = problem(error.http_status, error.code, error.message, **extra)
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _is_api_request() -> bool:
    """Return True also for what pages' scripts post."""
    path, method = flask.request.path, flask.request.method
    is_script = path in {"/resume", "/leave"} and method == "POST"
    return is_script or path.startswith(("/api/", "/healthz", "/readyz", "/metrics", "/openapi"))


def json_response(value: Mapping[str, Any], status: int = 200) -> flask.Response:
    """Return a JSON response."""
    return flask.Response(strict_json.encode(value), status, mimetype="application/json")


def problem(status: int, code: str, detail: str, **extra: object) -> flask.Response:
    """Return problem details, titled by the status (RFC 9457, 4.2.1)."""
    body = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "success": False,
        **extra,
    }
    response = flask.Response(strict_json.encode(body), status, mimetype="application/problem+json")
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "5"
    if status == http.HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
