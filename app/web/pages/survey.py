"""The participant's pages: the list of surveys, the page that takes one, and those that begin and end a visit.

Thin: which surveys there are is the catalogue's business, who somebody is ``auth.py``'s, and a walk happens over the
socket. In production a survey's page always belongs to one participant, whose token is the survey's cookie; the
address names nobody. In development the page's script says who it is. A closed survey is named to nobody who was not
invited. The pages hold no script and no style of their own, so that a strict Content-Security-Policy fits them; what
the script needs to know stands in data attributes.
"""

from collections.abc import Mapping

import flask
from werkzeug import Response

from ...access.principals import Integrator, Participant
from ...access.tokens import new_user_id
from ...errors import Forbidden, StepkeepError, Unauthorized
from ...survey import SessionKey, Survey
from ..authentication import access
from ..authorization import store

pages = flask.Blueprint(
    "pages",
    __name__,
    static_folder="../static",
    static_url_path="/assets",  # not /static: that is the application's own, and would hide this one
)


@pages.get("/")
def list_surveys() -> Response:
    """Show the surveys that whoever asks may take."""
    shown = [survey for survey in _surveys().values() if _may_be_listed(survey)]
    return page("index.html", surveys=shown)


@pages.get("/s/<survey_id>")
def take_survey(survey_id: str) -> Response:
    """Show the page that takes one survey, as the participant who comes; or say kindly why not.

    In production somebody new gets an id and its cookie here. Who comes with a cookie that holds no more is never
    taken for somebody new: he may have answers that another link leads to.
    """
    survey = _surveys().get(survey_id)
    if survey is None:
        return page("not_found.html", status=404)
    try:
        who = _participant(survey_id)
    except Unauthorized:
        return page("ended.html", status=401, survey=_if_public(survey))
    if who is not None:
        return _go_on(survey, who)
    if access().is_development:
        return page("survey.html", survey=survey, user_id=None)
    if survey.access == "closed":
        return page("invitation.html", status=401)
    return _begin(survey)


@pages.post("/s/<survey_id>/anew")
def begin_anew(survey_id: str) -> Response:
    """Give this browser a new participant's id, whatever it had, and show the survey's page."""
    access().check_own_page()
    survey = _surveys().get(survey_id)
    if survey is None:
        return page("not_found.html", status=404)
    if survey.access == "closed":
        return page("invitation.html", status=401)
    response = flask.redirect(flask.url_for("pages.take_survey", survey_id=survey.id), 303)
    access().set_cookie(response, _new_key(survey))
    return unstored(response)


@pages.get("/resume")
def resume() -> Response:
    """Show the page that a link to go on leads to: its script brings the token, which no address may hold."""
    return page("resume.html")


@pages.get("/left")
def left() -> Response:
    """Say that this browser has left a survey."""
    return page("left.html")


@pages.errorhandler(Forbidden)
def refuse(error: Forbidden) -> Response:
    """Say to a person what was refused."""
    return page("refused.html", status=403, why=error.message)


@pages.app_template_global()
def is_signed_in() -> bool:
    """Return whether somebody is signed in to the dashboard; no trouble with that keeps a page from being shown."""
    try:
        return isinstance(access().signed_in(), Integrator)
    except StepkeepError:
        return False


def page(template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page that is kept by no cache: what it shows depends on who asks."""
    return unstored(flask.make_response(flask.render_template(template, **context), status))


def unstored(response: Response) -> Response:
    """Return the response, marked to be kept by no cache."""
    response.headers["Cache-Control"] = "no-store"
    return response


def _go_on(survey: Survey, who: Participant) -> Response:
    response = page("survey.html", survey=survey, user_id=who.key.user_id)
    if access().credentials.should_renew(who):
        access().set_cookie(response, who.key)
    return response


def _begin(survey: Survey) -> Response:
    key = _new_key(survey)
    response = page("survey.html", survey=survey, user_id=key.user_id)
    access().set_cookie(response, key)
    return response


def _new_key(survey: Survey) -> SessionKey:
    return store().queries.key(new_user_id(), survey.id)


def _participant(survey_id: str) -> Participant | None:
    try:
        return access().participant_of_cookie(survey_id)
    except Unauthorized:
        if access().is_development:  # there nobody needs one
            return None
        raise


def _may_be_listed(survey: Survey) -> bool:
    if survey.access == "public" or access().is_development:
        return True
    try:
        return _participant(survey.id) is not None
    except Unauthorized:
        return False


def _if_public(survey: Survey) -> Survey | None:
    return survey if survey.access == "public" else None


def _surveys() -> Mapping[str, Survey]:
    return store().catalogue.surveys
