"""The participant's pages: surveys, and pages to resume, restart and leave.

The survey's cookie identifies the participant; in development the script chooses the user id.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import flask
from markupsafe import Markup
from werkzeug import Response

from ...access import Participant, new_user_id
from ...core.languages import Message, best_match, languages, text
from ...errors import Forbidden, RateLimited, StepkeepError, StorageLow, Unauthorized, Unavailable
from ...survey import MarkdownText, SessionKey, SessionState, Survey, with_filled_heading
from ..authorization import admit_new_participant
from ..context import app_context, authenticator, form_digest, store
from ..request_origin import LANGUAGE_PARAMETER, named_language, require_same_origin, wanted_languages
from ..responses import forbid_compression
from .opening import Opening, preview_opening, read_opening

pages = flask.Blueprint("pages", __name__)
pages.add_app_template_global(form_digest)


@pages.get("/assets/<path:filename>", endpoint="static")
def get_asset(filename: str) -> Response:
    return app_context().assets.respond(filename)


@pages.app_template_global()
def asset_url(name: str) -> str:
    """Return the address of the current version of a static file or bundle."""
    return flask.url_for("pages.static", filename=app_context().assets.path(name))


@pages.get("/")
def list_surveys() -> Response:
    surveys = [_in_wanted_language(survey) for survey in _surveys().values() if _is_listed(survey)]
    return participants_page("index.html", surveys=surveys)


@pages.get("/s/<survey_id>")
def take_survey(survey_id: str) -> Response:
    """Show a survey's page; a closed one is shown like one that does not exist.

    An expired or revoked cookie does not make a new participant: another link may lead to their answers.
    """
    survey = _surveys().get(survey_id)
    try:
        participant = _participant(survey_id)
    except Unauthorized:
        shown = _in_wanted_language(survey) if survey is not None and survey.access == "public" else None
        anew = None if shown is None else survey_address(shown, "pages.begin_again")
        return participants_page("ended.html", status=401, survey=shown, anew=anew)
    host = authenticator().host
    if participant is None and host is not None and host.has_participants and host.user.participant is None:
        raise Unauthorized
    if survey is None:
        return _not_found()
    if participant is not None:
        return _show(survey, participant.key, participant)
    if authenticator().is_development:
        return survey_page(survey, preview_opening(survey), user_id=None)
    if survey.access == "closed":
        return _not_found()
    return _show(survey, new_key(survey))


@pages.post("/s/<survey_id>/anew")
def begin_again(survey_id: str) -> Response:
    require_same_origin(store().settings)
    survey = _surveys().get(survey_id)
    if survey is None or survey.access == "closed":
        return _not_found()
    response = flask.redirect(survey_address(survey), 303)
    authenticator().set_resume_cookie(response, new_key(survey))
    return response


@pages.get("/resume")
def resume() -> Response:
    """Show a page whose script sends the token of the URL's fragment."""
    return participants_page("resume.html")


@pages.get("/left")
def left() -> Response:
    """Show which surveys the browser still has, and how a shared device begins again."""
    surveys = [_in_wanted_language(survey) for survey in _surveys().values() if _has_session(survey)]
    anew = _surveys().get(flask.request.args.get("survey", ""))
    if anew is not None and anew.access == "closed":
        anew = None
    list_url = _with_query(flask.url_for("pages.list_surveys"), list(flask.request.args.items(multi=True)))
    return participants_page("left.html", surveys=surveys, anew=anew, list_url=list_url)


@pages.errorhandler(Unauthorized)
def ask_to_sign_in(_error: Unauthorized) -> Response:
    return to_host_login(text(_page_language(), "pages.refused.sign_in"), _page_language())


@pages.errorhandler(Forbidden)
def refuse(error: Forbidden) -> Response:
    language = _page_language()
    why = error.message if authenticator().is_development else text(language, "pages.refused.forbidden")
    return participants_page("refused.html", language=language, status=403, why=why)


@pages.errorhandler(RateLimited)
@pages.errorhandler(Unavailable)
def postpone(error: RateLimited | Unavailable) -> Response:
    language = _page_language()
    code, retry_after_s = "unavailable", 5
    if isinstance(error, RateLimited | StorageLow):
        code, retry_after_s = error.code, error.retry_after_s
    why = Message(f"pages.refused.{code}", {"count": retry_after_s}).in_language(language)
    heading = text(language, "pages.refused.later")
    response = participants_page("refused.html", status=error.http_status, heading=heading, why=why)
    response.headers["Retry-After"] = str(retry_after_s)
    return response


