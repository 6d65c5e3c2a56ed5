"""The compiled expressions of a survey, and what they are evaluated on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ..core import strict_json
from ..errors import InvalidJson
from .expressions import (
    SCOPE,
    EvaluationError,
    Expression,
    Frame,
    InvalidExpression,
    Names,
    PartialExpression,
    Scope,
    StepBudget,
    compile_expression,
    divide,
    without_value,
)
from .state import END, Answers
from .types import FieldStep, PageStep, Step
from .types.choice import OptionValue

Rules = tuple[tuple[Expression | None, str], ...]  # each condition with the step it leads to; None always holds


class ExpressionContext(NamedTuple):
    """What expressions read beside answers. Times are local, as YYYY-MM-DDTHH:MM."""

    now: str | None = None  # None if nothing reads it
    walk_now: str | None = None  # when the walk began, which is the time of computed values
    parameters: Mapping[str, Any] = {}
    values: Mapping[str, Any] | None = None  # recorded ones; None before completion


NO_CONTEXT = ExpressionContext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """A survey's expressions by step or field; those without any are left out, except of ``rules``."""

    ids: tuple[str, ...]  # of all steps and fields that have an answer of their own, in order
    owners: Mapping[str, str]  # the page of each field
    fields: Mapping[str, Mapping[str, Expression | None]]  # the condition of each field of a page; None always holds
    client_fields: Mapping[str, PartialExpression]  # whose condition reads others of their page
    values: Mapping[str, Expression]
    rules: Mapping[str, Rules]
    shown: Mapping[str, Expression]  # of steps with `show_if`
    options: Mapping[str, Mapping[OptionValue, Expression]]  # of options with `show_if`, by value
    checks: Mapping[str, tuple[Expression, ...]]
    computed: Mapping[str, Mapping[str, Expression]]
    ends: tuple[Expression | None, ...]  # None always holds
    route_reads_time: bool  # whether rules, or what is shown, depend on when the walk began
    reads_time: bool
    reads_context: bool  # whether any may read parameters, values, or, of the route, the time
    varying: frozenset[str]  # steps whose options, or fields, depend on the session
    names: Names
    _insertions: dict[str, Expression] = field(default_factory=dict)

    def insertion(self, source: str) -> Expression:
        if source not in self._insertions:
            self._insertions[source] = _compiled(source, replace(self.names, texts=True), self.values, self.owners)
        return self._insertions[source]

    def scope(self, answers: Answers, context: ExpressionContext, answer: object = None) -> Scope:
        if self.owners:
            answers = FlatAnswers(answers, self.owners)
        if not self.values:
            return Scope(answers, answer, self.ids, context.now, context.parameters)
        values = ComputedValues(self.values, self.ids, answers, context) if context.values is None else context.values
        return Scope(answers, answer, self.ids, context.now, context.parameters, values)

    def choose_ending(self, scope: Scope) -> int | None:
        """Return the number, from 1, of the first ending whose condition holds."""
        for number, condition in enumerate(self.ends, start=1):
            if condition is None or holds(condition, scope):
                return number
        return None

    def hidden_options(self, step: str, scope: Scope) -> frozenset[OptionValue]:
        shown = self.options.get(step, {})
        return frozenset(value for value, condition in shown.items() if not holds(condition, scope))

    def drawing_reads(self, step: str, insertions: Iterable[str]) -> frozenset[str] | None:
        """Return whose answers decide what a step looks like; None: any."""
        drawn = [*map(self.insertion, insertions), *self.shown_parts(step)]
        for part in (step, *self.fields.get(step, ())):
            drawn += self.computed.get(part, {}).values()
        read = read_ids(drawn)
        return None if read is None else read - {step}

    def shown_parts(self, step: str) -> Iterator[Expression]:
        yield from self.options.get(step, {}).values()
        for field_id, condition in self.fields.get(step, {}).items():
            yield from () if condition is None else (condition,)
            yield from self.options.get(field_id, {}).values()


class FlatAnswers(Mapping[str, Any]):
    """Answers with those of fields beside those of steps."""

    __slots__ = ("_answers", "_owners")

    def __init__(self, answers: Answers, owners: Mapping[str, str]) -> None:
        self._answers = answers
        self._owners = owners

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - any JSON
        owner = self._owners.get(name)
        if owner is None:
            return self._answers[name]
        page = self._answers[owner]
        return page[name] if isinstance(page, Mapping) else None

    # Faster than that of Mapping, which catches exceptions.
    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any JSON
        owner = self._owners.get(name)
        if owner is None:
            return self._answers.get(name, default)
        page = self._answers.get(owner)
        return page.get(name, default) if isinstance(page, Mapping) else default

    def __iter__(self) -> Iterator[str]:
        return iter((*self._owners, *(name for name in self._answers if name not in self._owners.values())))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ComputedValues(Mapping[str, Any]):
    """A survey's values, each computed when it is first read; null where it fails."""

    __slots__ = ("_budget", "_expressions", "_found", "_scope")

    def __init__(
        self,
        expressions: Mapping[str, Expression],
        ids: Sequence[str],
        answers: Answers,
        context: ExpressionContext,
        budget: StepBudget | None = None,
    ) -> None:
        self._expressions = expressions
        self._scope = Scope(answers, None, ids, context.walk_now, context.parameters, self)
        self._budget = budget
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON of any kind
        if name not in self._found:
            self._found[name] = _value(self._expressions[name], self._scope, self._budget)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._expressions)

    def __len__(self) -> int:
        return len(self._expressions)


def _value(expression: Expression, scope: Scope, budget: StepBudget | None) -> Any:  # noqa: ANN401 - JSON of any kind
    try:
        value = expression.value(scope, budget)
        strict_json.check(value)
    except (EvaluationError, InvalidJson):
        return None
    return value


