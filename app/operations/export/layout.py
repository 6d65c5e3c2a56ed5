"""The columns and rows of sessions. Pure."""

from collections.abc import Sequence

from ...core.timestamps import to_datetime
from ...store import rows
from ...survey import SessionKey, SessionState, Survey, status_at
from ...survey.types import Cell, ToCells
from .columns import LEADING, TRAILING, StepColumns, step_columns

_Places = dict[str, tuple[int, ToCells]]
"""By step: first column's index, and conversion."""


class Layout:
    """The columns of a survey's export.

    Args:
        surveys: its revisions, newest first; not empty.
        labels: whether cells contain the labels of choices.
    """

    def __init__(self, surveys: Sequence[Survey], *, labels: bool = False) -> None:
        self.surveys = surveys
        self.has_labels = labels
        self._by_revision = {survey.revision: survey for survey in surveys}
        groups = step_columns(surveys)
        self.columns = (*LEADING, *(column for group in groups for column in group.columns), *TRAILING)
        self._without_columns = {group.step_id for group in groups if not group.columns}
        self._newest: _Places = {}
        by_revision: dict[str, _Places] = {revision: {} for revision in self._by_revision}
        start = len(LEADING)
        for group in groups:
            to_cells = _to_labels(group) if labels else group.to_cells
            self._newest.setdefault(group.step_id, (start, to_cells))
            for revision in group.steps:
                by_revision[revision][group.step_id] = (start, to_cells)
            start += len(group.columns)
        self._places = {revision: self._newest | places for revision, places in by_revision.items()}

    def row(self, key: SessionKey, state: SessionState, at: int) -> list[Cell]:
        """Return a session's cells, with its status at this time."""
        places = self._places.get(state.survey_revision or "", self._newest)
        skipped: list[str] = []
        others: dict[str, object] = {}
        cells: list[Cell] = [None] * len(self.columns)
        cells[: len(LEADING)] = self._leading(key, state, at)
        for step, value in state.answers.items():
            start, to_cells = places.get(step, _UNKNOWN_STEP)
            if value is None:
                if step not in self._without_columns:
                    skipped.append(step)
            elif (answer := to_cells(value)) is None:
                others[step] = value
            else:
                cells[start : start + len(answer)] = answer
        cells[-len(TRAILING) :] = (" ".join(skipped) or None, rows.dumps(others) if others else None)
        return cells

    def survey(self, state: SessionState) -> Survey | None:
        return self._by_revision.get(state.survey_revision or "")

    def _leading(self, key: SessionKey, state: SessionState, at: int) -> tuple[Cell, ...]:
        return (
            key.user_id,
            key.survey_id,
            state.survey_revision,
            status_at(self.survey(state), state, at),
            state.is_audio_mode,
            to_datetime(state.started_at),
            to_datetime(state.updated_at),
            None if state.completed_at is None else to_datetime(state.completed_at),
            duration_s(state),
            state.version,
            state.current_step,
        )


def duration_s(state: SessionState) -> float | None:
    """Return seconds from start to completion."""
    return None if state.completed_at is None else (state.completed_at - state.started_at) / 1_000_000


def _to_labels(group: StepColumns) -> ToCells:
    labels = group.columns[0].labels if group.columns else {}

    def to_cells(value: object) -> Sequence[Cell] | None:
        cells = group.to_cells(value)
        return cells and [labels.get(cell, cell) for cell in cells]

    return to_cells if labels else group.to_cells


def _no_cells(_value: object) -> None:
    """Accept no answer: no known revision has the step."""


_UNKNOWN_STEP = (0, _no_cells)
