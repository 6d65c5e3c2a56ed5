"""Whether answers exist for which a step has no option."""

from collections.abc import Callable, Sequence

from ..expressions import EvaluationError, Expression, Scope
from .parts import ValidParts
from .samples import combinations, constants_near, parameter_values, samples_near


def hides_all_options(
    conditions: Sequence[Expression],
    shown: Sequence[Expression],
    can_be_avoided: Callable[[str], bool],
    valid: ValidParts,
) -> bool:
    """Return whether samples of answers show the step without an option."""
    if not all(map(valid.have_all_of, conditions)):
        return False
    shown = [condition for condition in shown if valid.have_all_of(condition)]
    every = (*conditions, *shown)
    read = sorted(frozenset().union(*(condition.step_ids or () for condition in every)))
    names = sorted(frozenset().union(*(condition.parameter_names for condition in every)))
    near = [*constants_near(every)]
    answers = []
    for step in map(valid.steps.__getitem__, read):
        can_be_null = step.show_if is not None or not step.required or can_be_avoided(step.id)
        answers.append((*samples_near(step, near), *((None,) * can_be_null)))
    for values in combinations([*answers, *(parameter_values(valid.parameters[name], near) for name in names)]):
        found = dict(zip(read, values, strict=False))
        scope = valid.scope(found, parameters=dict(zip(names, values[len(read) :], strict=True)))
        if any(_holds(condition, scope, valid) for condition in conditions):
            continue
        if all(_holds(condition, scope, valid) for condition in shown):
            return valid.budget.left > 0
    return False


def _holds(condition: Expression, scope: Scope, valid: ValidParts) -> bool:
    try:
        return valid.budget.left <= 0 or condition.holds(scope, valid.budget)
    except EvaluationError:
        return False
