"""REST for a survey's analytics (docs/analytics.md)."""

from typing import Annotated, Literal

import flask
from pydantic import ConfigDict, Field

from ...operations.analytics import Filters
from ...survey import ValueKind
from ...survey.types import StepType
from ..authorization import authorize_survey
from ..context import app_context
from .bodies import success
from .models import Model, Response, Status, SurveyId, Time
from .openapi.operation import Operation, Resource, integrator
from .openapi.parameters import MODE, REVISION, SINCE, STATUS, UNTIL

analytics = Resource("analytics", __name__)

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float | None, Field(ge=0, le=1, description="null if there is nothing to count")]
Rate = Annotated[float | None, Field(ge=0, description="null if the divisor is 0")]
Number = int | float


class AnalyticsFilters(Model):
    """The filters; null: all."""

    since: str | None
    until: str | None
    mode: Literal["text", "audio"] | None
    revision: str | None
    status: Status | None


class DayCounts(Model):
    """A day, UTC."""

    day: Annotated[str, Field(json_schema_extra={"format": "date"})]
    started: Count
    completed: Count


class Completion(Model):
    """Numbers of sessions."""

    started: Count
    completed: Count
    completion_rate: Share


class SessionCounts(Completion):
    """Numbers of sessions by status."""

    in_progress: Count
    expired: Count


class ModeCounts(Completion):
    """Sessions in this mode now."""

    mode: Literal["text", "audio"]
    answers: Count


class LanguageCounts(Completion):
    """Sessions in this language now; null: unknown."""

    language: str | None


class RevisionCounts(Completion):
    """Sessions of a revision of the survey; null: unknown."""

    revision: str | None
    is_current: bool


class Durations(Model):
    """Durations; median and p90 are null where there are none."""

    count: Count
    median: Rate
    p90: Rate


class ResumedSessions(Model):
    """Sessions that were left and resumed."""

    sessions: Count
    share: Share
    returns: Count
    away_s: Durations
    pause_s: Annotated[int, Field(ge=1, description="longest gap between two events that is not a pause, in seconds")]


class Bar(Model):
    """The count of one answer; ``value`` is null for all answers that are not the survey's."""

    value: str | int | float | bool | None
    label: str
    count: Count
    share: Share
    mean_rank: Annotated[Rate, Field(description="of a ranking's option: 1 where all put it first")] = None


class Bin(Model):
    """Numbers from ``from`` up to ``to``, which only the last bin includes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: Annotated[Number, Field(alias="from")]
    to: Number
    count: Count


class NumberStatistics(Model):
    """Numeric answers."""

    min: Number
    max: Number
    mean: float
    median: float
    bins: list[Bin]


class LengthStatistics(Model):
    """Characters of free texts."""

    median: float
    p90: float
    max: Count


class AnswerCounts(Model):
    """The present answers to a step, without any text."""

    count: Count
    skipped: Count
    distribution: Annotated[
        list[Bar] | None, Field(description="options, boolean, scale; dates by year, times by hour; first of a ranking")
    ]
    numbers: Annotated[NumberStatistics | None, Field(description="number, scale")]
    lengths: Annotated[LengthStatistics | None, Field(description="text")]


class PartCounts(Model):
    """The answers to a field of a page (`weight`), or to a row of a grid (`days.sleep`)."""

    step: Annotated[str, Field(description="as conditions name it after `answers`")]
    type: StepType
    prompt: str
    answers: AnswerCounts


class StepCounts(Model):
    """One step: how many reached it, answered it and left there; steps of older revisions come last."""

    step: str
    type: StepType | None
    prompt: str | None
    reached: Count
    answered: Count
    left_here: Count
    drop_off: Share
    edits: Count
    edit_rate: Rate
    backs: Count
    back_rate: Rate
    seconds: Durations
    answers: AnswerCounts
    parts: Annotated[list[PartCounts] | None, Field(description="of a page or grid: its fields or rows")] = None


class ValueCounts(Model):
    """A computed value, as completed sessions recorded it; texts that the survey does not name count as others."""

    value: str
    kind: ValueKind
    answers: Annotated[AnswerCounts, Field(description="`skipped`: without a value")]


class Analytics(Response):
    """A survey's analytics."""

    survey_id: SurveyId
    title: str
    computed_at: Time
    filters: AnalyticsFilters
    sessions: SessionCounts
    unread: Annotated[
        int, Field(ge=0, description="sessions whose answers can't be decrypted, and are not included in `answers`")
    ]
    duration_s: Durations
    active_s: Durations
    resumed: ResumedSessions
    modes: list[ModeCounts]
    languages: Annotated[list[LanguageCounts], Field(description="empty if the survey has only one")]
    days: list[DayCounts]
    revisions: list[RevisionCounts]
    steps: list[StepCounts]
    values: list[ValueCounts]


@Operation(
    analytics,
    "GET /api/surveys/<survey_id>/analytics",
    Analytics,
    integrator("sessions:read"),
    parameters=(SINCE, UNTIL, MODE, REVISION, STATUS),
)
def get_analytics(survey_id: str) -> flask.Response:
    """Get a survey's analytics.

    How many participants started, where they stopped, how long they took and what they answered; of sessions as they
    are now, since their last restart. Without names and texts. They may be some seconds old: see `computed_at`.
    """
    authorize_survey(survey_id, "sessions:read", "analytics_read", is_repeated=True)
    filters = Filters(**flask.request.args.to_dict())
    return success(**app_context().analytics.get(survey_id, filters))
