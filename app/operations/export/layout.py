"""The columns and rows of an export, over all revisions. Pure.

Columns of a step's older types have a suffix. Options are numbered by first appearance, unless all values are whole
numbers, so that codes stay the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar

from ...core.languages import text
from ...core.timestamps import to_datetime
from ...store import rows
from ...survey import Parameter, SessionKey, SessionState, Snapshot, Survey, ValueKind, status_at, value_facts
from ...survey.types import (
    STEP_TYPES,
    AnswerColumn,
    AnswerColumns,
    Cell,
    CodedValue,
    ColumnKind,
    FieldStep,
    Step,
    ToCells,
    one_column,
)
from .programs import PLAIN, valid_names

T = TypeVar("T")
TypeName = TypeVar("TypeName", bound=str)

StepRevisions = Mapping[str, Step | FieldStep]  # a step, or a field of a page, by revision, newest first
_GroupId = str | tuple[str, str]
"""A step, or ``("parameters", name)`` or ``("values", name)``, which no saved answer's name equals."""

_Places = dict[_GroupId, tuple[int, ToCells]]  # first column's index, and conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(AnswerColumn):
    """A column; a parameter is in ``steps`` too, as a step."""

    name: str
    steps: StepRevisions = field(default_factory=dict)
    parameter: str | None = None
    value: str | None = None
    expressions: Mapping[str, str] = field(default_factory=dict)

    @property
    def step(self) -> Step | FieldStep | None:
        return None if self.parameter is not None else next(iter(self.steps.values()), None)

    @property
    def revisions(self) -> Iterable[str]:
        return self.steps or self.expressions


class ColumnGroup(NamedTuple):
    """The columns of one step, parameter or value in one type."""

    id: _GroupId
    revisions: Iterable[str]
    columns: Sequence[Column]
    to_cells: ToCells


def _fixed(name: str, kind: ColumnKind, label: str) -> Column:
    return Column(name=name, kind=kind, label=label)


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

CONFIRMED = _fixed("confirmed", "text", "Steps whose answer was confirmed over a warning, separated by spaces")

TRAILING = (
    _fixed("skipped", "text", "Steps passed without an answer, separated by spaces"),
    _fixed("other_answers", "text", "Answers that fit no column, as JSON by step"),
)


