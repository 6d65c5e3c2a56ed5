"""The columns of each step, over all revisions of its survey. Pure.

Steps stand in the newest revision's order, and after them those that only older ones have. A step whose type was
changed has columns for each type: the newest type's bear the step's name, the others have their type behind it
(``Q3_number``). An option that was removed keeps its column. Options are numbered in the order in which they came over
time, so that a number means the same in each export, unless all are whole numbers themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...survey.types import STEP_TYPES, Step, ToCells
from .columns import FRONT, Column
from .names import PLAIN, named
from .revisions import Definitions

Steps = Mapping[str, Step]
"""One step by revision, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The columns of one step in one of its types.

    Attributes:
        columns: none of a step that only informs.
        to_cells: gives the cells of an answer.
    """

    step_id: str
    steps: Steps
    columns: tuple[Column, ...]
    to_cells: ToCells


def groups_of(definitions: Definitions) -> list[Group]:
    """Return the columns of all steps, in the order of a row; of one step the newest type's come first."""
    groups = [
        _group(step_id, step_id if number == 0 else f"{step_id}_{of_type}", of_type, steps)
        for step_id, by_type in _steps(definitions).items()
        for number, (of_type, steps) in enumerate(by_type.items())
    ]
    wanted = [column.name for group in groups for column in group.columns]
    names = iter(named([*(column.name for column in FRONT), *wanted], PLAIN)[len(FRONT) :])
    return [
        replace(group, columns=tuple(replace(column, name=next(names)) for column in group.columns)) for group in groups
    ]


def _steps(definitions: Definitions) -> Mapping[str, Mapping[str, Steps]]:
    found: dict[str, dict[str, dict[str, Step]]] = {}
    for survey in definitions.newest_first:
        for step in survey.steps:
            found.setdefault(step.id, {}).setdefault(step.type, {})[survey.revision] = step
    return found


def _group(step_id: str, name: str, of_type: str, steps: Steps) -> Group:
    answers = STEP_TYPES[of_type].columns(steps)
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
    return Group(step_id=step_id, steps=steps, columns=columns, to_cells=answers.to_cells)
