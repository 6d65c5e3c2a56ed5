"""A survey's page in a frame of another site (STEPKEEP_FRAME_ANCESTORS), the only page that can be framed.

Browsers send ordinary cookies to no frame of another site's page. So the page keeps a token in memory: that of the
address's fragment, or one from the server. A partitioned cookie remembers the participant for the next visit to the
same site, but not on a shared device (STEPKEEP_KIOSK_MINUTES).
"""

import flask
from werkzeug import Response

from ...access import Participant, Principal
from ...errors import NoSuchSurvey, Unauthorized
from ...survey import Survey
from ..context import authenticator, store
from ..request_origin import frame_ancestors, require_same_origin
from ..responses import forbid_compression
from .opening import preview_opening, read_opening
from .survey import new_key, participants_page, survey_address, survey_page

embedding = flask.Blueprint("embedding", __name__)

# In the address once the device was left, since the page that says so elsewhere can't be framed. No parameter of a
# survey has such a name.
LEFT = "has-left"


@embedding.get("/embed/<survey_id>")
def embed(survey_id: str) -> Response:
    """Show a page whose script loads the survey's: the same for every id, since the server can't see the fragment."""
    ancestors = frame_ancestors(store().settings)
    if not ancestors:
        return participants_page("not_found.html", status=404)
    forbid_compression()  # the page repeats the address
    has_left = LEFT in flask.request.args
    return participants_page("embed.html", survey_id=survey_id, ancestors=ancestors, has_left=has_left)


@embedding.get("/embed/<survey_id>/page")
def embedded_page(survey_id: str) -> Response:
    """Return the survey's page for the participant of the token or the cookie, or for a new one.

    Raises:
        NoSuchSurvey: also for a closed one without credentials.
        Forbidden: not from the script of :func:`embed`.
    """
    require_same_origin(store().settings)
    survey = store().catalogue.surveys.get(survey_id)
    if not frame_ancestors(store().settings):
        raise NoSuchSurvey(survey_id, ())
    if authenticator().is_development and survey is not None:
        return survey_page(survey, preview_opening(survey), user_id=None, is_embedded=True)
    participant = _participant(survey_id)
    if survey is None or (participant is None and survey.access == "closed"):
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    return _show(survey, participant)


def _show(survey: Survey, participant: Participant | None) -> Response:
    key = new_key(survey) if participant is None else participant.key
    token = authenticator().new_token(key, participant)
    kiosk_minutes = store().settings.kiosk_minutes
    response = survey_page(
        survey,
        read_opening(key, participant),
        user_id=key.user_id,
        token=token,
        is_embedded=True,
        left_url=survey_address(survey, "embedding.embed", **{LEFT: ""}),
        kiosk_minutes=kiosk_minutes,
        is_returning=participant is not None,
    )
    if not kiosk_minutes:
        authenticator().resume_cookies.embedded(survey.id).set(response, token)
    return response


def _participant(survey_id: str) -> Participant | None:
    """Return the participant; raise Unauthorized for invalid credentials, and those of another survey.

    The response clears an invalid cookie: else each visit would be refused until it expires.
    """
    if "Authorization" in flask.request.headers:
        return _require_survey(authenticator().principal(), survey_id)
    cookie = authenticator().resume_cookies.embedded(survey_id)
    if cookie.value is None:
        return None
    try:
        return _require_survey(authenticator().participant(cookie.value), survey_id)
    except Unauthorized:

        @flask.after_this_request
        def clear(response: Response) -> Response:
            cookie.clear(response)
            return response

        raise


def _require_survey(principal: Principal, survey_id: str) -> Participant:
    if not isinstance(principal, Participant) or principal.key.survey_id != survey_id:
        raise Unauthorized
    return principal
