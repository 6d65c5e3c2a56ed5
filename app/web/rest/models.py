"""What REST takes and answers, as models: for the OpenAPI document and for tests.

The views make their answers as plain dictionaries; a test holds each of them to its model here.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from ...core.formats import SURVEY_ID
from ...sessions import MAX_STEP_LENGTH, Action
from ...survey.types import StepType
from ..analytics_messages import Analytics
from .openapi.strict_json_schema import NO_NUL

USER_ID_PATTERN = r"^[A-Za-z0-9._@:-]{1,128}$"

MAX_HOURS = 24 * 3650
"""Hours that a token may be asked to hold, at most."""

UserId = Annotated[str, Field(pattern=USER_ID_PATTERN, description="the participant; compared exactly")]
SurveyId = Annotated[str, Field(pattern=SURVEY_ID)]
StepName = Annotated[str, Field(min_length=1, max_length=MAX_STEP_LENGTH, pattern=NO_NUL)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="UTC, with microseconds")]
Version = Annotated[int, Field(ge=1)]
Progress = Annotated[float, Field(ge=0, le=1)]
Success = Literal[True]
Status = Literal["in_progress", "completed", "expired"]
Hours = Annotated[
    float | None,
    Field(gt=0, le=MAX_HOURS, description="for which the token holds; never longer than STEPKEEP_TOKEN_DAYS"),
]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SessionShown(_Answer):
    """A session."""

    user_id: UserId
    survey_id: SurveyId
    survey_revision: str | None
    status: Status
    current_step: str
    answers: dict[str, JsonValue]
    step_history: list[str]
    is_audio_mode: bool
    draft: JsonValue
    session_data: dict[str, JsonValue] | None
    version: Version
    progress: Progress
    created_at: Time
    updated_at: Time
    completed_at: Time | None


class SessionAnswer(_Answer):
    """One session."""

    success: Success
    session: SessionShown


class SessionPage(_Answer):
    """A page of sessions; ``next`` is the ``after`` of the following page, null after the last one.

    With filters a page may hold fewer than ``limit``, even none, and more may follow.
    """

    success: Success
    sessions: list[SessionShown]
    next: str | None


class EventShown(_Answer):
    """One event of a session's history."""

    version: Version
    action: str
    step: str | None
    answer: JsonValue
    timestamp: Time
    message_id: str | None
    data: dict[str, JsonValue]


class HistoryPage(_Answer):
    """A page of events, oldest first; ``next`` is the ``after`` of the following page."""

    success: Success
    events: list[EventShown]
    next: int | None


class SurveyListed(_Answer):
    """A survey that is offered."""

    id: SurveyId
    title: str
    language: str
    description: str | None
    revision: str
    steps: Annotated[int, Field(ge=1, description="how many")]


class SurveyList(_Answer):
    """The surveys that are offered to who asks."""

    success: Success
    surveys: list[SurveyListed]


class StepShown(BaseModel):
    """A step as in the survey file, with defaults filled in and without its rules; more fields by its type."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: StepType
    prompt: str
    required: bool
    leads_to: Annotated[str | None, Field(description="whatever is answered; null where that depends on answers")]
    reads: Annotated[list[str] | None, Field(description="steps whose answers decide where it leads; null: any")]


class SurveyShown(_Answer):
    """One survey."""

    id: SurveyId
    title: str
    language: str
    description: str | None
    expires_after: str | None
    access: Literal["public", "closed"]
    retention: str | None
    revision: str
    steps: list[StepShown]


class SurveyAnswer(_Answer):
    """One survey with its steps."""

    success: Success
    survey: SurveyShown


class ParticipantMade(_Answer):
    """A participant's id, and his token, which is shown only here."""

    success: Success
    user_id: UserId
    survey_id: SurveyId
    token: str
    expires_at: Time
    link: Annotated[str, Field(description="a page that takes the token from behind the #")]