class Layout:
    """The columns of a survey's revisions, newest first."""

    def __init__(self, surveys: Sequence[Survey], *, labels: bool = False) -> None:
        self.surveys = surveys = [survey.without_session for survey in surveys]
        self.has_labels = labels
        self.no_and_yes = tuple(
            CodedValue(code=code, value=value, label=text(surveys[0].shown_language, f"controls.{name}"))
            for code, (value, name) in enumerate((("false", "no"), ("true", "yes")))
        )
        self._by_revision = {survey.revision: survey for survey in surveys}
        self.has_languages = any(survey.has_languages for survey in surveys)
        self.has_endings = any(survey.end for survey in surveys)
        asked = (one for survey in surveys for one in (*survey.steps, *survey.questions.values()))
        checks = (check for one in asked for check in one.check)
        self.has_warnings = any(check.level == "warning" for check in checks)
        leading = (
            *LEADING,
            *((_fixed("language", "text", "Language of the session"),) if self.has_languages else ()),
            *((_ending_column(surveys),) if self.has_endings else ()),
        )
        trailing = (*((CONFIRMED,) if self.has_warnings else ()), *TRAILING)
        steps, parameters, values = _steps(surveys), _parameters(surveys), _values(surveys)
        named = _named([*steps, *parameters, *values], [column.name for column in (*leading, *trailing)])
        first_value = len(steps) + len(parameters)
        groups = [*named[len(steps) : first_value], *named[: len(steps)], *named[first_value:]]
        self.columns = (*leading, *(column for group in groups for column in group.columns), *trailing)
        self._known = [place for place, column in enumerate(self.columns) if column.parameter or column.value]
        self._without_columns = {group.id for group in groups if not group.columns}
        self._newest: _Places = {}
        by_revision: dict[str, _Places] = {revision: {} for revision in self._by_revision}
        start = len(leading)
        for group in groups:
            to_cells = _to_labels(group) if labels else group.to_cells
            self._newest.setdefault(group.id, (start, to_cells))
            for revision in group.revisions:
                by_revision[revision][group.id] = (start, to_cells)
            start += len(group.columns)
        self._places = {revision: self._newest | places for revision, places in by_revision.items()}

    def row(self, key: SessionKey, state: SessionState, at: int, confirmed: Sequence[str] = ()) -> list[Cell]:
        places = self._places.get(state.survey_revision or "", self._newest)
        skipped: list[str] = []
        others: dict[str, Any] = {}
        cells: list[Cell] = [None] * len(self.columns)
        leading = self._leading(key, state, at)
        cells[: len(leading)] = leading
        for page, name, value, is_asked in self._answers(state):
            start, to_cells = places.get(name, _UNKNOWN_STEP) if is_asked else _UNKNOWN_STEP
            if value is None:
                if is_asked and name not in self._without_columns:
                    skipped.append(name)
            elif (answer := to_cells(value)) is None:
                others_of_step = others if page is None else others.setdefault(page, {})
                others_of_step[name] = value
            else:
                cells[start : start + len(answer)] = answer
        if self._known:
            snapshot = Snapshot(key=key, state=state, survey=self.survey(state.survey_revision))
            self._set_known(cells, places, state.parameters, snapshot.values)
        cells[-len(TRAILING) :] = (" ".join(skipped) or None, rows.dumps(others) if others else None)
        if self.has_warnings:
            cells[-len(TRAILING) - 1] = " ".join(confirmed) or None
        return cells

    def _answers(self, state: SessionState) -> Iterator[tuple[str | None, str, object, bool]]:
        """Yield the page, the name, the answer, and whether it can be of the survey.

        A saved state can have answers beside their page, and others in it.
        """
        owners = (self.survey(state.survey_revision) or self.surveys[0]).conditions.owners
        pages = frozenset(owners.values())
        for step, value in state.answers.items():
            if step in pages and isinstance(value, Mapping):
                yield from ((step, name, one, owners.get(name) == step) for name, one in value.items())
            else:
                yield None, step, value, step not in owners

    @property
    def known_names(self) -> Sequence[str]:
        return [self.columns[place].name for place in self._known]

    def known_cells(
        self, revision: str | None, parameters: Mapping[str, Any], values: Mapping[str, Any] | None
    ) -> Sequence[Cell]:
        cells: list[Cell] = [None] * len(self.columns)
        self._set_known(cells, self._places.get(revision or "", self._newest), parameters, values or {})
        return [cells[place] for place in self._known]

    def _set_known(
        self, cells: list[Cell], places: _Places, parameters: Mapping[str, Any], values: Mapping[str, Any]
    ) -> None:
        for noun, by_name in (("parameters", parameters), ("values", values)):
            for name, value in by_name.items():
                start, to_cells = places.get((noun, name), _UNKNOWN_STEP)
                found = None if value is None else to_cells(value)
                if found is not None:
                    cells[start : start + len(found)] = found

    def survey(self, revision: str | None) -> Survey | None:
        return self._by_revision.get(revision or "")

    def parameter(self, column: Column) -> Parameter | None:
        survey = self.survey(next(iter(column.steps), None))
        return None if survey is None or column.parameter is None else survey.parameters[column.parameter]

    def language(self, revision: str | None, chosen: str | None) -> str | None:
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
    # Histories recorded before events were kept in order can have an earlier completion.
    return None if state.completed_at is None else max(0, state.completed_at - state.started_at) / 1_000_000


