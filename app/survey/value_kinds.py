"""What computed values are: numbers, true or false, or anything else."""

from typing import Literal

from .checks.answers import Possibilities
from .definition import Survey
from .expressions import ANY, EvaluationError, infer, types

ValueKind = Literal["number", "boolean", "text"]
"""A ``text`` can also be a list, or of several types."""

_KINDS: dict[frozenset[type], ValueKind] = {frozenset({float}): "number", frozenset({bool}): "boolean"}


def value_kinds(survey: Survey) -> dict[str, ValueKind]:
    """Return what each computed value is, where it is not null."""
    possible = Possibilities(survey.steps_by_id, survey.parameters)
    kinds: dict[str, ValueKind] = {}
    for name, expression in survey.conditions.values.items():
        outcome = None if expression.tree is None else infer(expression.tree, possible.of, (ANY,)).outcome
        known = None
        if outcome is not None and not isinstance(outcome, EvaluationError):
            known = types(outcome)
            possible.add_value(name, outcome)
        kinds[name] = "text" if known is None else _KINDS.get(known - {type(None)}, "text")
    return kinds
