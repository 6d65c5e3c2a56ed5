"""REST for OpenAPI, AsyncAPI and the survey file's JSON Schema."""

from functools import cache, lru_cache
from typing import Any

import flask

from ...survey import survey_json_schema
from ..context import app_context
from ..pages.survey import is_signed_in
from ..ws.asyncapi import asyncapi_document
from .analytics import analytics
from .audit import audit
from .bodies import json_response
from .export import exports
from .health import health
from .openapi.document import build_document
from .participants import participants
from .sessions import sessions
from .surveys import surveys
from .webhooks import webhooks

documents = flask.Blueprint("documents", __name__)

_survey_schema = cache(survey_json_schema)

RESOURCES = (sessions, surveys, participants, analytics, exports, audit, webhooks, health)


@cache
def openapi_document() -> dict[str, Any]:
    """Return the shared document, not to be changed."""
    return build_document(RESOURCES)


@documents.get("/openapi.json")
def get_openapi() -> flask.Response:
    return json_response({**openapi_document(), "servers": [{"url": f"{flask.request.script_root}/"}]})


@documents.get("/asyncapi.json")
def get_asyncapi() -> flask.Response:
    is_secure, root = flask.request.is_secure, flask.request.script_root
    server = {"host": flask.request.host, "pathname": root or "/", "protocol": "wss" if is_secure else "ws"}
    return json_response({**asyncapi_document(), "servers": {"this": server}})


@documents.get("/survey.schema.json")
def get_survey_schema() -> flask.Response:
    return json_response(_survey_schema())


@documents.get("/docs")
def docs() -> str:
    return _reference(flask.request.script_root, app_context().assets.version, is_signed_in=is_signed_in())


@lru_cache(maxsize=4)
def _reference(_root: str, _assets: str, *, is_signed_in: bool) -> str:
    rest, socket = openapi_document(), asyncapi_document()
    schemas = socket["components"]["schemas"] | rest["components"]["schemas"]
    return flask.render_template(
        "reference.html", rest=rest, socket=socket, schemas=schemas, is_signed_in=lambda: is_signed_in
    )
