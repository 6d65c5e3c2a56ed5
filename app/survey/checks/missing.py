"""Which answers and parameters may be missing where a text is shown, so that what it inserts has no value."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..conditions import with_reads_of_values
from ..expressions import EvaluationError, Expression, InvalidExpression, Names, Scope, compile_expression
from ..state import END
from ..types import BaseStep
from .failures import NOW, Known
from .options import constants_near, parameter_values, samples
from .samples import MAX_ASSIGNMENTS

_MAX_NAMES = 20
"""Answers on which it depends whether one is missing; with more nothing is said."""

_MAX_VISITED = 300_000
"""Steps of all searches of a file."""

_Rules = tuple[tuple[Expression | None, int], ...]
_Answers = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPlace:
    """Where a text is shown.

    Attributes:
        index: of the step; that behind the last one is the end.
        conditions: that hold there.
        others: conditions that do not.
        failed: the check of the new answer that is false there.
    """

    index: int
    conditions: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    failed: str | None = None


@dataclass(slots=True)
class Missing:
    """Searches for answers with which an insertion has no value, and which participants can give.

    Attributes:
        names: what all expressions can name.
        indexes: of all steps.
        landings: of :func:`first_landings`.
    """

    known: Known
    names: Names
    indexes: Mapping[str, int]
    landings: Mapping[str, int]
    _compiled: dict[str, Expression | None] = field(default_factory=dict)
    _around: dict[str, frozenset[int]] = field(default_factory=dict)
    _rules_of: dict[str, _Rules] = field(default_factory=dict)
    _found: dict[tuple[str, TextPlace], str | None] = field(default_factory=dict)
    _visited: int = 0

    def find(self, expression: Expression, place: TextPlace) -> str | None:
        """Return what may be missing, as an expression writes it; None if the insertion has a value even so.

        Nothing is said where steps are wrong, or where too many answers play a part.
        """
        key = (expression.source, place)
        if key not in self._found:
            self._found[key] = self._find(expression, place)
        return self._found[key]

    def _find(self, expression: Expression, place: TextPlace) -> str | None:
        whole = with_reads_of_values(expression, self.known.values)
        if whole.step_ids is None or not self.known.has_all_of(whole):
            return None
        if not whole.step_ids <= self.known.steps.keys() or [*self.indexes.values()] != [*range(len(self.indexes))]:
            return None
        missing = [f"answers.{step_id}" for step_id in sorted(whole.step_ids) if self._may_be_missing(step_id, place)]
        missing += [f"parameters.{name}" for name in sorted(whole.parameter_names) if self._may_be_null(name)]
        return self._search(expression, whole, place, missing) if missing else None

    def _may_be_null(self, parameter: str) -> bool:
        one = self.known.parameters[parameter]
        return one.default is None and not one.is_required

    def _may_be_missing(self, step_id: str, place: TextPlace) -> bool:
        step = self.known.steps[step_id]
        return self._is_optional(step) or step.show_if is not None or self._can_be_passed(step_id, place)

    def _is_optional(self, step: BaseStep) -> bool:
        return not step.required or not step.takes_answer

    def _can_be_passed(self, step_id: str, place: TextPlace) -> bool:
        """Return whether a route leads to a place around a step."""
        index = self.indexes[step_id]
        if index == place.index:
            return place.failed is None
        is_between = index < place.index < len(self.known.ids)
        if is_between and self.landings.get(step_id, place.index + 1) > place.index:
            return False
        return place.index in self._reached_around(step_id)

    def _reached_around(self, step_id: str) -> frozenset[int]:
        if step_id not in self._around:
            avoided = self.indexes[step_id]
            found = {0} - {avoided}
            pending = [*found]
            while pending and self._visited < _MAX_VISITED:
                self._visited += 1
                for target in self._targets(pending.pop()):
                    if target not in found and target != avoided:
                        found.add(target)
                        pending.append(target)
            self._around[step_id] = frozenset(found)
        return self._around[step_id]

    def _targets(self, index: int) -> list[int]:
        if index >= len(self.known.ids):
            return []
        step = self.known.steps.get(self.known.ids[index])
        targets = [target for _, target in self._rules(step)] if step is not None else []
        is_passed = step is None or step.show_if is not None or all(rule.when is not None for rule in step.next)
        return [*targets, index + 1] if is_passed else targets

    def _rules(self, step: BaseStep) -> _Rules:
        if step.id not in self._rules_of:
            self._rules_of[step.id] = tuple(
                (None if rule.when is None else self._condition(rule.when), self._target(rule.go))
                for rule in step.next
                if rule.go == END or rule.go in self.indexes
            )
        return self._rules_of[step.id]

    def _target(self, go: str) -> int:
        return len(self.known.ids) if go == END else self.indexes[go]

    def _condition(self, source: str) -> Expression | None:
        """Return a condition; None if it is wrong, which then counts as one that always holds."""
        if source not in self._compiled:
            try:
                expression = with_reads_of_values(compile_expression(source, self.names), self.known.values)
            except InvalidExpression:
                expression = None
            is_right = expression is not None and self.known.has_all_of(expression)
            self._compiled[source] = expression if is_right else None
        return self._compiled[source]

    def _search(self, expression: Expression, whole: Expression, place: TextPlace, missing: list[str]) -> str | None:
        walks = self._walks(whole, place)
        for answers, parameters in () if walks is None else walks:
            if self.known.budget.left <= 0:
                return None
            found = {f"answers.{name}": value for name, value in answers.items()}
            found |= {f"parameters.{name}": value for name, value in parameters.items()}
            absent = [name for name in missing if found[name] is None]
            if absent and not self._has_value(expression, answers, parameters):
                for filled, given in self._filled(absent, answers, parameters):
                    if self._has_value(expression, filled, given):
                        return absent[0]
        return None

    def _has_value(self, expression: Expression, answers: _Answers, parameters: _Answers) -> bool:
        try:
            return expression.value(self._scope(answers, parameters), self.known.budget) is not None
        except EvaluationError:
            return False

    def _scope(self, answers: _Answers, parameters: _Answers) -> Scope:
        return self.known.scope(answers, parameters=parameters, now=NOW)

    def _filled(
        self, absent: list[str], answers: _Answers, parameters: _Answers
    ) -> Iterator[tuple[_Answers, _Answers]]:
        """Yield the same with values for what is missing."""
        for number in range(3):
            filled, given = dict(answers), dict(parameters)
            for name in absent:
                mapping, _, own = name.partition(".")
                step = self.known.steps[own] if mapping == "answers" else self.known.parameters[own].step
                known = samples(step, ()) or (None,)
                (filled if mapping == "answers" else given)[own] = known[number % len(known)]
            yield filled, given

    def _walks(self, whole: Expression, place: TextPlace) -> Iterator[tuple[_Answers, _Answers]] | None:
        """Return answers that lead to a place, and parameters; None if too many play a part."""
        sources = (*place.conditions, *place.others, *([place.failed] if place.failed is not None else []))
        shown = [*map(self._condition, sources)]
        expressions = [whole, *(one for one in shown if one is not None)]
        steps = self._closure(expressions, place)
        if steps is None:
            return None
        near = [*constants_near(expressions)]
        names = sorted(frozenset().union(*(one.parameter_names for one in expressions)))
        parameters = [(name, parameter_values(self.known.parameters[name], near)) for name in names]
        return self._consistent(steps, {step_id: self._values(step_id, near) for step_id in steps}, parameters, place)

    def _values(self, step_id: str, near: list[object]) -> tuple[object, ...]:
        return samples(self.known.steps[step_id], near) or (None,)

    def _closure(self, expressions: list[Expression], place: TextPlace) -> list[str] | None:
        """Return the steps on whose answers it depends whether those that expressions read are missing.

        Adds their conditions to the expressions.
        """
        steps = {self.known.ids[place.index]} if place.failed is not None else set()
        if not steps <= self.known.steps.keys():
            return None
        pending = list(expressions)
        while pending:
            read = pending.pop().step_ids
            if read is None or not read <= self.known.steps.keys() or len(steps | read) > _MAX_NAMES:
                return None
            for step_id in read - steps:
                steps.add(step_id)
                more = [*self._conditions_of(step_id)]
                for jumping in self._jumping(step_id, place):
                    steps.add(jumping)
                    more += self._conditions_of(jumping)
                expressions += more
                pending += more
        return sorted(steps, key=lambda step_id: self.indexes[step_id])

    def _conditions_of(self, step_id: str) -> Iterator[Expression]:
        step = self.known.steps[step_id]
        found = [self._condition(step.show_if)] if step.show_if is not None else []
        yield from (one for one in (*found, *(when for when, _ in self._rules(step))) if one is not None)

    def _jumping(self, step_id: str, place: TextPlace) -> list[str]:
        """Return the steps whose rules lead over a step."""
        if not self._can_be_passed(step_id, place):
            return []
        index = self.indexes[step_id]
        self._visited += index
        if self._visited > _MAX_VISITED:
            return []
        before = (self.known.steps.get(other) for other in self.known.ids[:index])
        jumping = [one.id for one in before if one is not None and any(to > index for _, to in self._rules(one))]
        return jumping[:_MAX_NAMES]

    def _consistent(
        self,
        steps: list[str],
        values: Mapping[str, tuple[object, ...]],
        parameters: list[tuple[str, tuple[object, ...]]],
        place: TextPlace,
    ) -> Iterator[tuple[_Answers, _Answers]]:
        choices = [len(values[step_id]) + 1 for step_id in steps] + [len(possible) for _, possible in parameters]
        for chosen in _chosen(choices):
            given = {
                name: possible[number]
                for (name, possible), number in zip(parameters, chosen[len(steps) :], strict=True)
            }
            answers = self._answers(steps, values, chosen, given, place)
            if answers is not None and self._leads_to(place, answers, given):
                yield answers, given

    def _answers(
        self,
        steps: list[str],
        values: Mapping[str, tuple[object, ...]],
        chosen: tuple[int, ...],
        given: _Answers,
        place: TextPlace,
    ) -> _Answers | None:
        """Return answers in the order of the file; None if these choices are none, or do not lead to the place."""
        answers: _Answers = dict.fromkeys(steps)
        landing = 0
        for step_id, number in zip(steps, chosen, strict=False):
            index, step = self.indexes[step_id], self.known.steps[step_id]
            scope = self._scope(answers, given)
            if index < landing or not self._is_shown(step, scope):
                continue
            can_be_null = self._is_optional(step) or self._is_passed_elsewhere(step_id, steps, place)
            is_null = can_be_null and number == len(values[step_id])
            answers[step_id] = None if is_null else values[step_id][number % len(values[step_id])]
            if not is_null or self._is_optional(step):
                scope = self._scope(answers, given)._replace(answer=answers[step_id])
                landing = max(landing, self._landing(step, index, scope))
            if index < place.index < landing:
                return None
        return answers

    def _is_shown(self, step: BaseStep, scope: Scope) -> bool:
        return step.show_if is None or self._holds(step.show_if, scope)

    def _is_passed_elsewhere(self, step_id: str, steps: list[str], place: TextPlace) -> bool:
        """Return whether a step may be passed, but for rules of steps whose answers are known here."""
        if not self._can_be_passed(step_id, place):
            return False
        return self.indexes[step_id] >= place.index or not set(self._jumping(step_id, place)) <= set(steps)

    def _landing(self, step: BaseStep, index: int, scope: Scope) -> int:
        for condition, target in self._rules(step):
            if condition is None or self._outcome(condition, scope):
                return target
        return index + 1

    def _leads_to(self, place: TextPlace, answers: _Answers, given: _Answers) -> bool:
        scope = self._scope(answers, given)
        if place.failed is not None:
            failed = self._condition(place.failed)
            scope = scope._replace(answer=answers[self.known.ids[place.index]])
            if failed is not None and self._outcome(failed, scope) is not False:
                return False
        return all(self._holds(one, scope) for one in place.conditions) and not any(
            self._condition(one) is not None and self._holds(one, scope) for one in place.others
        )

    def _holds(self, source: str, scope: Scope) -> bool:
        """Return whether a condition holds; one that is wrong may."""
        condition = self._condition(source)
        return condition is None or self._outcome(condition, scope) is True

    def _outcome(self, condition: Expression, scope: Scope) -> bool | None:
        try:
            return condition.holds(scope, self.known.budget)
        except EvaluationError:
            return None


def _chosen(counts: list[int]) -> Iterable[tuple[int, ...]]:
    """Return all choices, one number below each count; some if there are many."""
    total = 1
    for count in counts:
        total *= count
    if total <= MAX_ASSIGNMENTS:
        return itertools.product(*map(range, counts))
    return _some(counts)


def _some(counts: list[int]) -> Iterator[tuple[int, ...]]:
    state = 1
    for _ in range(MAX_ASSIGNMENTS):
        chosen = []
        for count in counts:
            state = (state * 48271) % 2147483647  # Lehmer's generator, the same numbers each time
            chosen.append(state % count)
        yield tuple(chosen)
