"""Whether answers exist for which a step has no option."""

import datetime
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from ..expressions import EvaluationError, Expression, Literal, Scope, nodes
from ..parameters import Parameter
from ..types import BaseStep
from .failures import NOW, Known
from .samples import combinations, sample_answers


def hides_all_options(
    conditions: Sequence[Expression],
    landings: Mapping[str, int],
    index: int,
    known: Known,
    shown: Sequence[Expression] = (),
) -> bool:
    """Return whether answers exist for which the step is shown without an option, as far as samples show.

    Args:
        conditions: one for each option, with what the values that they read do; they name the answers that they read.
        landings: of :func:`first_landings`.
        index: of the step with the options.
        shown: the conditions of the step, and of its page.
    """
    if not all(_is_known(condition, known) for condition in conditions):
        return False
    shown = [condition for condition in shown if _is_known(condition, known)]
    every = (*conditions, *shown)
    read = sorted(frozenset().union(*(condition.step_ids or () for condition in every)))
    given = sorted(frozenset().union(*(condition.parameter_names for condition in every)))
    near = [*constants_near(every)]
    answers = [
        _answers(known.steps[step_id], near, is_skipped=step_id in landings and landings[step_id] <= index)
        for step_id in read
    ]
    parameters = [parameter_values(known.parameters[name], near) for name in given]
    for values in combinations([*answers, *parameters]):
        found = dict(zip((*read, *(f"parameters.{name}" for name in given)), values, strict=True))
        scope = known.scope(
            {step_id: found[step_id] for step_id in read},
            parameters={name: found[f"parameters.{name}"] for name in given},
            now=NOW,
        )
        if any(_holds(condition, scope, known) for condition in conditions):
            continue
        if all(_holds(condition, scope, known) for condition in shown):
            return known.budget.left > 0
    return False


def _is_known(condition: Expression, known: Known) -> bool:
    return known.has_all_of(condition) and all(step_id in known.steps for step_id in condition.step_ids or ())


def _holds(condition: Expression, scope: Scope, known: Known) -> bool:
    try:
        return known.budget.left <= 0 or condition.holds(scope, known.budget)
    except EvaluationError:
        return False


def _answers(step: BaseStep, near: Iterable[object], *, is_skipped: bool) -> tuple[object, ...]:
    can_be_null = is_skipped or step.show_if is not None or not step.required
    return (*samples(step, near), *([None] if can_be_null else []))


def parameter_values(parameter: Parameter, near: Iterable[object]) -> tuple[object, ...]:
    """Return values that a parameter can have, null where it can."""
    is_absent = not parameter.is_required
    return (*samples(parameter.step, near), *([parameter.default] if is_absent else []))


def samples(step: BaseStep, near: Iterable[object]) -> tuple[object, ...]:
    """Return answers of a step, without null, and those of the values near constants that it accepts."""
    found = [*sample_answers(step), *(value for value in near if not step.is_empty(value) and step.accepts(value))]
    return tuple({(type(value), str(value)): value for value in found}.values())


def _constants(conditions: Iterable[Expression]) -> Iterator[object]:
    for condition in conditions:
        for node in nodes(condition.tree) if condition.tree is not None else ():
            if isinstance(node, Literal):
                yield node.value


def constants_near(conditions: Iterable[Expression]) -> Iterator[object]:
    """Yield the constants of expressions, and what is beside and between them."""
    numbers = set()
    for one in _constants(conditions):
        if type(one) is float:
            numbers |= {one, -one}
        elif isinstance(one, str):
            yield one
            yield from _days_beside(one)
    for number in numbers:
        yield from (number - 1, number, number + 1)
    yield from ((left + right) / 2 for left, right in pairwise(sorted(numbers)))


def _days_beside(text: str) -> Iterator[str]:
    try:
        day = datetime.date.fromisoformat(text)
        yield from ((day + datetime.timedelta(days)).isoformat() for days in (-1, 1))
    except (ValueError, OverflowError):
        return


def first_landings(steps: Mapping[int, BaseStep], indexes: Mapping[str, int]) -> Mapping[str, int]:
    """Return for each step that rules jump over the first index where they land."""
    jumps = {index: [*_landings(step, index, indexes)] for index, step in steps.items()}
    open_jumps: list[int] = []
    found = {}
    for step_id, index in indexes.items():
        while open_jumps and open_jumps[0] <= index:
            heapq.heappop(open_jumps)
        if open_jumps:
            found[step_id] = open_jumps[0]
        for landing in jumps.get(index, ()):
            heapq.heappush(open_jumps, landing)
    return found


def _landings(step: BaseStep, index: int, indexes: Mapping[str, int]) -> Iterator[int]:
    for rule in step.next:
        if indexes.get(rule.go, index) > index + 1:
            yield indexes[rule.go]
        if rule.when is None:
            return
