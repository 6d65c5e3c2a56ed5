"""REST for the surveys that are offered."""

from typing import Annotated, Literal

import flask
from pydantic import BaseModel, ConfigDict, Field

from ...access import Participant, Principal, has_scope
from ...errors import NoSuchSurvey
from ...survey import SessionKey
from ...survey.types import StepType
from ..context import authenticator, store
from .bodies import success
from .models import Model, Response, SurveyId
from .openapi.operation import PUBLIC, Operation, Resource, anonymous, own_session

surveys = Resource("surveys", __name__)

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


class Step(BaseModel):
    """A step as in the survey file, with defaults filled in and without its rules; more fields by its type."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: StepType
    prompt: str
    required: bool
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
    steps: list[Step]


class SurveyResponse(Response):
    """One survey with its steps."""

    survey: Survey


@Operation(
    surveys,
    "GET /api/surveys",
    responses={200: SurveyList},
    security=anonymous(own_session("sessions:read")),
    errors=(*PUBLIC, 401),
)
def list_surveys() -> flask.Response:
    """List the surveys.

    Closed surveys are listed only to their participants, and to callers who may read their sessions.
    """
    principal = authenticator().principal()
    listed = [
        {**survey.model_dump(include=_SUMMARY), "revision": survey.revision, "steps": len(survey.steps)}
        for survey in store().catalogue.surveys.values()
        if survey.access == "public" or _sees_closed_survey(principal, survey.id)
    ]
    return success(surveys=listed)


@Operation(
    surveys,
    "GET /api/surveys/<survey_id>",
    responses={200: SurveyResponse},
    security=anonymous(own_session("sessions:read")),
    errors=(*PUBLIC, 401),
)
def get_survey(survey_id: str) -> flask.Response:
    """Get a survey."""
    survey = store().catalogue.surveys.get(survey_id)
    is_public = survey is not None and survey.access == "public"
    # Credentials are checked for a survey that does not exist too: invalid ones would show which are closed.
    is_seen = is_public or _sees_closed_survey(authenticator().principal(SessionKey(survey_id, "")), survey_id)
    if survey is None or not is_seen:
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    graph = survey.graph
    steps = [
        {
            **(survey.client_step(step.id) or {}),
            "leads_to": graph.fixed_next_step(step.id),
            "reads": None if (read := graph.dependencies(step.id)) is None else sorted(read),
        }
        for step in survey.steps
    ]
    fields = survey.model_dump(mode="json", exclude={"steps"})
    return success(survey={**fields, "revision": survey.revision, "steps": steps})


def _sees_closed_survey(principal: Principal, survey_id: str) -> bool:
    if isinstance(principal, Participant):
        return principal.key.survey_id == survey_id
    return has_scope(principal, "sessions:read", survey_id)
