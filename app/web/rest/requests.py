"""The body of a REST request."""

from typing import Any, TypeVar

import flask
from pydantic import BaseModel, ValidationError

from ...core import strict_json
from ...errors import InvalidInput
from .openapi.operation import current_operation

M = TypeVar("M", bound=BaseModel)

BODY_DEPTH = strict_json.MAX_DEPTH + 4
"""Nested containers: of a value, and {"answers": {"S1": value}}."""


def parse_body(model: type[M]) -> M:
    """Return the body; the model's defaults for an empty optional one.

    Raises:
        InvalidJson, InvalidInput: not strict JSON, or against the model.
    """
    if current_operation().is_request_optional and not flask.request.get_data():
        return model()
    try:
        return model.model_validate(json_object(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{place}: {first['msg']}"[:200]) from None


def json_object(max_depth: int = BODY_DEPTH) -> dict[str, Any]:
    """Return the body; raise InvalidJson or InvalidInput unless a JSON object."""
    value = strict_json.decode(flask.request.get_data(), "body", max_depth)
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    return value
