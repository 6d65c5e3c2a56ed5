"""The dashboard: signing in with an API key, and shells whose scripts call REST, where authorization and audit are.

No title or address contains an answer; no page repeats a key or says what is wrong with it.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import flask
from werkzeug import Response

from ...access import SCOPES, Anyone, Developer, Integrator, audit_name, has_scope, require_some_scope
from ...core.timestamps import format_minute
from ...errors import Forbidden, InvalidInput, NoSuchSurvey, NotFound, RateLimited, Unauthorized, Unavailable
from ...sessions import RecordedEntry
from ..authorization import audit
from ..context import authenticator, store
from ..request_origin import require_same_origin
from .survey import page, to_host_login

dashboard = flask.Blueprint("dashboard", __name__)
dashboard.add_app_template_filter(format_minute)
sign_in = flask.Blueprint("sign_in", __name__)

AUDIT_ENTRIES = 50

EXPORT_FORMATS = {
    "csv": "CSV, a row a session",
    "long": "CSV, a row an event",
    "jsonl": "JSON Lines",
    "parquet": "Parquet",
    "xlsx": "Excel",
    "sav": "SPSS",
    "dta": "Stata",
}

_INVALID_KEY = (
    "This key does not open the dashboard. Check that it is complete and has neither expired nor been revoked, "
    "or ask the operator for a new one."
)


@dashboard.get("/dashboard")
def show_overview() -> Response:
    principal = _principal()
    entries = _audit_entries(principal) if has_scope(principal, "admin") else None
    rows = [row for row in _survey_rows() if _may_read(principal, row["survey_id"])]
    return _page("overview.html", principal, surveys=rows, entries=entries)


@dashboard.get("/dashboard/surveys/<survey_id>")
def show_survey(survey_id: str) -> Response:
    principal = _principal()
    _require_survey(principal, survey_id)
    survey = store().catalogue.surveys.get(survey_id)
    revisions = store().queries.stored_revisions(store().queries.survey_id(survey_id))
    if survey is None and not revisions:
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    return _page(
        "survey.html",
        principal,
        survey_id=survey_id,
        survey=survey,
        revisions=revisions,
        formats=EXPORT_FORMATS if "export" in _scopes(principal) else {},
    )


@dashboard.get("/dashboard/sessions")
def list_sessions() -> Response:
    principal = _principal()
    surveys = [survey for survey in store().catalogue.surveys.values() if _may_read(principal, survey.id)]
    return _page("sessions.html", principal, surveys=surveys)


@dashboard.get("/dashboard/sessions/<survey_id>/<path:user_id>")
def show_session(survey_id: str, user_id: str) -> Response:
    principal = _principal()
    key = store().queries.key(user_id, survey_id)
    _require_survey(principal, survey_id)
    store().queries.require(key)
    survey = store().catalogue.surveys.get(survey_id)
    return _page("session.html", principal, key=key, survey=survey)


@dashboard.errorhandler(NotFound)
@dashboard.errorhandler(InvalidInput)
def show_not_found(_error: NotFound | InvalidInput) -> Response:
    return _page("not_found.html", _principal(), status=404)


def _principal() -> Integrator | Developer:
    principal = authenticator().sign_ins.principal()
    require_some_scope(principal, "sessions:read")
    return principal


def _may_read(principal: Integrator | Developer, survey_id: str) -> bool:
    return has_scope(principal, "sessions:read", survey_id)


def _require_survey(principal: Integrator | Developer, survey_id: str) -> None:
    """Raise NoSuchSurvey, as for a survey that does not exist, unless the principal may read it."""
    if not _may_read(principal, survey_id):
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)


def _page(template: str, principal: Integrator | Developer, *, status: int = 200, **variables: object) -> Response:
    sign_ins = authenticator().sign_ins
    name = principal.name if isinstance(principal, Integrator) and not sign_ins.are_hosts else None
    csrf = sign_ins.csrf_token()
    account = {"name": name, "csrf": csrf, "scopes": _scopes(principal), "is_host_user": sign_ins.are_hosts}
    return page(f"dashboard/{template}", status=status, **account, **variables)


def _survey_rows() -> list[dict[str, Any]]:
    """Return a row for each survey; without a title if it is no longer offered."""
    counts = {count.survey_id: count for count in store().queries.counts_by_survey()}
    titles = {survey.id: survey.without_session.title for survey in store().catalogue.surveys.values()}
    ids = {**titles, **counts}
    return [{"survey_id": id_, "title": titles.get(id_), "count": counts.get(id_)} for id_ in ids]


def _scopes(principal: Integrator | Developer) -> Sequence[str]:
    if isinstance(principal, Developer):
        return SCOPES
    return [scope for scope in SCOPES if scope in principal.scopes]


def _audit_entries(principal: Integrator | Developer) -> list[RecordedEntry]:
    audit(principal, "audit_read", None)
    return store().audit_log.page(limit=AUDIT_ENTRIES).items


@sign_in.get("/sign-in")
def show_sign_in() -> Response:
    sign_ins = authenticator().sign_ins
    try:
        sign_ins.principal()
    except Unauthorized:
        return to_sign_in() if sign_ins.are_hosts else page("sign_in.html", problem=None)
    return _to("dashboard.show_overview")


@sign_in.post("/sign-in")
def begin() -> Response:
    require_same_origin(store().settings)
    response = _to("dashboard.show_overview")
    try:
        integrator = authenticator().sign_ins.begin(flask.request.form.get("key", ""), response)
        audit(integrator, "signed_in", None)
    except Unauthorized:
        store().audit_log.record(audit_name(Anyone()), "sign_in_failed")
        return page("sign_in.html", status=401, problem=_INVALID_KEY)
    except RateLimited as error:
        response = page("sign_in.html", status=429, problem="Too many invalid keys were tried. Please wait a minute.")
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


@sign_in.post("/sign-out")
def end() -> Response:
    sign_ins = authenticator().sign_ins
    sign_ins.require_csrf_token(flask.request.form.get("csrf", ""))
    response = to_sign_in()
    with contextlib.suppress(Unauthorized):  # expired meanwhile
        audit(sign_ins.principal(), "signed_out", None)
    sign_ins.end(response)
    response.headers["Clear-Site-Data"] = '"cache"'  # with the pages that Back would show from memory
    return response


@dashboard.errorhandler(Forbidden)
@sign_in.errorhandler(Forbidden)
def refuse(error: Forbidden) -> Response:
    sign_ins = authenticator().sign_ins
    csrf = None if sign_ins.are_hosts or sign_ins.integrator() is None else sign_ins.csrf_token()
    return page("refused.html", status=403, why=error.message, csrf=csrf)


@dashboard.errorhandler(Unavailable)
@sign_in.errorhandler(Unavailable)
def show_unavailable(_error: Unavailable) -> Response:
    response = page("refused.html", status=503, why="The database is unavailable. Please try again later.")
    response.headers["Retry-After"] = "5"
    return response


@dashboard.errorhandler(Unauthorized)
def to_sign_in(_error: Unauthorized | None = None) -> Response:
    if authenticator().sign_ins.are_hosts:
        return to_host_login("The dashboard is not open to you.")
    return _to("sign_in.show_sign_in")


def _to(endpoint: str) -> Response:
    return flask.redirect(flask.url_for(endpoint), 303)
