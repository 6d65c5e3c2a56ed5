"""The compiled expressions of a survey."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .expressions import EvaluationError, Expression, InvalidExpression, Names, Scope, compile_expression, without_value
from .state import END
from .types import OptionValue, Step

T = TypeVar("T")

Rules = tuple[tuple[Expression | None, str], ...]
"""Each condition with the step it leads to; None always holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """A survey's expressions by step; steps without any are left out, except of ``rules``.

    Attributes:
        shown: of steps with ``show_if``.
        options: of options with ``show_if``, by value.
        checks: in the order of ``check``.
        computed: by field.
        ends: one an entry of ``end``; None always holds.
        route_reads_time: whether rules, or what is shown, depend on when the walk began.
        reads_time: whether anything depends on the time.
        varying: steps whose options, or fields, depend on the session.
    """

    rules: Mapping[str, Rules]
    shown: Mapping[str, Expression]
    options: Mapping[str, Mapping[OptionValue, Expression]]
    checks: Mapping[str, tuple[Expression, ...]]
    computed: Mapping[str, Mapping[str, Expression]]
    ends: tuple[Expression | None, ...]
    route_reads_time: bool
    reads_time: bool
    varying: frozenset[str]

    def hidden_options(self, step: str, scope: Scope) -> frozenset[OptionValue]:
        """Return the values of a step's options that are not shown."""
        shown = self.options.get(step)
        if shown is None:
            return frozenset()
        return frozenset(value for value, condition in shown.items() if not holds(condition, scope))

    def drawing_reads(self, step: str) -> frozenset[str] | None:
        """Return whose answers decide what a step looks like; None: any."""
        return read_ids((*self.options.get(step, {}).values(), *self.computed.get(step, {}).values()))


def holds(condition: Expression, scope: Scope) -> bool:
    """Return whether a condition is true; one without a value is not."""
    try:
        return condition.holds(scope)
    except EvaluationError:
        return False


def read_ids(expressions: Iterable[Expression]) -> frozenset[str] | None:
    """Return whose answers any of the expressions reads; None: any."""
    found: set[str] = set()
    for expression in expressions:
        if expression.step_ids is None:
            return None
        found |= expression.step_ids
    return frozenset(found)


def compile_conditions(steps: Sequence[Step], ends: Sequence[str | None]) -> Conditions:
    """Return a survey's expressions; one that does not compile has no value."""
    compiler = _Compiler(step.id for step in steps)
    rules = {step.id: compiler.rules(step) for step in steps}
    shown = {step.id: compiler.one(step.show_if) for step in steps if step.show_if is not None}
    options = _without_empty({step.id: compiler.options(step) for step in steps})
    checks = _without_empty({step.id: compiler.checks(step) for step in steps})
    computed = _without_empty({step.id: compiler.computed(step) for step in steps})
    compiled_ends = tuple(None if when is None else compiler.one(when) for when in ends)
    route = [condition for own in rules.values() for condition, _ in own if condition is not None]
    route += [*shown.values(), *(condition for own in options.values() for condition in own.values())]
    moment = [expression for own in checks.values() for expression in own]
    moment += [expression for own in computed.values() for expression in own.values()]
    moment += [condition for condition in compiled_ends if condition is not None]
    route_reads_time = any(condition.reads_time for condition in route)
    return Conditions(
        rules=rules,
        shown=shown,
        options=options,
        checks=checks,
        computed=computed,
        ends=compiled_ends,
        route_reads_time=route_reads_time,
        reads_time=route_reads_time or any(expression.reads_time for expression in moment),
        varying=frozenset({*options, *computed}),
    )


class _Compiler:
    def __init__(self, step_ids: Iterable[str]) -> None:
        ids = frozenset(step_ids)
        self._targets = ids | {END}
        self._names = Names(answers=ids)
        self._names_with_answer = Names(answers=ids, answer=True)

    def rules(self, step: Step) -> Rules:
        """Return the rules that lead to a step or to the end."""
        return tuple(
            (None if rule.when is None else self.one(rule.when, self._names_with_answer), rule.go)
            for rule in step.next
            if rule.go in self._targets
        )

    def options(self, step: Step) -> Mapping[OptionValue, Expression]:
        shown = ((option.value, option.show_if) for option in getattr(step, "options", ()))
        return {value: self.one(condition) for value, condition in shown if condition is not None}

    def checks(self, step: Step) -> tuple[Expression, ...]:
        return tuple(self.one(check.that, self._names_with_answer) for check in step.check)

    def computed(self, step: Step) -> Mapping[str, Expression]:
        return {name: self.one(source) for name, source in step.computed.items()}

    def one(self, source: str, names: Names | None = None) -> Expression:
        try:
            return compile_expression(source, self._names if names is None else names)
        except InvalidExpression:
            return without_value(source)


def _without_empty(by_step: dict[str, T]) -> dict[str, T]:
    return {step: expressions for step, expressions in by_step.items() if expressions}
