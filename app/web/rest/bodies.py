"""Bodies of REST: requests, responses, and problem details (RFC 9457)."""

import http
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from ...core import strict_json
from ...core.formats import field_message
from ...core.timestamps import format_timestamp
from ...errors import (
    ConfigurationError,
    InvalidInput,
    InvalidJson,
    LinkUnconfirmed,
    NoSuchSession,
    NoSuchSurvey,
    RateLimited,
    StepkeepError,
    StorageLow,
)
from ..context import store
from .openapi.operation import current_operation

M = TypeVar("M", bound=BaseModel)

log = logging.getLogger("stepkeep.web")

BODY_DEPTH = strict_json.MAX_DEPTH + 4  # nested containers: of a value, and {"answers": {"S1": value}}


def parse_body(model: type[M]) -> M:
    """Return the body; the model's defaults for an empty optional one.

    Raises:
        InvalidJson, InvalidInput: not strict JSON, or against the model.
    """
    if current_operation().is_request_optional and not _data():
        return model()
    try:
        return model.model_validate(json_object(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput(field_message(first, first["loc"])) from None


def json_object(max_depth: int = BODY_DEPTH) -> dict[str, Any]:
    """Raise InvalidJson or InvalidInput unless the body is a JSON object."""
    value = strict_json.decode(_data(), "body", max_depth)
    if not isinstance(value, dict):
        raise InvalidInput("The body must be a JSON object.")
    return value


def _data() -> bytes:
    """Raise RequestEntityTooLarge, before the body is read or parsed, if the operation takes less."""
    encoding = flask.request.headers.get("Content-Encoding", "identity").strip()
    if encoding.lower() not in {"", "identity"}:
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:40]!r} is not supported: send the body uncompressed")
    limit = current_operation().max_body_bytes
    flask.request.max_content_length = limit + 1  # without Content-Length, werkzeug cuts the body off there
    if (flask.request.content_length or 0) > limit or len(flask.request.get_data()) > limit:
        raise RequestEntityTooLarge(f"The body has more than the {limit} bytes that are accepted here")
    return flask.request.get_data()


def answer_error(error: Exception) -> flask.Response | HTTPException:
    """Return an error's problem details; unexpected errors reveal nothing internal."""
    if isinstance(error, ConfigurationError):
        log.error("%s", error)
        return problem(503, error.code, "The server is not ready. Its log says why.")
    if isinstance(error, NoSuchSession) and _is_misspelled(error.survey_id):
        error = NoSuchSurvey(error.survey_id, store().catalogue.public_ids)
    if isinstance(error, StepkeepError):
        return _stepkeep_problem(error)
    if isinstance(error, HTTPException):
        if not _is_api_request():
            return error
        code = "too_large" if isinstance(error, RequestEntityTooLarge) else "http"
        response = problem(error.code or 500, code, error.description or error.name)
        response.headers.extend(header for header in error.get_headers() if header[0] == "Allow")
        return response
    log.error("unexpected error", exc_info=error)
    return problem(500, "internal", "Internal server error. Acknowledged answers are saved.")


def _stepkeep_problem(error: StepkeepError) -> flask.Response:
    if str(error) != error.message:  # the text for the operator
        log.error("%s", error)
    response = problem(error.http_status, error.code, error.message, **_facts(error))
    if isinstance(error, RateLimited | StorageLow):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _facts(error: StepkeepError) -> dict[str, Any]:
    if isinstance(error, InvalidJson):
        return {"place": error.place}
    if isinstance(error, LinkUnconfirmed):
        return {
            "survey_id": error.survey_id,
            "started_at": format_timestamp(error.started_at),
            "has_other_session": error.has_other_session,
        }
    return {}


def _is_misspelled(survey_id: str) -> bool:
    """Return whether the request names a survey that is not offered; the caller is allowed to know."""
    return flask.request.args.get("survey") == survey_id and survey_id not in store().catalogue.surveys


def _is_api_request() -> bool:
    path = flask.request.path
    is_posted_by_script = path in {"/resume", "/leave"} and flask.request.method == "POST"
    return is_posted_by_script or path.startswith(("/api/", "/healthz", "/readyz", "/metrics", "/openapi"))


def json_response(value: Mapping[str, Any], status: int = 200) -> flask.Response:
    return flask.Response(strict_json.encode(value), status, mimetype="application/json")


def success(status: int = 200, /, **fields: object) -> flask.Response:
    return json_response({"success": True, **fields}, status)


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
