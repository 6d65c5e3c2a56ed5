"""How sessions begin."""

from typing import Any, NotRequired, TypedDict

from ..survey import NOTHING_GIVEN, Begin, Given, Survey, accept_parameters


class NewSession(TypedDict):
    """How a session begins if there is none; see ``Begin``.

    ``parameters`` are as the caller has them: the survey's are taken, and checked, when the session begins.
    """

    is_audio_mode: bool
    granted_at: NotRequired[int | None]
    languages: NotRequired[tuple[str, ...]]
    parameters: NotRequired[Given]


def begin_command(survey: Survey, at: int, *, parameters: Given = NOTHING_GIVEN, **new: Any) -> Begin:  # noqa: ANN401
    """Return the command that begins a session; raise InvalidInput if a parameter is wrong or missing."""
    return Begin(at=at, parameters=accept_parameters(survey.parameters, parameters), **new)
