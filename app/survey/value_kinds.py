"""What computed values are: numbers, true or false, or anything else."""

from typing import Literal, NamedTuple

from .checks.answers import Possibilities
from .definition import Survey
from .expressions import ANY, EvaluationError, Possible, infer, types

ValueKind = Literal["number", "boolean", "text"]
"""A ``text`` can also be a list, or of several types."""


class ValueFacts(NamedTuple):
    """What is known of a computed value that is not null.

    Attributes:
        texts: those that the survey names, never what participants wrote.
    """

    kind: ValueKind
    texts: tuple[str, ...] = ()


_KINDS: dict[frozenset[type], ValueKind] = {frozenset({float}): "number", frozenset({bool}): "boolean"}


def value_facts(survey: Survey) -> dict[str, ValueFacts]:
    """Return what is known of each computed value."""
    possible = Possibilities(survey.steps_by_id, survey.parameters)
    facts: dict[str, ValueFacts] = {}
    for name, expression in survey.conditions.values.items():
        outcome = None if expression.tree is None else infer(expression.tree, possible.of, (ANY,)).outcome
        if outcome is None or isinstance(outcome, EvaluationError):
            facts[name] = ValueFacts("text")
        else:
            facts[name] = _facts(outcome)
            possible.add_value(name, outcome)
    return facts


def _facts(outcome: Possible) -> ValueFacts:
    known = types(outcome)
    exact = (sample for one in outcome if one.is_exact for sample in one.samples)
    texts = tuple(dict.fromkeys(sample for sample in exact if isinstance(sample, str)))
    return ValueFacts("text" if known is None else _KINDS.get(known - {type(None)}, "text"), texts)
