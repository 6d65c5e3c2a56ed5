"""Whether the expressions that one command evaluates take too many steps together."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ..expressions import EvaluationError, Expression, Names, Possible, Scope, StepBudget, branches
from ..types import BaseStep
from .failures import NOW, Known

MAX_STEPS_OF_COMMAND = 5_000_000
"""Of the conditions of the route, or of the other expressions of a step or of the end: some 300 ms."""


@dataclass(slots=True)
class Costs:
    """Counts the steps of expressions with all their branches, evaluated on long answers.

    Attributes:
        answers: returns what the answer of a step can be.
    """

    known: Known
    answers: Callable[[str], Possible]
    _left: dict[tuple[str, int | None], int] = field(default_factory=dict)
    _scope: Scope | None = None

    def problem(self, expression: Expression, own: BaseStep | None, *, kind: str, step: int | None) -> str | None:
        """Return what is wrong if an expression is the first that is too much for those that one command evaluates.

        Args:
            own: the step whose expression it is.
            kind, step: what the command evaluates, and for which step, if not for all. As there can be many steps,
                their expressions are not counted once the budget of the file is used up.
        """
        left = self._left.get((kind, step), MAX_STEPS_OF_COMMAND)
        if left < 0 or (step is not None and self.known.budget.left <= 0):
            return None
        self._scope = scope = self._scope or Scope(self._long_answers(), all_ids=self.known.ids, now=NOW)
        scope = scope if own is None else scope._replace(answer=scope.answers.get(own.id))
        steps = StepBudget(left)
        for branch in branches(expression, Names(answers=frozenset(self.known.ids), answer=True)):
            with suppress(EvaluationError):
                branch.value(scope, steps)
        self.known.budget.left -= left - steps.left if step is not None else 0
        self._left[kind, step] = steps.left
        if steps.left >= 0:
            return None
        most = f"one command takes more than {MAX_STEPS_OF_COMMAND} steps"
        return f"with the other {kind} before this, {most}; make the loops shorter"

    def _long_answers(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for step_id in self.known.ids:
            (possible,) = self.answers(step_id)
            text = "x" * getattr(self.known.steps.get(step_id), "max_length", 0)
            items = [sample for item in possible.items or () for sample in item.samples]
            found[step_id] = items or text or next(iter(possible.samples), None)
        return found
