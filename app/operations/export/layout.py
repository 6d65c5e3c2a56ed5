"""The columns and rows of an export, over all revisions of the survey. Pure.

If a step's type changed, columns of older types have a suffix (``Q3_number``). A removed option keeps its column.
Options are numbered by first appearance, so that codes stay the same, unless all values are whole numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from ...core.timestamps import to_datetime
from ...languages import text
from ...store import rows
from ...survey import SessionKey, SessionState, Survey, status_at
from ...survey.types import STEP_TYPES, AnswerColumn, Cell, CodedValue, ColumnKind, Step, ToCells
from .programs import PLAIN, valid_names

StepRevisions = Mapping[str, Step]
"""A step by revision, newest first."""

_Places = dict[str, tuple[int, ToCells]]
"""By step: first column's index, and conversion."""


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

LANGUAGE = _fixed("language", "text", "Language of the session")

CONFIRMED = _fixed("confirmed", "text", "Steps whose answer was confirmed over a warning, separated by spaces")

TRAILING = (
    _fixed("skipped", "text", "Steps passed without an answer, separated by spaces"),
    _fixed("other_answers", "text", "Answers that fit no column, as JSON by step"),
)


class Layout:
    """The columns of a survey's export.

    Args:
        surveys: its revisions, newest first; not empty.
        labels: whether cells contain the labels of choices.

    Attributes:
        no_and_yes: the labels of 0 and 1, in the survey's language.
        has_languages, has_endings, has_warnings: whether any revision has several languages, endings, or checks whose
            warnings are confirmed. Only then are there columns for what sessions record of them.
    """

    def __init__(self, surveys: Sequence[Survey], *, labels: bool = False) -> None:
        self.surveys = surveys
        self.has_labels = labels
        self.no_and_yes = tuple(
            CodedValue(code=code, value=value, label=text(surveys[0].shown_language, f"controls.{name}"))
            for code, (value, name) in enumerate((("false", "no"), ("true", "yes")))
        )
        self._by_revision = {survey.revision: survey for survey in surveys}
        self.has_languages = any(survey.has_languages for survey in surveys)
        self.has_endings = any(survey.end for survey in surveys)
        checks = (check for survey in surveys for step in survey.steps for check in step.check)
        self.has_warnings = any(check.level == "warning" for check in checks)
        leading = (
            *LEADING,
            *((LANGUAGE,) if self.has_languages else ()),
            *((_ending_column(surveys),) if self.has_endings else ()),
        )
        trailing = (*((CONFIRMED,) if self.has_warnings else ()), *TRAILING)
        groups = _step_columns(surveys, [column.name for column in (*leading, *trailing)])
        self.columns = (*leading, *(column for group in groups for column in group.columns), *trailing)
        self._without_columns = {group.step_id for group in groups if not group.columns}
        self._newest: _Places = {}
        by_revision: dict[str, _Places] = {revision: {} for revision in self._by_revision}
        start = len(leading)
        for group in groups:
            to_cells = _to_labels(group) if labels else group.to_cells
            self._newest.setdefault(group.step_id, (start, to_cells))
            for revision in group.steps:
                by_revision[revision][group.step_id] = (start, to_cells)
            start += len(group.columns)
        self._places = {revision: self._newest | places for revision, places in by_revision.items()}

    def row(self, key: SessionKey, state: SessionState, at: int, confirmed: Sequence[str] = ()) -> list[Cell]:
        """Return a session's cells, with its status at this time, and the steps that were confirmed."""
        places = self._places.get(state.survey_revision or "", self._newest)
        skipped: list[str] = []
        others: dict[str, object] = {}
        cells: list[Cell] = [None] * len(self.columns)
        leading = self._leading(key, state, at)
        cells[: len(leading)] = leading
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
        if self.has_warnings:
            cells[-len(TRAILING) - 1] = " ".join(confirmed) or None
        return cells

    def survey(self, revision: str | None) -> Survey | None:
        return self._by_revision.get(revision or "")

    def language(self, revision: str | None, chosen: str | None) -> str | None:
        """Return the language in which a session is shown; None if it has chosen none, and the revision is unknown."""
        survey = self.survey(revision)
        if survey is None or chosen is None:
            return chosen if survey is None else survey.language
        return survey.offered_language(chosen) or survey.language

    def _leading(self, key: SessionKey, state: SessionState, at: int) -> tuple[Cell, ...]:
        return (
            key.user_id,
            key.survey_id,
            state.survey_revision,
            status_at(self.survey(state.survey_revision), state, at),
            state.is_audio_mode,
            to_datetime(state.started_at),
            to_datetime(state.updated_at),
            None if state.completed_at is None else to_datetime(state.completed_at),
            duration_s(state),
            state.version,
            state.current_step,
            *((self.language(state.survey_revision, state.language),) if self.has_languages else ()),
            *((state.ending,) if self.has_endings else ()),
        )


def duration_s(state: SessionState) -> float | None:
    """Return seconds from start to completion."""
    # Histories recorded before events were kept in order can have an earlier completion.
    return None if state.completed_at is None else max(0, state.completed_at - state.started_at) / 1_000_000


def _to_labels(group: StepColumns) -> ToCells:
    labels = [column.labels for column in group.columns]

    def to_cells(value: object) -> Sequence[Cell] | None:
        cells = group.to_cells(value)
        return cells and [by_value.get(cell, cell) for by_value, cell in zip(labels, cells, strict=True)]

    return to_cells if any(labels) else group.to_cells


_UNKNOWN_STEP: tuple[int, ToCells] = (0, lambda _value: None)
"""No answer fits: no known revision has the step."""


def _ending_column(surveys: Sequence[Survey]) -> Column:
    """Return the column of the ending's number, which has the title of the newest revision with such a number."""
    coded: dict[int, CodedValue] = {}
    for survey in surveys:
        for number, ending in enumerate(survey.end, start=1):
            label = ending.title or f"ending {number}"
            coded.setdefault(number, CodedValue(code=number, value=number, label=label))
    return replace(_fixed("ending", "whole", "Ending that the participant saw, from 1"), coded=tuple(coded.values()))


def _step_columns(surveys: Sequence[Survey], taken: Sequence[str]) -> list[StepColumns]:
    """Return all steps' columns in row order, newest types first.

    Args:
        surveys: revisions, newest first.
        taken: names of other columns.
    """
    answers = [
        (step_id, steps, STEP_TYPES[step_type].columns(steps), step_id if number == 0 else f"{step_id}_{step_type}")
        for step_id, by_type in _steps(surveys).items()
        for number, (step_type, steps) in enumerate(by_type.items())
    ]
    wanted = [name + column.suffix for _, _, (columns, _), name in answers for column in columns]
    names = iter(valid_names([*taken, *wanted], PLAIN)[len(taken) :])
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
