"""The participant's pages: the list of surveys, a survey's page, and pages to resume, restart and leave.

In production a survey's page belongs to one participant, by the token in the survey's cookie; the address has no user
id. In development the page's script chooses the user id. Closed surveys are shown only to invited participants. The
pages have no inline script or style, for a strict Content-Security-Policy; scripts read data attributes.
"""

from collections.abc import Mapping

import flask
from werkzeug import Response

from ...access import Participant, new_user_id
from ...errors import Forbidden, StepkeepError, Unauthorized
from ...survey import SessionKey, Survey
from ..context import authenticator, store
from ..request_origin import require_same_origin

pages = flask.Blueprint(
    "pages",
    __name__,
    static_folder="../static",
    static_url_path="/assets",  # not /static: that is the application's own, and would hide this one
)


@pages.get("/")
def list_surveys() -> Response:
    """Show the surveys that this browser's participant may take."""
    return page("index.html", surveys=[survey for survey in _surveys().values() if _is_listed(survey)])


@pages.get("/s/<survey_id>")
def take_survey(survey_id: str) -> Response:
    """Show a survey's page for this browser's participant, or why it cannot be shown.

    In production a new participant gets an id and a cookie here. An expired or revoked cookie does not make a new
    participant: they may have answers that another link leads to.
    """
    survey = _surveys().get(survey_id)
    if survey is None:
        return page("not_found.html", status=404)
    try:
        participant = _participant(survey_id)
    except Unauthorized:
        return page("ended.html", status=401, survey=survey if survey.access == "public" else None)
    if participant is not None:
        return _resume(survey, participant)
    if authenticator().is_development:
        return page("survey.html", survey=survey, user_id=None)
    if survey.access == "closed":
        return page("invitation.html", status=401)
    return _start(survey)


@pages.post("/s/<survey_id>/anew")
def begin_anew(survey_id: str) -> Response:
    """Give this browser a new participant's cookie, and redirect to the survey's page."""
    require_same_origin(store().settings)
    survey = _surveys().get(survey_id)
    if survey is None:
        return page("not_found.html", status=404)
    if survey.access == "closed":
        return page("invitation.html", status=401)
    response = flask.redirect(flask.url_for("pages.take_survey", survey_id=survey.id), 303)
    authenticator().set_resume_cookie(response, _new_key(survey))
    return unstored(response)


@pages.get("/resume")
def resume() -> Response:
    """Show the page of a resume link: its script sends the token from the URL's fragment."""
    return page("resume.html")


@pages.get("/left")
def left() -> Response:
    """Show that this browser has left a survey."""
    return page("left.html")


@pages.errorhandler(Forbidden)
def refuse(error: Forbidden) -> Response:
    """Show what was refused."""
    return page("refused.html", status=403, why=error.message)


@pages.app_template_global()
def is_signed_in() -> bool:
    """Return whether there is a dashboard sign-in; False if the database is unavailable."""
    try:
        return authenticator().sign_ins.integrator() is not None
    except StepkeepError:
        return False


def page(template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page that is not cached, since it depends on the cookies."""
    return unstored(flask.make_response(flask.render_template(template, **context), status))


def unstored(response: Response) -> Response:
    """Return the response, not to be cached."""
    response.headers["Cache-Control"] = "no-store"
    return response


def _resume(survey: Survey, participant: Participant) -> Response:
    response = page("survey.html", survey=survey, user_id=participant.key.user_id)
    if authenticator().credentials.should_renew(participant):
        authenticator().set_resume_cookie(response, participant.key)
    return response


def _start(survey: Survey) -> Response:
    key = _new_key(survey)
    response = page("survey.html", survey=survey, user_id=key.user_id)
    authenticator().set_resume_cookie(response, key)
    return response


def _new_key(survey: Survey) -> SessionKey:
    return store().queries.key(new_user_id(), survey.id)


def _participant(survey_id: str) -> Participant | None:
    try:
        return authenticator().participant_from_cookie(survey_id)
    except Unauthorized:
        if authenticator().is_development:  # where no token is needed
            return None
        raise


def _is_listed(survey: Survey) -> bool:
    if survey.access == "public" or authenticator().is_development:
        return True
    try:
        return _participant(survey.id) is not None
    except Unauthorized:
        return False


def _surveys() -> Mapping[str, Survey]:
    return store().catalogue.surveys
