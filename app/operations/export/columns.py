"""The columns of an export, over all revisions of the survey. Pure.

If a step's type changed, columns of older types have a suffix (``Q3_number``). A removed option keeps its column.
Options are numbered by first appearance, so that codes stay the same, unless all values are whole numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ...survey import Survey
from ...survey.types import STEP_TYPES, Cell, CodedValue, ColumnKind, Step, ToCells
from .programs import PLAIN, valid_names

Kind = ColumnKind | Literal["time"]
"""A ``time`` is naive UTC."""

StepRevisions = Mapping[str, Step]
"""A step by revision, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """The current or latest revision, and all readable ones."""

    newest: Survey
    by_age: tuple[Survey, ...]

    @property
    def newest_first(self) -> Iterator[Survey]:
        """The newest revision, then from younger to older."""
        yield self.newest
        yield from (survey for survey in reversed(self.by_age) if survey.revision != self.newest.revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of an export.

    Attributes:
        name: in all formats but SPSS and Stata.
        steps: empty for fixed columns.
        option: of a ``chosen`` column.
    """

    name: str
    kind: Kind
    label: str
    steps: StepRevisions
    coded: tuple[CodedValue, ...] = ()
    option: CodedValue | None = None
    unit: str | None = None

    @property
    def step(self) -> Step | None:
        """In its newest revision."""
        return next(iter(self.steps.values()), None)

    @property
    def labels(self) -> Mapping[Cell, str]:
        """By value."""
        return {coded.value: coded.label for coded in self.coded} if self.kind == "choice" else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepColumns:
    """The columns of one step in one type, if it takes answers."""

    step_id: str
    steps: StepRevisions
    columns: tuple[Column, ...]
    to_cells: ToCells


def step_columns(definitions: Definitions) -> list[StepColumns]:
    """Return all steps' columns in row order, newest types first."""
    groups = [
        _columns(step_id, step_id if number == 0 else f"{step_id}_{step_type}", step_type, steps)
        for step_id, by_type in _steps(definitions).items()
        for number, (step_type, steps) in enumerate(by_type.items())
    ]
    wanted = [column.name for group in groups for column in group.columns]
    names = iter(valid_names([*(column.name for column in LEADING), *wanted], PLAIN)[len(LEADING) :])
    return [
        replace(group, columns=tuple(replace(column, name=next(names)) for column in group.columns)) for group in groups
    ]


def _steps(definitions: Definitions) -> Mapping[str, Mapping[str, StepRevisions]]:
    steps: dict[str, dict[str, dict[str, Step]]] = {}
    for survey in definitions.newest_first:
        for step in survey.steps:
            steps.setdefault(step.id, {}).setdefault(step.type, {})[survey.revision] = step
    return steps


def _columns(step_id: str, name: str, step_type: str, steps: StepRevisions) -> StepColumns:
    answers = STEP_TYPES[step_type].columns(steps)
    columns = tuple(
        Column(
            name=name + column.suffix,
            kind=column.kind,
            label=column.label,
            steps=steps,
            coded=column.coded,
            option=column.option,
            unit=column.unit,
        )
        for column in answers.columns
    )
    return StepColumns(step_id=step_id, steps=steps, columns=columns, to_cells=answers.to_cells)


def _fixed(name: str, kind: Kind, label: str) -> Column:
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
