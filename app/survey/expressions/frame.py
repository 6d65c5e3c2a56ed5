"""What an evaluation is given, and how many steps it may take.

Steps are counted, not measured, so that an expression has the same result on any machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_STEPS = 500_000
"""Of one evaluation, which then takes some 100 ms; enough for a loop of 1,000 options within one of 100."""

_CHARACTERS_OF_A_STEP = 10
"""A text is read far faster than a list."""


class Scope(NamedTuple):
    """What an expression is evaluated on.

    Attributes:
        all_ids: what ``answers`` as a whole has.
        now: local time as YYYY-MM-DDTHH:MM.
    """

    answers: Mapping[str, Any]
    answer: object = None
    all_ids: Sequence[str] = ()
    now: str | None = None
    parameters: Mapping[str, Any] = {}
    values: Mapping[str, Any] = {}
    labels: Callable[[str, object], str | None] | None = None


@dataclass(slots=True)
class StepBudget:
    """Steps that are left to several evaluations."""

    left: int


class OutOfSteps(Exception):
    """An evaluation has taken all its steps; no EvaluationError, which a macro takes for a failure of one item."""


Frame = list[Any]
"""Of one evaluation: the scope, the values bound from it, the steps that are left, then the variables of loops."""

SCOPE, MADE, STEPS, VARIABLES = range(4)

Evaluate = Callable[[Frame], Any]


def new_frame(scope: Scope, steps: int = MAX_STEPS) -> Frame:
    return [scope, {}, steps, None, None]


def spend(frame: Frame, steps: int) -> None:
    frame[STEPS] -= steps
    if frame[STEPS] < 0:
        raise OutOfSteps


def length(value: Any) -> int:  # noqa: ANN401 - any value
    """Return the steps to read a value without its items."""
    kind = type(value)
    if kind in {str, bytes}:
        return len(value) // _CHARACTERS_OF_A_STEP
    return len(value) if kind in {list, dict} else 0


def weight(frame: Frame, value: Any) -> int:  # noqa: ANN401 - any value
    """Return the steps to read a value with all its items, at most one more than are left."""
    steps, pending = 0, [value]
    while pending:
        one = pending.pop()
        kind = type(one)
        steps += 1
        if kind is list:
            pending.extend(one)
        elif kind is dict:
            pending.extend(one.values())
            steps += sum(map(length, one))
            if any(type(key) is not str for key in one):
                steps += len(one) ** 2  # each key is compared with the others
        else:
            steps += length(one)
        if steps + len(pending) > frame[STEPS]:
            return int(frame[STEPS]) + 1
    return steps


def _of_comparison(frame: Frame, left: object, right: object) -> int:
    if type(left) in {list, dict} and type(left) is type(right):
        return weight(frame, left)
    return 0


def _of_search(frame: Frame, item: object, collection: Any) -> int:  # noqa: ANN401 - any value
    if type(collection) is list:
        return len(collection) // _CHARACTERS_OF_A_STEP if type(item) is str else len(collection) * weight(frame, item)
    return 0 if type(item) is str else length(collection)


OPERATOR_STEPS: Mapping[str, Callable[[Frame, Any, Any], int]] = {
    "==": _of_comparison,
    "!=": _of_comparison,
    "in": _of_search,
    "+": lambda _frame, left, right: length(left) + length(right),
}
"""The steps of operators that read more than one value, before they are applied."""
