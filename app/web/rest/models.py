"""Models of several REST resources."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ...core.formats import SURVEY_ID
from ...survey.types import StepType
from .openapi.parameters import USER_ID_PATTERN

UserId = Annotated[str, Field(pattern=USER_ID_PATTERN, description="the participant; compared exactly")]
SurveyId = Annotated[str, Field(pattern=SURVEY_ID)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="UTC, with microseconds")]
Version = Annotated[int, Field(ge=1)]
Success = Literal[True]
Progress = Annotated[float, Field(ge=0, le=1)]
Status = Literal["in_progress", "completed", "expired"]


def drop_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults of optional fields, which are absent without one."""
    for field in schema["properties"].values():
        field.pop("default", None)


class Model(BaseModel):
    """A body or a response with exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class PartialModel(BaseModel):
    """A model whose optional fields have no default: a field that is absent means something else."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=drop_defaults)


class Response(Model):
    """A response of success with exactly these fields."""

    success: Success


class Done(Response):
    """Success."""


class ReadyCheck(Model):
    """The health of one part of the server, and what to do if it is not ok."""

    name: str
    status: Literal["ok", "warning", "failing"]
    hint: str | None


class ImageSent(Model):
    """A picture beside a question or an option: a file of `/media`."""

    file: str
    alt: Annotated[str, Field(description="what it says, for screen readers")]


class StepSent(BaseModel):
    """A step as in the survey file, with defaults and without its rules.

    More fields by its type: see `/survey.schema.json`.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra=drop_defaults)

    id: str
    type: StepType
    prompt: str
    audio: Annotated[str | None, Field(description="spoken in audio mode instead of the prompt")]
    required: Annotated[bool, Field(description="absent of a page, whose fields have it")] = True
    help: Annotated[str, Field(description="shown below the prompt")] = ""
    image: ImageSent | None = None
    default: Annotated[JsonValue, Field(description="shown until the participant answers; no answer until sent")] = None
    html: Annotated[dict[str, str], Field(description="texts as HTML by field, where `markdown` is on")] = {}
    depends_on: Annotated[list[str], Field(description="steps whose answers decide what this one looks like")] = []


class Problem(PartialModel):
    """Problem details (RFC 9457). ``code`` names the kind of error and never changes its meaning."""

    type: Literal["about:blank"]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="human-readable: what happened, and what to do")]
    code: str
    success: Literal[False]
    place: Annotated[str, Field(description="with `invalid_json`: the location")] = ""
    id: Annotated[str, Field(description="of a rejected command")] = ""
    step: Annotated[StepSent | None, Field(description="of a rejected command: the current step")] = None
    fields: Annotated[
        dict[str, str], Field(description="of a rejected answer to a page or grid: what is wrong, by field or row")
    ] = {}
    survey_id: Annotated[SurveyId | None, Field(description="of `link_unconfirmed`: the link's survey")] = None
    started_at: Annotated[Time | None, Field(description="of `link_unconfirmed`: when the session was started")] = None
    has_other_session: Annotated[
        bool, Field(description="of `link_unconfirmed`: whether the browser has another participant's cookie")
    ] = False
    checks: Annotated[list[ReadyCheck], Field(description="of `/readyz`, only for callers who may see them")] = []