@pages.app_template_filter()
def as_html(text: str) -> Markup:
    if isinstance(text, MarkdownText):
        # The renderer escapes all but its own elements.
        return Markup(text.html)  # noqa: S704  # nosec B704
    return Markup("<p>{}</p>").format(text)


@pages.app_template_global()
def is_signed_in() -> bool:
    """Return whether there is a sign-in; False if the database is unavailable."""
    try:
        return authenticator().sign_ins.integrator() is not None
    except StepkeepError:
        return False


def to_host_login(why: str, language: str = "en") -> Response:
    """Redirect to the host's login, if it is known and nobody is signed in; else show why not."""
    host = authenticator().host
    login_url = None if host is None else host.user.login_url
    if login_url is not None and flask.request.method in {"GET", "HEAD"}:
        return flask.redirect(login_url, 303)
    return page("refused.html", status=403 if host and host.user.participant else 401, why=why, language=language)


def survey_page(survey: Survey, opening: Opening, **context: object) -> Response:
    shown = _in_wanted_language(survey, opening.language, opening.state)
    return participants_page(
        "survey.html", language=shown.shown_language, survey=shown, opening=opening.message, **context
    )


def participants_page(template: str, *, language: str | None = None, **context: Any) -> Response:  # noqa: ANN401 - as page
    language = language or _page_language()
    response = page(template, language=language, **context)
    response.content_language.add(language)
    response.vary.add("Accept-Language")
    return response


def page(template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page, uncompressed if it has a token, and English if the context has no ``language``."""
    if context.get("csrf") or context.get("token"):
        forbid_compression()
    return flask.make_response(flask.render_template(template, **context), status)


@pages.app_template_global()
def survey_address(survey: Survey, endpoint: str = "pages.take_survey", **more: str) -> str:
    """Return an address of a survey at which a session begins as the request's address says."""
    return _with_query(flask.url_for(endpoint, survey_id=survey.id), [*more.items(), *_beginning(survey)])


def _left_address(survey: Survey, participant: Participant | None) -> str:
    """Return where the page leads when the device is left; a shared device's next session begins as this one.

    Not as one of a personal link, whose parameters may be about its participant.
    """
    is_linked = participant is not None and participant.granted_at != participant.issued_at
    is_shared = store().settings.kiosk_minutes and survey.access == "public" and not is_linked
    return _with_query(flask.url_for("pages.left"), [("survey", survey.id), *_beginning(survey)] if is_shared else [])


def _beginning(survey: Survey) -> list[tuple[str, str]]:
    names = {"is_audio", LANGUAGE_PARAMETER, *survey.parameters}
    return [pair for pair in flask.request.args.items(multi=True) if pair[0] in names]


def _with_query(url: str, pairs: Sequence[tuple[str, str]]) -> str:
    if not pairs:
        return url
    forbid_compression()  # the page repeats what its address says
    return f"{url}?{urlencode(pairs)}"


def _not_found() -> Response:
    return participants_page("not_found.html", status=404)


def _show(survey: Survey, key: SessionKey, participant: Participant | None = None) -> Response:
    response = survey_page(
        survey,
        read_opening(key, participant),
        user_id=key.user_id,
        kiosk_minutes=store().settings.kiosk_minutes,
        is_returning=participant is not None,
        has_cookie=participant is None or authenticator().is_from_cookie(key),
        left_url=_left_address(survey, participant),
    )
    if participant is None or authenticator().credentials.should_renew(participant):
        authenticator().set_resume_cookie(response, key, participant)
    else:
        authenticator().resume_cookies.limit(response, key.survey_id)  # an earlier release set any number
    return response


def new_key(survey: Survey) -> SessionKey:
    """Return the key of a new participant; raise as :func:`admit_new_participant`."""
    admit_new_participant()
    return store().queries.key(new_user_id(), survey.id)


def _participant(survey_id: str) -> Participant | None:
    try:
        return authenticator().current_participant(survey_id)
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


def _page_language() -> str:
    """Return the language of a page that belongs to no survey."""
    return best_match(wanted_languages(), languages()) or "en"


def _in_wanted_language(survey: Survey, chosen: str | None = None, state: SessionState | None = None) -> Survey:
    """Return the survey in the request's language, else the session's, with values in its heading."""
    wanted = wanted_languages() if chosen is None else tuple(filter(None, (named_language(), chosen)))
    shown = survey.in_language(survey.offered_language(*wanted))
    return with_filled_heading(shown, store().clock(), state)
