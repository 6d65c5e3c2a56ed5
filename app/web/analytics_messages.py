"""What REST answers of a survey's figures, as models; ``operations/analytics`` says how each figure is counted."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..core.formats import SURVEY_ID
from ..survey.types import StepType

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float | None, Field(ge=0, le=1, description="null where there is nothing to take a share of")]
Rate = Annotated[float | None, Field(ge=0, description="null where there is nothing to divide by")]
Number = int | float


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AnalyticsFilters(_Part):
    """What was asked for; null: all."""

    since: str | None
    until: str | None
    mode: Literal["text", "audio"] | None
    revision: str | None
    status: Literal["in_progress", "completed", "expired"] | None


class SessionsCounted(_Part):
    """Sessions by what became of them."""

    started: Count
    completed: Count
    in_progress: Count
    expired: Count
    completion_rate: Share


class Seconds(_Part):
    """Durations; median and p90 are null where there are none."""

    count: Count
    median: Rate
    p90: Rate


class Resumed(_Part):
    """Sessions that somebody left and came back to."""

    sessions: Count
    share: Share
    returns: Count
    away_s: Seconds
    pause_s: Annotated[int, Field(ge=1, description="seconds without an event that make a pause")]


class ModeCounted(_Part):
    """Sessions whose mode is this now."""

    mode: Literal["text", "audio"]
    started: Count
    completed: Count
    completion_rate: Share
    answers: Count


class DayCounted(_Part):
    """A day, UTC."""

    day: Annotated[str, Field(json_schema_extra={"format": "date"})]
    started: Count
    completed: Count


class RevisionCounted(_Part):
    """Sessions of a revision of the survey; null: of none that is known."""

    revision: str | None
    is_current: bool
    started: Count
    completed: Count
    completion_rate: Share


class Bar(_Part):
    """How often one answer was given; ``value`` is null for all that are no answer of the survey's."""

    value: str | int | float | bool | None
    label: str
    count: Count
    share: Share


class Bin(_Part):
    """Numbers from ``from`` up to, but without, ``to``; the last one with it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: Annotated[Number, Field(alias="from")]
    to: Number
    count: Count


class NumbersCounted(_Part):
    """Numbers that were answered."""

    min: Number
    max: Number
    mean: float
    median: float
    bins: list[Bin]


class LengthsCounted(_Part):
    """Characters of free texts."""

    median: float
    p90: float
    max: Count


class AnswersCounted(_Part):
    """The answers to a step that sessions have now; never a text."""

    count: Count
    skipped: Count
    distribution: Annotated[list[Bar] | None, Field(description="choice, choices, boolean, scale; dates by year")]
    numbers: Annotated[NumbersCounted | None, Field(description="number, scale")]
    lengths: Annotated[LengthsCounted | None, Field(description="text")]


class StepCounted(_Part):
    """One step: how many came to it, answered it and stand there; those of older revisions follow the newest's."""

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
    seconds: Seconds
    answers: AnswersCounted


class Analytics(_Part):
    """A survey's figures."""

    success: Literal[True]
    survey_id: Annotated[str, Field(pattern=SURVEY_ID)]
    title: str
    computed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    filters: AnalyticsFilters
    sessions: SessionsCounted
    unread: Annotated[int, Field(ge=0, description="sessions whose answers can't be opened, and are in no `answers`")]
    duration_s: Seconds
    active_s: Seconds
    resumed: Resumed
    modes: list[ModeCounted]
    days: list[DayCounted]
    revisions: list[RevisionCounted]
    steps: list[StepCounted]
