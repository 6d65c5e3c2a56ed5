"""The columns of an export, over all revisions of the survey. Pure.

If a step's type changed, columns of older types have a suffix (``Q3_number``). A removed option keeps its column.
Options are numbered by first appearance, so that codes stay the same, unless all values are whole numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from ...survey import Survey
from ...survey.types import STEP_TYPES, AnswerColumn, Cell, ColumnKind, Step, ToCells
from .programs import PLAIN, valid_names

StepRevisions = Mapping[str, Step]
"""A step by revision, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(AnswerColumn):
    """A column of an export.

    Attributes:
        name: in all formats but SPSS and Stata.
        steps: empty for fixed columns.
    """

    name: str
    steps: StepRevisions

    @property
    def step(self) -> Step | None:
        """In its newest revision."""
        return next(iter(self.steps.values()), None)

    @property
    def labels(self) -> Mapping[Cell, Cell]:
        """By value."""
        return {coded.value: coded.label for coded in self.coded} if self.kind == "choice" else {}


class StepColumns(NamedTuple):
    """The columns of one step in one type, if it takes answers."""

    step_id: str
    steps: StepRevisions
    columns: Sequence[Column]
    to_cells: ToCells


def step_columns(surveys: Sequence[Survey]) -> list[StepColumns]:
    """Return all steps' columns in row order, newest types first; ``surveys`` are revisions, newest first."""
    answers = [
        (step_id, steps, STEP_TYPES[step_type].columns(steps), step_id if number == 0 else f"{step_id}_{step_type}")
        for step_id, by_type in _steps(surveys).items()
        for number, (step_type, steps) in enumerate(by_type.items())
    ]
    wanted = [name + column.suffix for _, _, (columns, _), name in answers for column in columns]
    names = iter(valid_names([*(column.name for column in LEADING), *wanted], PLAIN)[len(LEADING) :])
    return [
        StepColumns(step_id, steps, [_named(column, next(names), steps) for column in columns], to_cells)
        for step_id, steps, (columns, to_cells), _ in answers
    ]


def _steps(surveys: Sequence[Survey]) -> Mapping[str, Mapping[str, StepRevisions]]:
    steps: dict[str, dict[str, dict[str, Step]]] = {}
    for survey in surveys:
        for step in survey.steps:
            steps.setdefault(step.id, {}).setdefault(step.type, {})[survey.revision] = step
    return steps


def _named(column: AnswerColumn, name: str, steps: StepRevisions) -> Column:
    return Column(name=name, steps=steps, **{field.name: getattr(column, field.name) for field in fields(column)})


def _fixed(name: str, kind: ColumnKind, label: str) -> Column:
    return Column(name=name, kind=kind, label=label, steps={})


LEADING = (
    _fixed("user_id", "text", "Participant"),
    _fixed("survey_id", "text", "Survey"),
    _fixed("survey_revision", "text", "Revision of the survey that the session is pinned to"),
    _fixed("status", "text", "in_progress, completed or expired, at the time of the export"),
    _fixed("is_audio_mode", "boolean", "Whether the session is in audio mode"),
    _fixed("created_at", "time", "Start of the session (UTC)"),
    _fixed("updated_at", "time", "Last change (UTC)"),
    _fixed("completed_at", "time", "Completion (UTC)"),
    _fixed("duration_s", "number", "Seconds from start to completion, including pauses"),
    _fixed("version", "whole", "Number of events"),
    _fixed("current_step", "text", "Current step; end if completed"),
)

TRAILING = (
    _fixed("skipped", "text", "Steps passed without an answer, separated by spaces"),
    _fixed("other_answers", "text", "Answers that fit no column, as JSON by step"),
)
