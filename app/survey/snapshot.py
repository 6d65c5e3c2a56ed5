"""A session at one version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core.timestamps import format_timestamp
from .definition import Survey
from .flow import progress, status_at
from .state import SessionState


class SessionKey(NamedTuple):
    """Identifies one participant's session of one survey."""

    # A tuple: each turn looks it up six times.
    survey_id: str
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A session with its survey revision (None if unknown).

    Attributes:
        as_of: microseconds since 1970 UTC; None for the present.
    """

    key: SessionKey
    state: SessionState
    survey: Survey | None
    as_of: int | None = None

    def to_dict(self, at: int) -> dict[str, Any]:
        """Return ``session`` of docs/protocol.md, with the status at ``as_of`` or ``at``."""
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

    def to_full_dict(self, at: int) -> dict[str, Any]:
        """Return :meth:`to_dict` with version and times."""
        state = self.state
        return {
            **self.to_dict(at),
            "version": state.version,
            "created_at": format_timestamp(state.started_at),
            "updated_at": format_timestamp(state.updated_at),
            "completed_at": format_timestamp(state.completed_at),
        }

    @property
    def step(self) -> Mapping[str, Any] | None:
        """None when completed, or if the revision is unknown."""
        return self.survey.client_step(self.state.current_step) if self.survey is not None else None

    @property
    def progress(self) -> float:
        """The share done, 0 to 1."""
        return progress(self.survey, self.state)
