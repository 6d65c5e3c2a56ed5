"""Commands to a session, and refusals of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.languages import text
from .definition import Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What all commands have."""

    at: int  # microseconds since 1970 UTC
    message_id: str | None = None  # unique within the session, for idempotent resends
    expected_version: int | None = None
    session_started_at: int | None = None  # as the sender saw it: a session begun after an erasure refuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Command):
    """Begin a new session."""

    is_audio_mode: bool = False
    granted_at: int | None = None  # since when the participant has access, which may be revoked; None for other callers
    languages: tuple[str, ...] = ()  # tags that the participant wants, the best first
    parameters: Mapping[str, Any] = field(default_factory=dict)  # as `accept_parameters` returns them


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Command):
    """Answer the current step, or another on the route."""

    step: str
    value: Any
    confirmed: bool = False  # the participant has seen the warnings of the step's checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Back(Command):
    """Return to the previous step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goto(Command):
    """Go to a step on the route."""

    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMode(Command):
    """Switch between audio and text mode."""

    is_audio_mode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLanguage(Command):
    """Show the survey in another of its languages."""

    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Command):
    """Keep an unsubmitted answer; None removes it."""

    step: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(Command):
    """Start again at the first step that is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(Command):
    """Replace the state; the steps need not be the survey's."""

    current_step: str
    answers: Mapping[str, Any]
    step_history: tuple[str, ...]
    is_audio_mode: bool
    session_data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Command):
    """Replace fields of :class:`Save`, by name."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Command):
    """Add an integrator's entry to the history only."""

    action: str
    step: str | None
    answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire(Command):
    """Mark the session as expired if it is."""


AnyCommand = Begin | Answer | Back | Goto | SetMode | SetLanguage | Draft | Restart | Save | Update | Note | Expire

RejectCode = Literal[
    "not_current",
    "invalid_answer",
    "confirm",
    "required",
    "at_start",
    "completed",
    "expired",
    "invalid_language",
    # For the service's API only; participants never get them.
    "no_session",
    "already_begun",
    "version_conflict",
    "unchanged",
]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a command was refused; the session did not change."""

    code: RejectCode
    message: str  # in the language of the survey's texts
    reads_answers: bool = False  # whether it depends on the answers to other steps
    fields: Mapping[str, str] | None = None  # by id, what is wrong with fields of a page, or rows of a grid


def refuse(survey: Survey | None, code: RejectCode, key: str, **values: object) -> Rejection:
    language = "en" if survey is None else survey.shown_language
    return Rejection(code, text(language, f"refusals.{key}", **values))