def holds(condition: Expression, scope: Scope) -> bool:
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


def compile_conditions(
    steps: Sequence[Step],
    ends: Sequence[str | None],
    values: Mapping[str, str] | None = None,
    parameters: Iterable[str] = (),
) -> Conditions:
    """Return a survey's expressions; one that does not compile has no value."""
    pages = {step.id: step for step in steps if isinstance(step, PageStep)}
    owners = {field.id: page.id for page in pages.values() for field in page.fields}
    asked: list[Step | FieldStep] = [
        one for step in steps for one in (step.fields if isinstance(step, PageStep) else (step,))
    ]
    ids = tuple(step.id for step in asked)
    compiler = _Compiler((step.id for step in steps), ids, owners, frozenset(parameters))
    for name, source in (values or {}).items():
        compiler.add_value(name, source)
    rules = {step.id: compiler.rules(step) for step in steps}
    shown = {step.id: compiler.one(step.show_if) for step in steps if step.show_if is not None}
    fields = {page.id: compiler.fields(page) for page in pages.values()}
    for page, conditions in fields.items():
        own = [condition for condition in conditions.values() if condition is not None]
        if len(own) == len(conditions):  # none may be shown
            shown[page] = _any_field(page, shown.get(page), own)
    options = {step.id: found for step in asked if (found := compiler.options(step))}
    route_reads_time = compiler.reads_time  # only what is compiled so far decides the route
    checks = {step.id: compiler.checks(step) for step in (*pages.values(), *asked) if step.check}
    computed = {step.id: compiler.computed(step) for step in asked if step.computed}
    compiled_ends = tuple(None if when is None else compiler.one(when) for when in ends)
    varying = {
        *options,
        *computed,
        *(
            name
            for page, own in fields.items()
            for name, condition in own.items()
            if condition is not None and not (name in compiler.client_fields and condition.reads_only({page}))
        ),
    }
    return Conditions(
        ids=ids,
        owners=owners,
        fields=fields,
        client_fields=compiler.client_fields,
        values=compiler.values,
        rules=rules,
        shown=shown,
        options=options,
        checks=checks,
        computed=computed,
        ends=compiled_ends,
        route_reads_time=route_reads_time,
        reads_time=compiler.reads_time,
        reads_context=route_reads_time or bool(compiler.values or compiler.names.parameters),
        varying=frozenset({*varying, *(owners[one] for one in varying if one in owners)}),
        names=compiler.names,
    )


def _compiled(source: str, names: Names, values: Mapping[str, Expression], owners: Mapping[str, str]) -> Expression:
    try:
        expression = compile_expression(source, names)
    except InvalidExpression:
        return without_value(source)
    if owners and expression.step_ids:
        read = frozenset(owners.get(one, one) for one in expression.step_ids)
        expression = replace(expression, step_ids=read)
    return with_reads_of_values(expression, values)


def with_reads_of_values(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    read = [values[name] for name in expression.value_names if name in values]
    if not read:
        return expression
    return replace(
        expression,
        step_ids=read_ids((expression, *read)),
        reads_time=expression.reads_time or any(value.reads_time for value in read),
        parameter_names=expression.parameter_names.union(*(value.parameter_names for value in read)),
    )


def _any_field(page: str, own: Expression | None, fields: Sequence[Expression]) -> Expression:
    conditions = [*fields] if own is None else [own, *fields]

    def evaluate(frame: Frame) -> bool:
        scope: Scope = frame[SCOPE]
        return (own is None or holds(own, scope)) and any(holds(condition, scope) for condition in fields)

    read = read_ids(conditions)
    return Expression(
        source=" || ".join(f"({condition.source})" for condition in fields),
        step_ids=None if read is None else read - {page},
        reads_time=any(condition.reads_time for condition in conditions),
        _evaluate=evaluate,
    )


class _Compiler:
    def __init__(
        self, step_ids: Iterable[str], ids: Iterable[str], owners: Mapping[str, str], parameters: frozenset[str]
    ) -> None:
        self.reads_time = False
        self.values: dict[str, Expression] = {}
        self.client_fields: dict[str, PartialExpression] = {}
        self._owners = owners
        self._targets = frozenset({*step_ids, END})
        self.names = Names(answers=frozenset(ids), parameters=parameters)

    def add_value(self, name: str, source: str) -> None:
        self.values[name] = self.one(source)
        self.names = replace(self.names, values=self.names.values | {name})

    def rules(self, step: Step) -> Rules:
        return tuple(
            (None if rule.when is None else self.one(rule.when, has_answer=True), rule.go)
            for rule in step.next
            if rule.go in self._targets
        )

    def fields(self, page: PageStep) -> Mapping[str, Expression | None]:
        found = {field.id: None if field.show_if is None else self.one(field.show_if) for field in page.fields}
        for name, condition in found.items():
            if condition is not None and (condition.step_ids is None or page.id in condition.step_ids):
                self.client_fields[name] = divide(condition, self.names, frozenset(found))
        return found

    def options(self, step: Step | FieldStep) -> Mapping[OptionValue, Expression]:
        shown = ((option.value, option.show_if) for option in getattr(step, "options", ()))
        return {value: self.one(condition) for value, condition in shown if condition is not None}

    def checks(self, step: Step | FieldStep) -> tuple[Expression, ...]:
        return tuple(self.one(check.that, has_answer=True) for check in step.check)

    def computed(self, step: Step | FieldStep) -> Mapping[str, Expression]:
        return {name: self.one(source) for name, source in step.computed.items()}

    def one(self, source: str, *, has_answer: bool = False) -> Expression:
        expression = _compiled(source, replace(self.names, answer=has_answer), self.values, self._owners)
        self.reads_time = self.reads_time or expression.reads_time
        return expression
