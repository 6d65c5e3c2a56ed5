"""What may be asked of a session. Values only; ``flow.decide`` says what comes of them.

Every command carries the time at which it arrived and, where a retry must not count twice, the
``message_id`` that its sender made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What all commands have.

    Attributes:
        at: when it arrived, microseconds since 1970 UTC.
        message_id: the sender's own id of it, unique within the session; None if it is never sent again.
        expected_version: the version that the sender saw, if the command holds for that one only.
    """

    at: int
    message_id: str | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Command):
    """Begin a session where there is none."""

    is_audio_mode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Command):
    """Answer a step on the route: the current one, or another (an edit)."""

    step: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Back(Command):
    """Return to the step before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goto(Command):
    """Go to a step on the route."""

    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMode(Command):
    """Switch audio or text mode."""

    is_audio_mode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Command):
    """Keep the half-typed answer of a step; null keeps none."""

    step: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(Command):
    """Begin a new walk in the same session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(Command):
    """Make this the whole state, whatever it was; the steps need not be the survey's."""

    current_step: str
    answers: Mapping[str, Any]
    step_history: tuple[str, ...]
    is_audio_mode: bool
    session_data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Command):
    """Change some of the state; ``changes`` has fields of :class:`Save` by name."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Command):
    """Put something of an integrator's own into the history; it changes no state."""

    action: str
    step: str | None
    answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire(Command):
    """Close the session if its time is over."""


AnyCommand = Begin | Answer | Back | Goto | SetMode | Draft | Restart | Save | Update | Note | Expire