def _to_labels(group: ColumnGroup) -> ToCells:
    labels: list[Mapping[Cell, Cell]] = [
        {coded.value: coded.label for coded in column.coded} if column.kind == "choice" else {}
        for column in group.columns
    ]

    def to_cells(value: object) -> Sequence[Cell] | None:
        cells = group.to_cells(value)
        return cells and [by_value.get(cell, cell) for by_value, cell in zip(labels, cells, strict=True)]

    return to_cells if any(labels) else group.to_cells


_UNKNOWN_STEP: tuple[int, ToCells] = (0, lambda _value: None)  # no answer fits: no known revision has the step


def _ending_column(surveys: Sequence[Survey]) -> Column:
    coded: dict[int, CodedValue] = {}
    for survey in surveys:
        for number, ending in enumerate(survey.end, start=1):
            label = ending.title or f"ending {number}"
            coded.setdefault(number, CodedValue(code=number, value=number, label=label))
    return replace(_fixed("ending", "whole", "Ending that the participant saw, from 1"), coded=tuple(coded.values()))


def _steps(surveys: Sequence[Survey]) -> list[ColumnGroup]:
    found = _by_type(
        (survey.revision, step.id, step.type, step) for survey in surveys for step in survey.questions.values()
    )
    return [
        _group(step_id, name, steps, STEP_TYPES[step_type].columns(steps), steps=steps)
        for step_id, name, step_type, steps in found
    ]


def _parameters(surveys: Sequence[Survey]) -> list[ColumnGroup]:
    found = _by_type(
        (survey.revision, name, parameter.type, parameter.step.model_copy(update={"prompt": f"Parameter {name}"}))
        for survey in surveys
        for name, parameter in survey.parameters.items()
    )
    return [
        _group(("parameters", own), name, steps, STEP_TYPES[type_].columns(steps), steps=steps, parameter=own)
        for own, name, type_, steps in found
    ]


def _values(surveys: Sequence[Survey]) -> list[ColumnGroup]:
    found = _by_type(
        (survey.revision, name, facts.kind, survey.values[name])
        for survey in surveys
        for name, facts in value_facts(survey).items()
    )
    return [
        _group(("values", own), name, sources, _value_column(kind, own), value=own, expressions=sources)
        for own, name, kind, sources in found
    ]


def _value_column(kind: ValueKind, name: str) -> AnswerColumns:
    column = AnswerColumn(kind=kind, label=f"Computed value {name}")
    if kind == "text":
        return AnswerColumns((column,), lambda value: (value if isinstance(value, str) else rows.dumps(value),))
    return one_column(column, *((bool,) if kind == "boolean" else (int, float)))


def _by_type(
    found: Iterable[tuple[str, str, TypeName, T]],
) -> Iterator[tuple[str, str, TypeName, Mapping[str, T]]]:
    """Yield ids, names of columns, types and items by revision, newest types first."""
    by_type: dict[str, dict[TypeName, dict[str, T]]] = {}
    for revision, own, type_name, item in found:
        by_type.setdefault(own, {}).setdefault(type_name, {})[revision] = item
    for own, types in by_type.items():
        for number, (type_name, items) in enumerate(types.items()):
            yield own, own if number == 0 else f"{own}_{type_name}", type_name, items


def _group(
    group_id: _GroupId,
    name: str,
    revisions: Iterable[str],
    answer: AnswerColumns,
    **origin: Any,  # noqa: ANN401 - fields of Column
) -> ColumnGroup:
    name = f"known{name}" if name.startswith("_") else name  # no program accepts it
    columns = [
        Column(name=name + column.suffix, **{one.name: getattr(column, one.name) for one in fields(column)}, **origin)
        for column in answer.columns
    ]
    return ColumnGroup(group_id, revisions, columns, answer.to_cells)


def _named(groups: Sequence[ColumnGroup], taken: Sequence[str]) -> list[ColumnGroup]:
    wanted = [column.name for group in groups for column in group.columns]
    names = iter(valid_names([*taken, *wanted], PLAIN)[len(taken) :])
    return [group._replace(columns=[replace(column, name=next(names)) for column in group.columns]) for group in groups]
