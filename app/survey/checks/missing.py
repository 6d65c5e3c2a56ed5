"""Which answers, parameters and options may be missing where a survey needs them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..conditions import with_reads_of_values
from ..expressions import EvaluationError, Expression, InvalidExpression, Names, Scope, compile_expression
from ..types import BaseStep, PageStep
from .document import Document, Path
from .places import Place, conditions_at
from .routes import Jumps
from .samples import ValidParts, combinations, constants_near, parameter_values, samples_near

_MAX_RELEVANT = 40
"""Steps and answers on which it depends whether one is missing; with more nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPlace:
    """Where a text is shown.

    Attributes:
        index: of the step; that behind the last one is the end.
        conditions, others: those that hold there, and those that do not.
        failed, checked: the check that is false there, and its step or field.
    """

    index: int
    conditions: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    failed: str | None = None
    checked: str = ""


def text_place(document: Document, place: Place) -> TextPlace:
    if place.path[0] == "end":
        others = _sources(document, *(("end", number, "when") for number in range(place.index)))
        own = _sources(document, ("end", place.index, "when"))
        return TextPlace(index=len(document.steps), conditions=own, others=others)
    if place.path[0] != "steps":
        return TextPlace(index=0)
    conditions = _sources(document, *((*place.path[:depth], "show_if") for depth in (2, 4, 6)))
    if "check" not in place.path or place.step is None:
        return TextPlace(index=place.index, conditions=conditions)
    (failed,) = _sources(document, (*place.path[: place.path.index("check") + 2], "that"))
    return TextPlace(index=place.index, conditions=conditions, failed=failed, checked=place.step.id)


def _sources(document: Document, *paths: Path) -> tuple[str, ...]:
    return tuple(source for _, source in conditions_at(document, *paths))


class _Given(NamedTuple):
    """The answers of a participant, and the parameters of the session."""

    answers: dict[str, object]
    parameters: dict[str, object]

    def member(self, written: str) -> tuple[dict[str, object], str]:
        mapping, _, name = written.partition(".")
        return (self.answers if mapping == "answers" else self.parameters), name

    def value(self, written: str) -> object:
        mapping, name = self.member(written)
        return mapping[name]