class LinkMade(_Answer):
    """A link to go on with another device."""

    success: Success
    link: str
    expires_at: Time
    qr: Annotated[str, Field(description="the link as a QR code: SVG")]


class AuditEntry(_Answer):
    """Who did what; never what was in it."""

    id: int
    at: Time
    actor: str
    action: Action
    survey_id: str | None
    user_id: str | None
    detail: dict[str, JsonValue]


class AuditPage(_Answer):
    """A page of the audit log, newest first; ``next`` is the ``after`` of the following page."""

    success: Success
    entries: list[AuditEntry]
    next: int | None


class Done(_Answer):
    """It is done."""

    success: Success


class Resumed(_Answer):
    """The cookie is set; the survey is at this address."""

    success: Success
    address: str


class Alive(_Answer):
    """The process answers."""

    status: Literal["ok"]


class ReadyCheck(_Answer):
    """How one part of the server is, and what to do where it is not well."""

    name: str
    status: Literal["ok", "warning", "failing"]
    hint: str | None


class Ready(BaseModel):
    """All checks hold; in development, and to keys with the scope metrics or admin, also which, and versions."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ready"]
    checks: Annotated[list[ReadyCheck], Field(description="to whom it may be told")] = []


class Metrics(RootModel[str]):
    """Prometheus' text format, version 0.0.4."""


class Export(BaseModel):
    """All that is known of a participant."""

    model_config = ConfigDict(extra="allow")

    format: Literal["stepkeep-participant-1"]
    user_id: UserId
    exported_at: Time
    sessions: list[dict[str, JsonValue]]
    set_aside: list[dict[str, JsonValue]]
    token_revocations: list[dict[str, JsonValue]]
    erasures: list[dict[str, JsonValue]]
    webhook_deliveries: list[dict[str, JsonValue]]
    audit: list[dict[str, JsonValue]]
    counts: dict[str, int]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WholeState(_Body):
    """A session's whole state, at most 1 MiB as JSON; the steps need not be the survey's."""

    current_step: StepName
    answers: dict[str, Any]
    step_history: list[StepName]
    is_audio_mode: bool = False
    session_data: dict[str, Any] | None = None


class SomeState(_Body):
    """What is to change of a session's state; what is left out stays."""

    current_step: StepName = ""
    answers: dict[str, Any] = {}
    step_history: list[StepName] = []
    is_audio_mode: bool = False
    session_data: dict[str, Any] | None = None


class Invitation(_Body):
    """Whom to invite, and for how long; only who may write sessions may say."""

    user_id: UserId = ""
    hours: Hours = None


class LinkAsked(_Body):
    """How long the link is to hold."""

    hours: Hours = None


class TokenShown(_Body):
    """The token of a link."""

    token: Annotated[str, Field(pattern=NO_NUL)]
    replace: Annotated[bool, Field(description="leave the visit of somebody else in this browser")] = False


class Problem(BaseModel):
    """Problem details (RFC 9457). ``code`` names the kind of error and never changes its meaning."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["about:blank"]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="what is wrong and what to do, for a person")]
    code: str
    success: Literal[False]
    place: Annotated[str, Field(description="with invalid_json: where")] = ""
    id: Annotated[str, Field(description="with a command that was refused: its id")] = ""
    step: Annotated[dict[str, JsonValue] | None, Field(description="with it: the current step")] = None
    checks: Annotated[list[ReadyCheck], Field(description="of /readyz, to whom it may be told")] = []


ANSWERS = (
    SessionAnswer,
    SessionPage,
    HistoryPage,
    SurveyList,
    SurveyAnswer,
    ParticipantMade,
    LinkMade,
    AuditPage,
    Analytics,
    Done,
    Resumed,
    Alive,
    Ready,
    Metrics,
    Export,
    Problem,
)
BODIES = (WholeState, SomeState, Invitation, LinkAsked, TokenShown)
