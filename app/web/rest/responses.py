"""What REST answers: JSON, problem details (RFC 9457), and errors made into these in one place."""

import http
import logging
from collections.abc import Mapping
from typing import Any

import flask
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ...core import strict_json
from ...errors import ConfigurationError, InvalidJson, RateLimited, StepkeepError

log = logging.getLogger("stepkeep.web")

_HEADERS_KEPT = frozenset({"Allow"})


def answer_error(error: Exception) -> flask.Response | HTTPException:
    """Make problem details (RFC 9457) of an error; what is not ours says nothing of the inside."""
    if isinstance(error, ConfigurationError):
        return problem(503, error.code, "the server is not ready")
    if isinstance(error, StepkeepError):
        return _answer_own(error)
    if isinstance(error, HTTPException):
        if not _is_of_the_api():
            return error
        code = "too_large" if isinstance(error, RequestEntityTooLarge) else "http"
        response = problem(error.code or 500, code, error.description or error.name)
        for name, value in error.get_headers():
            if name in _HEADERS_KEPT:
                response.headers[name] = value
        return response
    log.error("a fault of ours", exc_info=error)
    return problem(500, "internal", "a fault of ours; what was acknowledged is saved")


def _answer_own(error: StepkeepError) -> flask.Response:
    if str(error) != error.message:  # what is for the operator alone
        log.error("%s", error)
    extra: dict[str, Any] = {"place": error.place} if isinstance(error, InvalidJson) else {}
    response = problem(error.http_status, error.code, error.message, **extra)
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _is_of_the_api() -> bool:
    """Return whether a program asks; where a page is of the same address, a script of ours that posts."""
    path, method = flask.request.path, flask.request.method
    is_of_a_page = path in {"/resume", "/leave"} and method == "POST"
    return is_of_a_page or path.startswith(("/api/", "/healthz", "/readyz", "/metrics", "/openapi"))


def json_response(value: Mapping[str, Any], status: int = 200) -> flask.Response:
    """Return a response of JSON."""
    return flask.Response(strict_json.encode(value), status, mimetype="application/json")


def problem(status: int, code: str, detail: str, **extra: object) -> flask.Response:
    """Return problem details; a type of their own none has, so the title is the status's (RFC 9457, 4.2.1)."""
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
