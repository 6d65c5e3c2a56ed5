"""The dashboard's pages, for those who run surveys: counts, figures of a survey, sessions and the walk of one.

Thin: each page is a shell whose scripts (static/dashboard/) ask REST with the sign-in's cookie, so that what may be
seen, and what is noted of it in the audit log, is decided in one place. Only the counts and the audit log come with
the page. What a key may not do has no link here. No page's title or address has an answer in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import flask
from werkzeug import Response

from ...access.principals import SCOPES, Developer, Integrator, require_scope
from ...core.timestamps import format_minute
from ...errors import Forbidden, InvalidInput, NoSuchSession, NoSuchSurvey, NotFound, Unauthorized, Unavailable
from ...store import audit, counting, history
from ...store.audit import RecordedEntry
from ...store.counting import SurveyCount
from ..authentication import access
from ..authorization import note, store
from .sign_in import put_off, refuse, to_sign_in
from .survey import page

dashboard = flask.Blueprint("dashboard", __name__)
dashboard.add_app_template_filter(format_minute)
dashboard.register_error_handler(Forbidden, refuse)
dashboard.register_error_handler(Unavailable, put_off)

AUDIT_ENTRIES = 50
"""Entries of the audit log that the dashboard shows."""

EXPORT_FORMATS = {
    "csv": "CSV, a row a session",
    "long": "CSV, a row an event",
    "jsonl": "JSON Lines",
    "parquet": "Parquet",
    "xlsx": "Excel",
    "sav": "SPSS",
    "dta": "Stata",
}
"""What ``GET /api/surveys/{id}/export`` makes, as people call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSurvey:
    """A survey's line on the dashboard; ``title`` is None where its file is gone."""

    survey_id: str
    title: str | None
    count: SurveyCount | None


@dashboard.get("/dashboard")
def show_overview() -> Response:
    """Show how many sessions each survey has, who is signed in and, with the scope admin, what was done last."""
    who = _who()
    entries = _entries(who) if "admin" in _scopes(who) else None
    return _page("overview.html", who, surveys=_shown_surveys(), entries=entries)


@dashboard.get("/dashboard/surveys/<survey_id>")
def show_survey(survey_id: str) -> Response:
    """Show the figures of a survey: one that is offered, or of which revisions are kept."""
    who = _who()
    survey = store().catalogue.surveys.get(survey_id)
    revisions = store().run_read(
        lambda connection: history.read_revisions(connection, store().queries.key("x", survey_id)[0])
    )
    if survey is None and not revisions:
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    return _page(
        "survey.html",
        who,
        survey_id=survey_id,
        survey=survey,
        revisions=revisions,
        formats=EXPORT_FORMATS if "export" in _scopes(who) else {},
    )


@dashboard.get("/dashboard/sessions")
def list_sessions() -> Response:
    """Show the sessions that fit a search."""
    return _page("sessions.html", _who(), surveys=store().catalogue.surveys.values())


@dashboard.get("/dashboard/sessions/<survey_id>/<path:user_id>")
def show_session(survey_id: str, user_id: str) -> Response:
    """Show the walk of one session: its events, and its state at any version."""
    who = _who()
    key = store().queries.key(user_id, survey_id)
    if store().queries.load(key) is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    survey = store().catalogue.surveys.get(survey_id)
    return _page("session.html", who, key=key, survey=survey)


@dashboard.errorhandler(Unauthorized)
def lead_to_sign_in(_error: Unauthorized) -> Response:
    """Lead who is not signed in, or no more, to the form."""
    return to_sign_in()


@dashboard.errorhandler(NotFound)
@dashboard.errorhandler(InvalidInput)
def miss(_error: NotFound | InvalidInput) -> Response:
    """Say that there is no such page; the same to an address that could be none."""
    return page("dashboard/not_found.html", status=404, scopes=_scopes(_who()))


def _who() -> Integrator | Developer:
    """Return who is signed in and may read sessions.

    Raises:
        Unauthorized, Forbidden: nobody, or with a key that may not.
    """
    who = access().signed_in()
    require_scope(who, "sessions:read")
    return who


def _page(template: str, who: Integrator | Developer, **context: object) -> Response:
    name = who.name if isinstance(who, Integrator) else None
    shown = {"scopes": _scopes(who), "name": name, "csrf": access().csrf_token(), **context}
    return page(f"dashboard/{template}", status=200, **shown)


def _shown_surveys() -> list[ShownSurvey]:
    """Return the surveys that are offered, in the catalogue's order, and those of which only sessions are there."""
    at = store().clock()
    counts = {count.survey_id: count for count in store().run_read(lambda db: counting.count_by_survey(db, at))}
    offered = store().catalogue.surveys
    shown = [ShownSurvey(survey_id=one.id, title=one.title, count=counts.get(one.id)) for one in offered.values()]
    gone = [ShownSurvey(survey_id=one, title=None, count=counts[one]) for one in counts if one not in offered]
    return shown + gone


def _scopes(who: Integrator | Developer) -> Sequence[str]:
    if isinstance(who, Developer):
        return SCOPES
    return [scope for scope in SCOPES if scope in who.scopes]


def _entries(who: Integrator | Developer) -> list[RecordedEntry]:
    note(who, "audit_read", None)
    return store().run_read(lambda db: audit.read_page(db, None, AUDIT_ENTRIES, {})).entries
