"""A session as it is, and as doors show it. A value; safe to pass between threads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..store.rows import SessionKey
from ..survey.definition import Survey
from ..survey.flow import progress, status_at
from ..survey.state import SessionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A session as it is, with the definition that it is pinned to (None: of no known survey).

    Attributes:
        as_of: when it was so, microseconds since 1970 UTC; None: it is so now.
    """

    key: SessionKey
    state: SessionState
    survey: Survey | None
    as_of: int | None = None

    def shown(self, at: int) -> dict[str, Any]:
        """Return the session as doors show it (PROTOCOL.md, ``session``) at a time, or then when it was so."""
        state = self.state
        at = at if self.as_of is None else self.as_of
        return {
            "user_id": self.key.user_id,
            "survey_id": self.key.survey_id,
            "survey_revision": state.survey_revision,
            "status": status_at(self.survey, state, at),
            "current_step": state.current_step,
            "answers": state.answers,
            "step_history": list(state.step_history),
            "is_audio_mode": state.is_audio_mode,
            "draft": state.draft,
            "session_data": state.session_data,
        }

    @property
    def step(self) -> Mapping[str, Any] | None:
        """The current step as clients see it; None when completed or of no known survey."""
        return self.survey.shown_step(self.state.current_step) if self.survey is not None else None

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        return progress(self.survey, self.state)
