"""REST for a survey's figures."""

import flask

from ...operations.analytics import Filters
from ..authorization import authorize_all
from ..context import app_context
from . import requests
from .responses import json_response

analytics_api = flask.Blueprint("analytics_api", __name__)

ARGUMENTS = ("since", "until", "mode", "revision", "status")


@analytics_api.get("/api/surveys/<survey_id>/analytics")
def get_analytics(survey_id: str) -> flask.Response:
    """Return the survey's figures."""
    authorize_all("sessions:read", "analytics_read", is_repeated=True, survey=survey_id[:64])
    requests.check_arguments(*ARGUMENTS)
    filters = Filters.parse(**flask.request.args.to_dict())
    return json_response({"success": True, **app_context().analytics.get(survey_id, filters)})
