"""The participant's pages: surveys, and pages to resume, restart and leave.

The survey's cookie identifies the participant; in development the script chooses the user id. The
Content-Security-Policy forbids inline script and style.
"""

from collections.abc import Mapping

import flask
from werkzeug import Response

from ...access import Participant, new_user_id
from ...errors import Forbidden, RateLimited, StepkeepError, StorageLow, Unauthorized
from ...survey import SessionKey, Survey
from ..authorization import admit_new_participant
from ..context import authenticator, store
from ..request_origin import require_same_origin
from .direction import text_direction

pages = flask.Blueprint(
    "pages",
    __name__,
    static_folder="../static",
    static_url_path="/assets",  # the application's own /static would hide this one
)
pages.add_app_template_filter(text_direction)


@pages.get("/")
def list_surveys() -> Response:
    """Show the surveys that the participant may take."""
    return page("index.html", surveys=[survey for survey in _surveys().values() if _is_listed(survey)])


@pages.get("/s/<survey_id>")
def take_survey(survey_id: str) -> Response:
    """Show a survey's page, or why it cannot be shown: the same for a closed survey as for one that does not exist.

    An expired or revoked cookie does not make a new participant: another link may lead to their answers.
    """
    survey = _surveys().get(survey_id)
    try:
        participant = _participant(survey_id)
    except Unauthorized:
        is_public = survey is not None and survey.access == "public"
        return page("ended.html", status=401, survey=survey if is_public else None)
    if survey is None:
        return _not_found()
    if participant is not None:
        return _show(survey, participant.key, participant)
    if authenticator().is_development:
        return page("survey.html", survey=survey, user_id=None)
    if survey.access == "closed":
        return _not_found()
    return _show(survey, _new_key(survey))


@pages.post("/s/<survey_id>/anew")
def begin_anew(survey_id: str) -> Response:
    """Set a new participant's cookie, and redirect to the survey."""
    require_same_origin(store().settings)
    survey = _surveys().get(survey_id)
    if survey is None or survey.access == "closed":
        return _not_found()
    response = flask.redirect(flask.url_for("pages.take_survey", survey_id=survey.id), 303)
    authenticator().set_resume_cookie(response, _new_key(survey))
    return response


@pages.get("/resume")
def resume() -> Response:
    """Show the page whose script sends the URL fragment's token."""
    return page("resume.html")


@pages.get("/left")
def left() -> Response:
    """Show that the browser has left a survey, and which ones it still has."""
    return page("left.html", surveys=[survey for survey in _surveys().values() if _has_session(survey)])


@pages.errorhandler(Forbidden)
def refuse(error: Forbidden) -> Response:
    """Show what was refused."""
    return page("refused.html", status=403, why=error.message)


@pages.errorhandler(RateLimited)
@pages.errorhandler(StorageLow)
def postpone(error: RateLimited | StorageLow) -> Response:
    """Show what is not possible now."""
    response = page("refused.html", status=error.http_status, heading="This is not possible now", why=error.message)
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


@pages.app_template_global()
def is_signed_in() -> bool:
    """Return whether there is a sign-in; False if the database is unavailable."""
    try:
        return authenticator().sign_ins.integrator() is not None
    except StepkeepError:
        return False


def page(template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page."""
    return flask.make_response(flask.render_template(template, **context), status)


def _not_found() -> Response:
    return page("not_found.html", status=404)


def _show(survey: Survey, key: SessionKey, participant: Participant | None = None) -> Response:
    response = page(
        "survey.html",
        survey=survey,
        user_id=key.user_id,
        kiosk_minutes=store().settings.kiosk_minutes,
        is_returning=participant is not None,
    )
    if participant is None or authenticator().credentials.should_renew(participant):
        authenticator().set_resume_cookie(response, key, participant)
    else:
        authenticator().resume_cookies.limit(response, key.survey_id)  # an earlier release set any number
    return response


def _new_key(survey: Survey) -> SessionKey:
    admit_new_participant()
    return store().queries.key(new_user_id(), survey.id)


def _participant(survey_id: str) -> Participant | None:
    try:
        return authenticator().participant_from_cookie(survey_id)
    except Unauthorized:
        if authenticator().is_development:  # no token needed
            return None
        raise


def _is_listed(survey: Survey) -> bool:
    return survey.access == "public" or authenticator().is_development or _has_session(survey)


def _has_session(survey: Survey) -> bool:
    try:
        return _participant(survey.id) is not None
    except Unauthorized:
        return False


def _surveys() -> Mapping[str, Survey]:
    return store().catalogue.surveys
