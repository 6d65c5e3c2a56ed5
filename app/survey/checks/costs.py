"""Whether one command would evaluate too much."""

from contextlib import suppress
from dataclasses import dataclass, field

from ..expressions import EvaluationError, Expression, Names, Scope, StepBudget, branches
from ..types import BaseStep
from .answers import Possibilities
from .places import ROUTE, Place
from .samples import ValidParts

MAX_STEPS_OF_COMMAND = 5_000_000
"""Of the conditions of the route, or of the other expressions of a step or of the end: some 300 ms."""


@dataclass(slots=True)
class Costs:
    """Counts the steps of all branches of expressions, on long answers."""

    valid: ValidParts
    possible: Possibilities
    _left: dict[tuple[str, object], int] = field(default_factory=dict)
    _scope: Scope | None = None
    _of_values: dict[str, int] = field(default_factory=dict)
    _counted: dict[tuple[str, object], set[str]] = field(default_factory=dict)

    def problem(self, expression: Expression, place: Place) -> str | None:
        """Return what is wrong if an expression is the first that exceeds the steps of one command.

        Those of steps and texts, which can be many, are not counted once the budget of the file is used up.
        """
        kind, step = place.evaluated_with
        left = self._left.get((kind, step), MAX_STEPS_OF_COMMAND)
        if left < 0 or (step is not None and self.valid.budget.left <= 0):
            return None
        steps = StepBudget(left)
        self._evaluate(expression, place.step, steps)
        if place.value is not None:
            self._of_values[place.value] = left - steps.left
        else:
            # Each step of a walk computes values anew, as they are there; else one command computes them once.
            counted = set() if kind == ROUTE else self._counted.setdefault((kind, step), set())
            read = self._read_values(expression) - counted
            counted |= read
            steps.left -= sum(self._of_values.get(name, 0) for name in read)
        self.valid.budget.left -= left - steps.left if step is not None else 0
        self._left[kind, step] = steps.left
        if steps.left >= 0:
            return None
        most = f"one command takes more than {MAX_STEPS_OF_COMMAND:,} steps"
        return f"with the other {kind} before this, {most}; make the loops shorter"

    def _evaluate(self, expression: Expression, own: BaseStep | None, steps: StepBudget) -> None:
        self._scope = scope = self._scope or self._long_scope()
        scope = scope if own is None else scope._replace(answer=scope.answers.get(own.id))
        names = Names(
            answers=frozenset(self.valid.ids) if expression.step_ids is None else expression.step_ids,
            answer=True,
            parameters=expression.parameter_names,
            values=expression.value_names,
            texts=True,
        )
        for branch in branches(expression, names):
            with suppress(EvaluationError):
                branch.value(scope, steps)

    def _read_values(self, expression: Expression) -> set[str]:
        found: set[str] = set()
        pending = set(expression.value_names)
        while pending:
            name = pending.pop()
            found.add(name)
            if name in self.valid.values:
                pending |= self.valid.values[name].value_names - found
        return found

    def _long_scope(self) -> Scope:
        answers = {step_id: self._long("answers", step_id, self.valid.steps.get(step_id)) for step_id in self.valid.ids}
        parameters = {name: self._long("parameters", name, one.step) for name, one in self.valid.parameters.items()}
        return self.valid.scope(answers, parameters=parameters)

    def _long(self, mapping: str, name: str, step: BaseStep | None) -> object:
        possible = self.possible.of(mapping, name)[-1]
        text = "x" * getattr(step, "max_length", 0)
        items = [sample for item in possible.items or () for sample in item.samples]
        return items or text or next(iter(possible.samples), None)
