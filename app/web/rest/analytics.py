"""REST for a survey's figures."""

import flask

from ...operations.analytics import Filters, SummaryCache
from ...sessions.service import SessionStore
from ..authorization import permitted_to_all
from . import requests
from .responses import json_response

analytics_api = flask.Blueprint("analytics_api", __name__)

ARGUMENTS = ("since", "until", "mode", "revision", "status")

_SHARED = "stepkeep_figures"


@analytics_api.get("/api/surveys/<survey_id>/analytics")
def get_analytics(survey_id: str) -> flask.Response:
    """The survey's figures: how many came, where they stopped, how long it took, what was answered."""
    permitted_to_all("sessions:read", "analytics_read", is_live=True, survey=survey_id[:64])
    requests.check_arguments(*ARGUMENTS)
    return json_response({"success": True, **_shared().get(survey_id, Filters.parse(**flask.request.args.to_dict()))})


@analytics_api.record_once
def _share(setup: flask.blueprints.BlueprintSetupState) -> None:
    """Let all requests of the application share what was counted."""
    opened: SessionStore = setup.app.extensions["stepkeep"]
    # Half of REST's threads stay free for all else.
    setup.app.extensions[_SHARED] = SummaryCache(opened, max(1, opened.settings.rest_threads // 2))


def _shared() -> SummaryCache:
    found: SummaryCache = flask.current_app.extensions[_SHARED]
    return found
