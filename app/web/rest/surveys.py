"""REST for the surveys that are offered."""

import re
from dataclasses import asdict
from typing import Annotated, Literal

import flask
from pydantic import Field, JsonValue

from ... import survey as survey_core
from ...access import Participant, Principal, has_scope
from ...core.formats import SURVEY_ID
from ...errors import NoSuchSurvey
from ...survey import SessionKey, described_step, with_html
from ..authorization import authorize_all
from ..context import authenticator, form_digest, store
from .bodies import success
from .models import Model, Response, StepSent, SurveyId
from .openapi.operation import PUBLIC, Operation, Resource, anonymous, integrator, own_session
from .openapi.parameters import LANG, hexadecimal

surveys = Resource("surveys", __name__)

REVISION = hexadecimal("revision", "a revision that sessions of the survey have; default: the newest", 32)
FORM = hexadecimal("form", "with `revision`, by this server's page: a digest of what else it depends on", 16)

_SUMMARY = {"id", "title", "language", "description"}


class SurveySummary(Model):
    """A survey that is offered."""

    id: SurveyId
    title: str
    language: str
    description: str | None
    revision: str
    steps: Annotated[int, Field(ge=1, description="the number of steps")]


class SurveyList(Response):
    """The surveys that are offered to the caller."""

    surveys: list[SurveySummary]


class Step(StepSent):
    """A step of the whole survey."""

    leads_to: Annotated[str | None, Field(description="the next step; null if it depends on answers")]
    reads: Annotated[list[str] | None, Field(description="steps whose answers decide the next step; null: any")]


class Survey(Model):
    """One survey."""

    id: SurveyId
    title: str
    language: str
    description: str | None
    expires_after: str | None
    access: Literal["public", "closed"]
    retention: str | None
    revision: str
    first_step: Annotated[str | None, Field(description="where a session begins; null if a condition decides")]
    steps: list[Step]
    languages: list[str] = Field(default_factory=list, description="to choose from, where there are several")
    timezone: str | None = None
    parameters: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, description="what is known before the first question, by name, as in the file"
    )
    markdown: bool = False
    html: dict[str, str] = Field(default_factory=dict, description="texts as HTML, where `markdown` is on")


class SurveyFinding(Model):
    """What is wrong with a survey file, or may be."""

    level: Literal["error", "warning"]
    file: str
    line: int
    column: int
    step_id: str | None
    message: Annotated[str, Field(description="for the author of the survey")]


class SurveyReload(Response):
    """What changed, by the ids of surveys; a survey whose file has an error stays as it was."""

    added: list[SurveyId]
    changed: list[SurveyId]
    removed: list[SurveyId]
    findings: list[SurveyFinding]


class SurveyResponse(Response):
    """One survey with its steps."""

    survey: Survey


@Operation(
    surveys,
    "GET /api/surveys",
    SurveyList,
    anonymous(own_session("sessions:read")),
    errors=(*PUBLIC, 401, 422),
    parameters=(LANG,),
)
def list_surveys() -> flask.Response:
    """List the surveys.

    Closed surveys are listed only to their participants, and to callers who may read their sessions.
    """
    principal = authenticator().principal()
    listed = [
        {
            **survey.in_language(LANG.value()).without_session.model_dump(include=_SUMMARY),
            "revision": survey.revision,
            "steps": len(survey.steps),
        }
        for survey in store().catalogue.surveys.values()
        if survey.access == "public" or _sees_closed_survey(principal, survey.id)
    ]
    return success(surveys=listed)


@Operation(surveys, "POST /api/surveys/reload", SurveyReload, integrator("admin"))
def reload_surveys() -> flask.Response:
    """Read the survey files again.

    All processes of the server take what has changed, other servers of the database too, from their own folders. A
    wrong file leaves its survey as it was, and stops no other. Sessions keep their revision.
    """
    authorize_all("admin", "surveys_reloaded")
    result = store().surveys.reload(is_everywhere=True)
    findings = [asdict(finding) for finding in result.findings]
    return success(
        added=list(result.added), changed=list(result.changed), removed=list(result.removed), findings=findings
    )


@Operation(
    surveys,
    "GET /api/surveys/<survey_id>",
    SurveyResponse,
    anonymous(own_session("sessions:read")),
    errors=(*PUBLIC, 401, 422),
    parameters=(LANG, REVISION, FORM),
)
def get_survey(survey_id: str) -> flask.Response:
    """Get a survey.

    With `revision`, as sessions of that revision have it, but with today's access and retention. One that is no longer
    offered is closed, and kept.
    """
    revision, form, language = REVISION.value(), FORM.value(), LANG.value()
    offered = store().catalogue.surveys.get(survey_id)
    is_public = offered is not None and offered.access == "public"
    # Credentials are checked for a survey that does not exist too: invalid ones would show which are closed.
    is_seen = is_public or _sees_closed_survey(authenticator().principal(SessionKey(survey_id, "")), survey_id)
    survey = _at_revision(survey_id, offered, revision) if is_seen else None
    if survey is None:
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    today: dict[str, str | None] = {"access": "closed", "retention": None}
    if offered is not None:
        today = {"access": offered.access, "retention": offered.retention}
    response = _survey_response(survey.in_language(language).model_copy(update=today))
    if offered is not None and revision == offered.revision and form == form_digest(offered):
        response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


def _at_revision(survey_id: str, offered: survey_core.Survey | None, revision: str | None) -> survey_core.Survey | None:
    if revision is None or (offered is not None and revision == offered.revision):
        return offered
    return store().queries.revisions.find(survey_id, revision) if re.fullmatch(SURVEY_ID, survey_id) else None


def _survey_response(survey: survey_core.Survey) -> flask.Response:
    graph = survey.graph
    steps = [
        {
            **described_step(survey, step),
            "leads_to": graph.fixed_next_step(step.id),
            "reads": None if (read := graph.dependencies(step.id)) is None else sorted(read),
        }
        for step in survey.steps
    ]
    fields = with_html(survey.model_dump(mode="json", exclude={"steps", "end", "values"}), survey)
    more = {"revision": survey.revision, "first_step": graph.fixed_first_step, "steps": steps}
    return success(survey={**fields, **more})


def _sees_closed_survey(principal: Principal, survey_id: str) -> bool:
    if isinstance(principal, Participant):
        return principal.key.survey_id == survey_id
    return has_scope(principal, "sessions:read", survey_id)