@dataclass(frozen=True, slots=True)
class _Relevant:
    """On what it depends whether an insertion has a value."""

    expressions: list[Expression]
    answers: dict[int, set[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingAnswers:
    """Searches for answers with which an insertion has no value."""

    valid: ValidParts
    steps: Sequence[BaseStep]
    indexes: Mapping[str, int]
    names: Names
    jumps: Jumps
    _conditions: dict[str, Expression] = field(default_factory=dict)
    _found: dict[tuple[str, TextPlace], str | None] = field(default_factory=dict)

    def find(self, expression: Expression, place: TextPlace) -> str | None:
        """Return what may be missing; None too where too many answers play a part."""
        key = (expression.source, place)
        if key not in self._found:
            self._found[key] = self._find(expression, place)
        return self._found[key]

    def _find(self, expression: Expression, place: TextPlace) -> str | None:
        whole = with_reads_of_values(expression, self.valid.values)
        if whole.step_ids is None or not self.valid.have_all_of(whole):
            return None
        missing = [f"answers.{name}" for name in sorted(whole.step_ids) if self._may_be_missing(name, place)]
        missing += [f"parameters.{name}" for name in sorted(whole.parameter_names) if self._may_be_null(name)]
        relevant = self._relevant(whole, place) if missing else None
        for given in () if relevant is None else self._routes_to(relevant, place):
            if self.valid.budget.left <= 0:
                return None
            absent = [written for written in missing if given.value(written) is None]
            is_empty = absent and not self._has_value(expression, given)
            if is_empty and any(self._has_value(expression, filled) for filled in self._filled(given, absent)):
                return absent[0]
        return None

    def _may_be_null(self, parameter: str) -> bool:
        one = self.valid.parameters[parameter]
        return one.default is None and not one.is_required

    def _may_be_missing(self, name: str, place: TextPlace) -> bool:
        index, asked = self.indexes[name], self.valid.steps[name]
        has_condition = asked.show_if is not None or self.steps[index].show_if is not None
        return _is_optional(asked) or has_condition or self._can_be_avoided(index, place)

    def _can_be_avoided(self, index: int, place: TextPlace) -> bool:
        # At its own place, a step has an answer only where a check of it has failed.
        return place.failed is None if index == place.index else self.jumps.can_avoid(index, place.index)

    def _has_value(self, expression: Expression, given: _Given) -> bool:
        try:
            return expression.value(self._scope(given), self.valid.budget) is not None
        except EvaluationError:
            return False

    def _scope(self, given: _Given, answer: object = None) -> Scope:
        return self.valid.scope(given.answers, answer=answer, parameters=given.parameters)

    def _filled(self, given: _Given, absent: list[str]) -> Iterator[_Given]:
        for number in range(3):
            filled = _Given(dict(given.answers), dict(given.parameters))
            for written in absent:
                mapping, name = filled.member(written)
                is_answer = mapping is filled.answers
                values = samples_near(self.valid.steps[name] if is_answer else self.valid.parameters[name].step)
                mapping[name] = values[number % len(values)] if values else None
            yield filled

    def _relevant(self, whole: Expression, place: TextPlace) -> _Relevant | None:
        """Return None if it depends on too much."""
        found = _Relevant([whole, *self._compiled(*place.conditions, *place.others, place.failed)])
        self._add_answers(found, _own_names(self._checked(place)), place)
        for expression in found.expressions:  # which grow
            if expression.step_ids is None:
                return None
            self._add_answers(found, expression.step_ids, place)
            if sum(1 + len(names) for names in found.answers.values()) > _MAX_RELEVANT:
                return None
        return found

    def _add_answers(self, found: _Relevant, names: Iterable[str], place: TextPlace) -> None:
        for name in names:
            index = self.indexes[name]
            if name not in found.answers.get(index, ()):
                self._add_step(found, index)
                for jumping in self.jumps.over(index) if self._can_be_avoided(index, place) else ():
                    self._add_step(found, jumping)
                found.answers[index].add(name)
                found.expressions.extend(self._compiled(self.valid.steps[name].show_if))

    def _add_step(self, found: _Relevant, index: int) -> None:
        if index not in found.answers:
            step = self.steps[index]
            rules = self._compiled(*(when for when, _ in self.jumps.rules[index]))
            names = _own_names(step) if any(rule.reads_answer for rule in rules) else ()
            shown = (step.show_if, *(self.valid.steps[name].show_if for name in names))
            found.expressions.extend([*rules, *self._compiled(*shown)])
            found.answers[index] = {*names}

    def _checked(self, place: TextPlace) -> BaseStep | None:
        return None if place.failed is None else self.valid.steps.get(place.checked, self.steps[place.index])

    def _routes_to(self, relevant: _Relevant, place: TextPlace) -> Iterator[_Given]:
        near = [*constants_near(relevant.expressions)]
        names = sorted(frozenset().union(*(one.parameter_names for one in relevant.expressions)))
        parameters = [parameter_values(self.valid.parameters[name], near) for name in names]
        indexes = sorted(relevant.answers)
        ways: list[tuple[Any, ...]] = [self._ways(index, relevant, near, place) for index in indexes]
        for chosen in combinations([*ways, *parameters]):
            given = _Given(
                dict.fromkeys(name for index in indexes for name in relevant.answers[index]),
                dict(zip(names, chosen[len(ways) :], strict=True)),
            )
            if self._leads_to(place, given, zip(indexes, chosen, strict=False)):
                yield given

    def _ways(
        self, index: int, relevant: _Relevant, near: Sequence[object], place: TextPlace
    ) -> tuple[Mapping[str, object] | None, ...]:
        """Return None too if the step may be passed by others that play no part."""
        names = [name for name in self.valid.ids if name in relevant.answers[index]]
        steps = [self.valid.steps[name] for name in names]
        values = [(*(samples_near(one, near) or (None,)), *((None,) * _is_optional(one))) for one in steps]
        answers = [dict(zip(names, chosen, strict=True)) for chosen in combinations(values)]
        is_known = index < place.index and relevant.answers.keys() >= {*self.jumps.over(index)}
        if is_known or not self._can_be_avoided(index, place):
            return tuple(answers)
        return (*answers, *((None,) * (1 + len(answers) // 8)))  # some are drawn if there are many combinations

    def _leads_to(
        self, place: TextPlace, given: _Given, ways: Iterable[tuple[int, Mapping[str, object] | None]]
    ) -> bool:
        """Return whether a route comes to a place; set its answers."""
        landing = 0
        for index, way in ways:
            step = self.steps[index]
            if way is None or index < landing or not self._holds(step.show_if, given):
                continue
            for name, value in way.items():
                if name == step.id or self._holds(self.valid.steps[name].show_if, given):
                    given.answers[name] = value
            landing = max(landing, self._landing(step, index, given))
            if index < place.index < landing:
                return False
        is_failed = place.failed is None or self._outcome(place.failed, given, self._checked(place)) is False
        return (
            is_failed
            and all(self._holds(one, given) for one in place.conditions)
            and not any(self._holds(one, given) for one in place.others)
        )

    def _landing(self, step: BaseStep, index: int, given: _Given) -> int:
        rules = self.jumps.rules[index]
        return next((to for when, to in rules if when is None or self._outcome(when, given, step)), index + 1)

    def _holds(self, source: str | None, given: _Given) -> bool:
        return source is None or self._outcome(source, given) is True

    def _outcome(self, source: str, given: _Given, asked: BaseStep | None = None) -> bool | None:
        """Return None if the condition fails."""
        answer: object = None if asked is None else given.answers.get(asked.id)
        if isinstance(asked, PageStep):
            answer = {name: given.answers.get(name) for name in _own_names(asked)}
        try:
            return self._condition(source).holds(self._scope(given, answer), self.valid.budget)
        except EvaluationError:
            return None

    def _compiled(self, *sources: str | None) -> list[Expression]:
        return [self._condition(source) for source in sources if source is not None]

    def _condition(self, source: str) -> Expression:
        if source not in self._conditions:
            expression = compile_expression("true", self.names)  # if the condition is wrong
            with suppress(InvalidExpression):
                found = with_reads_of_values(compile_expression(source, self.names), self.valid.values)
                expression = found if self.valid.have_all_of(found) else expression
            self._conditions[source] = expression
        return self._conditions[source]


def _own_names(asked: BaseStep | None) -> Sequence[str]:
    if isinstance(asked, PageStep):
        return [part.id for part in asked.fields]
    return () if asked is None else (asked.id,)


def _is_optional(step: BaseStep) -> bool:
    return not step.required or not step.takes_answer


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
