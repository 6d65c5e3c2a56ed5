"""REST for machine-readable documents: OpenAPI, AsyncAPI and the survey file's JSON Schema."""

from functools import cache
from typing import Any

import flask

from ...survey import survey_json_schema
from ..ws.asyncapi import asyncapi_document
from .analytics import analytics
from .audit import audit
from .export import exports
from .health import health
from .openapi.document import build_document
from .participants import participants
from .responses import json_response
from .sessions import sessions
from .surveys import surveys
from .webhooks import webhooks

documents = flask.Blueprint("documents", __name__)

RESOURCES = (sessions, surveys, participants, analytics, exports, audit, webhooks, health)
"""Every resource of the REST interface."""


@cache
def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document; the same object each time, not to be changed."""
    return build_document(RESOURCES)


@documents.get("/openapi.json")
def get_openapi() -> flask.Response:
    """Return the REST interface as OpenAPI 3.1."""
    return json_response(openapi_document())


@documents.get("/asyncapi.json")
def get_asyncapi() -> flask.Response:
    """Return the WebSocket interface as AsyncAPI 3.0."""
    return json_response(asyncapi_document())


@documents.get("/survey.schema.json")
def get_survey_schema() -> flask.Response:
    """Return the JSON Schema of a survey file."""
    return json_response(survey_json_schema())


@documents.get("/docs")
def docs() -> str:
    """Show the OpenAPI document to people."""
    return flask.render_template("openapi.html", document=openapi_document())
