"""The columns of each step, over all revisions of its survey. Pure.

Steps stand in the newest revision's order, and after them those that only older ones have. A step whose type was
changed has columns for each type: the newest type's bear the step's name, the others have their type behind it
(``Q3_number``). An option that was removed keeps its column. Options are numbered in the order in which they came over
time, so that a number means the same in each export, unless all are whole numbers themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from ...survey.definition import (
    BooleanStep,
    ChoicesStep,
    ChoiceStep,
    DateStep,
    InfoStep,
    NumberStep,
    Option,
    ScaleStep,
    Step,
    TextStep,
)
from . import cells
from .cells import Place
from .columns import CODES, FRONT, Coded, Column, Kind, StepType, Value
from .names import PLAIN, named
from .revisions import Definitions

Steps = Mapping[str, Step]
"""One step by revision, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The columns of one step in one of its types.

    Attributes:
        columns: none of a step that only informs.
        place: gives the cells of an answer.
    """

    step_id: str
    steps: Steps
    columns: tuple[Column, ...]
    place: Place


def groups_of(definitions: Definitions) -> list[Group]:
    """Return the columns of all steps, in the order of a row; of one step the newest type's come first."""
    groups = [
        _group(step_id if number == 0 else f"{step_id}_{of_type}", steps)
        for step_id, by_type in _steps(definitions).items()
        for number, (of_type, steps) in enumerate(by_type.items())
    ]
    wanted = [column.name for group in groups for column in group.columns]
    names = iter(named([*(column.name for column in FRONT), *wanted], PLAIN)[len(FRONT) :])
    return [
        replace(group, columns=tuple(replace(column, name=next(names)) for column in group.columns)) for group in groups
    ]


def _steps(definitions: Definitions) -> Mapping[str, Mapping[StepType, Steps]]:
    found: dict[str, dict[StepType, dict[str, Step]]] = {}
    for survey in definitions.newest_first:
        for step in survey.steps:
            found.setdefault(step.id, {}).setdefault(step.type, {})[survey.revision] = step
    return found


def _group(name: str, steps: Steps) -> Group:
    step = next(iter(steps.values()))
    columns, place = _made(name, step, steps)
    return Group(step_id=step.id, steps=steps, columns=columns, place=place)


def _made(name: str, step: Step, steps: Steps) -> tuple[tuple[Column, ...], Place]:  # noqa: C901 - one case a type
    match step:
        case ChoiceStep():
            coded = _coded(steps, CODES)
            return _one(name, "choice", steps, coded), cells.choice({one.value: one for one in coded})
        case ChoicesStep():
            coded = _coded(steps, range(CODES.stop))
            return _each(name, steps, coded), cells.choices({one.value: one for one in coded})
        case ScaleStep():
            ends = _ends(steps)
            return _one(name, "whole", steps, ends), cells.code if ends else cells.whole
        case NumberStep():
            if all(isinstance(one, NumberStep) and one.integer for one in steps.values()):
                return _one(name, "whole", steps), cells.whole
            return _one(name, "number", steps), cells.number
        case BooleanStep():
            return _one(name, "boolean", steps), cells.boolean
        case DateStep():
            return _one(name, "date", steps), cells.date
        case TextStep():
            return _one(name, "text", steps), cells.text
        case InfoStep():
            return (), cells.nothing
        case _:
            assert_never(step)


def _one(name: str, kind: Kind, steps: Steps, coded: tuple[Coded, ...] = ()) -> tuple[Column, ...]:
    label = next(iter(steps.values())).prompt
    return (Column(name=name, kind=kind, label=label, steps=steps, coded=coded),)


def _each(name: str, steps: Steps, coded: Sequence[Coded]) -> tuple[Column, ...]:
    prompt = next(iter(steps.values())).prompt
    return tuple(
        Column(name=f"{name}_{one.code}", kind="chosen", label=f"{prompt}: {one.label}", steps=steps, option=one)
        for one in coded
    )


def _coded(steps: Steps, codes: range) -> tuple[Coded, ...]:
    """Return all options there ever were, numbered from the oldest on, in the order of the newest revision."""
    numbers: dict[Value, int] = {}
    for revision in reversed(list(steps)):
        for option in _options(steps[revision]):
            numbers.setdefault(option.value, len(numbers) + 1)
    if all(isinstance(value, int) and value in codes for value in numbers):
        numbers = {value: int(value) for value in numbers}
    newest: dict[Value, Option] = {}
    held: dict[Value, list[str]] = {}
    for revision, step in steps.items():
        for option in _options(step):
            newest.setdefault(option.value, option)
            held.setdefault(option.value, []).append(revision)
    return tuple(
        Coded(code=numbers[value], value=option.value, label=option.label, revisions=tuple(held[value]))
        for value, option in newest.items()
    )


def _options(step: Step) -> tuple[Option, ...]:
    return step.options if isinstance(step, ChoiceStep | ChoicesStep) else ()


def _ends(steps: Steps) -> tuple[Coded, ...]:
    """Return the ends of a scale that have a label; where revisions differ, the newest one's."""
    step = next(iter(steps.values()))
    if not isinstance(step, ScaleStep):
        return ()
    ends: Iterator[tuple[int, str | None]] = iter(((step.min, step.min_label), (step.max, step.max_label)))
    return tuple(Coded(code=point, value=point, label=label) for point, label in ends if label and point in CODES)
