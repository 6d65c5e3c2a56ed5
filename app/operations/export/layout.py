"""All columns of a survey, and a session's row in them. Pure."""

from ...core.timestamps import to_datetime
from ...store.rows import dumps
from ...survey import SessionKey, SessionState, status_at
from ...survey.types import Cell, ToCells
from .columns import BACK, FRONT
from .revisions import Definitions
from .steps import groups_of

_Places = dict[str, tuple[int, ToCells]]
"""By step, where its columns begin, and what makes cells of an answer."""


class Layout:
    """The columns of a survey's export.

    Attributes:
        definitions: the survey over time.
        columns: all, in order.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._surveys = {survey.revision: survey for survey in definitions.by_age}
        groups = groups_of(definitions)
        self.columns = (*FRONT, *(column for group in groups for column in group.columns), *BACK)
        self._informing = {group.step_id for group in groups if not group.columns}
        self._newest: _Places = {}
        own: dict[str, _Places] = {revision: {} for revision in self._surveys}
        start = len(FRONT)
        for group in groups:
            self._newest.setdefault(group.step_id, (start, group.to_cells))
            for revision in group.steps:
                own[revision][group.step_id] = (start, group.to_cells)
            start += len(group.columns)
        self._places = {revision: self._newest | places for revision, places in own.items()}

    def row(self, key: SessionKey, state: SessionState, at: int) -> list[Cell]:
        """Return a session's row as it stands at a time: a cell for each column."""
        places = self._places.get(state.survey_revision or "", self._newest)
        skipped: list[str] = []
        others: dict[str, object] = {}
        cells: list[Cell] = [None] * len(self.columns)
        cells[: len(FRONT)] = self._front(key, state, at)
        for step, value in state.answers.items():
            start, to_cells = places.get(step, _NOWHERE)
            if value is None:
                if step not in self._informing:
                    skipped.append(step)
            elif (placed := to_cells(value)) is None:
                others[step] = value
            else:
                cells[start : start + len(placed)] = placed
        cells[-len(BACK) :] = (" ".join(skipped) or None, dumps(others) if others else None)
        return cells

    def status(self, state: SessionState, at: int) -> str:
        """Return a session's status at a time."""
        return status_at(self._surveys.get(state.survey_revision or ""), state, at)

    def _front(self, key: SessionKey, state: SessionState, at: int) -> tuple[Cell, ...]:
        done = state.completed_at
        return (
            key.user_id,
            key.survey_id,
            state.survey_revision,
            self.status(state, at),
            mode_name(is_audio=state.is_audio_mode),
            to_datetime(state.started_at),
            to_datetime(state.updated_at),
            None if done is None else to_datetime(done),
            None if done is None else (done - state.started_at) / 1_000_000,
            state.version,
            state.current_step,
        )


def mode_name(*, is_audio: bool) -> str:
    """Return what a mode is called in exports."""
    return "audio" if is_audio else "text"


def _nowhere(_value: object) -> None:
    """Take no answer: of a step of no known revision."""


_NOWHERE = (0, _nowhere)
