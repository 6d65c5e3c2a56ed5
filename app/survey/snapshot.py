"""A session at one version."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..core.session_dicts import SessionDict, SessionFields
from ..core.timestamps import format_timestamp
from .definition import Survey
from .endings import ending_dict
from .expressions import Scope
from .flow import progress, status_at
from .piping import fill, filled
from .resolve import client_step, resolve_at
from .scopes import route_scope, texts_at
from .state import SessionState


class SessionKey(NamedTuple):
    """Identifies one participant's session of one survey."""

    # A tuple: each turn looks it up six times.
    survey_id: str
    user_id: str


class DrawnStep(NamedTuple):
    """The current step; ``fields`` is None when completed, or if the revision is unknown."""

    fields: Mapping[str, Any] | None
    has_conflicting_bounds: bool = False


@dataclass(frozen=True, kw_only=True)  # without slots, which can keep nothing computed
class Snapshot:
    """A session with its survey revision (None if unknown)."""

    key: SessionKey
    state: SessionState
    survey: Survey | None
    as_of: int | None = None  # microseconds since 1970 UTC; None for the present

    def to_dict(self, at: int) -> SessionFields:
        """Return ``session`` of docs/protocol.md."""
        state = self.state
        at = at if self.as_of is None else self.as_of
        return {
            "user_id": self.key.user_id,
            "survey_id": self.key.survey_id,
            "survey_revision": state.survey_revision,
            "status": status_at(self.survey, state, at),
            "current_step": state.current_step,
            "answers": state.answers,  # type: ignore[typeddict-item]  # a dict, not copied for each message
            "step_history": list(state.step_history),
            "is_audio_mode": state.is_audio_mode,
            "language": self.language,
            "parameters": state.parameters,
            "values": self.values,
            "draft": state.draft,
            "session_data": state.session_data,  # type: ignore[typeddict-item]  # as above
        }

    def filled(self, text: str) -> str:
        """Return a text with values as of the session's last change."""
        survey = self.survey
        return text if survey is None else str(filled(text, texts_at(survey, self._route, self.state.updated_at)))

    def to_full_dict(self, at: int) -> SessionDict:
        state = self.state
        return {
            **self.to_dict(at),
            "version": state.version,
            "created_at": format_timestamp(state.started_at),
            "updated_at": format_timestamp(state.updated_at),
            "completed_at": format_timestamp(state.completed_at),
        }

    @property
    def shown_survey(self) -> Survey | None:
        if self.survey is None or self.state.language is None:
            return self.survey
        return self.survey.in_language(self.state.language)

    @property
    def language(self) -> str | None:
        survey = self.shown_survey
        return None if survey is None else survey.shown_language

    @property
    def values(self) -> Mapping[str, Any]:
        return dict(self._route.values) if self.state.values is None else self.state.values

    @cached_property
    def _route(self) -> Scope:
        return Scope({}) if self.survey is None else route_scope(self.survey, self.state)

    def draw_step(self, at: int) -> DrawnStep:
        survey, state = self.shown_survey, self.state
        if survey is not None and state.current_step in survey.fixed_steps:
            return DrawnStep(survey.client_steps[state.current_step])
        step = None if survey is None else survey.step(state.current_step)
        if survey is None or step is None:
            return DrawnStep(None)
        resolved, has_conflict = resolve_at(survey, step, self._route, at)
        if step.id in survey.insertions:
            resolved = fill(resolved, texts_at(survey, self._route, at))
        return DrawnStep(client_step(survey, resolved, self.key.user_id), has_conflict)

    def ending(self, at: int) -> Mapping[str, Any] | None:
        number, survey = self.state.ending, None if self.state.ending is None else self.shown_survey
        if number is None or survey is None or self.state.status != "completed" or number > len(survey.end):
            return None
        return ending_dict(survey.end[number - 1], texts_at(survey, self._route, at))

    @property
    def progress(self) -> float:
        return progress(self.survey, self.state)
