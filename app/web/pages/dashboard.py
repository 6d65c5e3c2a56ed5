"""The dashboard's pages: shells whose scripts call REST, where authorization and audit are.

No title or address contains an answer.
"""

from collections.abc import Sequence
from typing import Any

import flask
from werkzeug import Response

from ...access import SCOPES, Developer, Integrator, has_scope, require_some_scope
from ...core.timestamps import format_minute
from ...errors import Forbidden, InvalidInput, NoSuchSession, NoSuchSurvey, NotFound, Unauthorized, Unavailable
from ...sessions import RecordedEntry
from ..authorization import audit
from ..context import authenticator, store
from .sign_in import refuse, show_unavailable, to_sign_in
from .survey import page

dashboard = flask.Blueprint("dashboard", __name__)
dashboard.add_app_template_filter(format_minute)
dashboard.register_error_handler(Forbidden, refuse)
dashboard.register_error_handler(Unavailable, show_unavailable)

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
    if store().queries.load(key) is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    survey = store().catalogue.surveys.get(survey_id)
    return _page("session.html", principal, key=key, survey=survey)


@dashboard.errorhandler(Unauthorized)
def redirect_to_sign_in(_error: Unauthorized) -> Response:
    return to_sign_in()


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
    """A survey that is no longer offered has no title."""
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
