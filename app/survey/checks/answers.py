"""What answers, parameters and values can be."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

from ..definition import Survey
from ..expressions import ANY, SAMPLES, Alternative, EvaluationError, Possible, constant, infer, list_of, map_of, types
from ..parameters import Parameter
from ..types import BaseStep, GridStep, PageStep

ValueKind = Literal["number", "boolean", "text"]
"""A ``text`` can also be a list, or of several types."""


class ValueFacts(NamedTuple):
    """What is known of a computed value that is not null; its texts are never those that participants wrote."""

    kind: ValueKind
    texts: tuple[str, ...] = ()


_KINDS: dict[frozenset[type], ValueKind] = {frozenset({float}): "number", frozenset({bool}): "boolean"}


class Possibilities:
    """What answers, parameters and values can be; anything if they are wrong."""

    def __init__(self, steps: Mapping[str, BaseStep], parameters: Mapping[str, Parameter]) -> None:
        self._steps = steps
        self._parameters = parameters
        self._known: dict[tuple[str, str], Possible] = {}

    def of(self, mapping: str, name: str) -> Possible:
        if (mapping, name) not in self._known:
            self._known[mapping, name] = self._find(mapping, name)
        return self._known[mapping, name]

    def _find(self, mapping: str, name: str) -> Possible:
        if mapping == "answers" and name in self._steps:
            return (possible_answer(self._steps[name], f"answers.{name}"),)
        if mapping == "parameters" and name in self._parameters:
            return _possible_parameter(self._parameters[name], f"parameters.{name}")
        return (ANY,)

    def add_value(self, name: str, outcome: Possible) -> None:
        """Set what a computed value can be, beside null."""
        own = f"values.{name}"
        exact = tuple(sample for one in outcome if one.is_exact and one.items is None for sample in one.samples)
        named = [replace(one, name=own, source=exact if one.source is None else one.source) for one in outcome]
        self._known["values", name] = (_named_constant(None, exact, own), *named)


def _possible_parameter(parameter: Parameter, name: str) -> Possible:
    has_empty = not parameter.is_required and parameter.step.is_empty(parameter.default)
    empty = (_named_constant(parameter.default, parameter.step, name),) if has_empty else ()
    return (*empty, possible_answer(parameter.step, name))


def _named_constant(value: object, source: object, name: str) -> Alternative:
    return replace(constant(value), source=source, name=name)


def possible_answer(step: BaseStep, name: str) -> Alternative:
    if isinstance(step, PageStep | GridStep):
        fields = map_of({part.id: (possible_answer(part, f"{name}.{part.id}"),) for part in step.parts()})
        return replace(fields, name=name)
    values = tuple(float(value) if type(value) is int else value for value in step.labels())
    if not step.takes_answer:
        one = Alternative(samples=(None,), is_exact=True)
    elif values:
        one = Alternative(samples=values, is_exact=True)
    else:
        one = Alternative(samples=[one for samples in SAMPLES.values() for one in samples if step.has_form(one)])
    if not step.is_list:
        return replace(one, source=step, name=name)
    item = replace(one, source=step, name=f"an item of {name}")
    is_fixed = not step.computed and all(option.show_if is None for option in getattr(step, "options", ()))
    return replace(list_of((item,), may_be_empty=not is_fixed or step.accepts([])), source=step, name=name)


def value_facts(survey: Survey) -> dict[str, ValueFacts]:
    """Return what is known of each computed value."""
    possible = Possibilities(survey.questions, survey.parameters)
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
