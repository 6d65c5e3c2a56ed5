"""What expressions of a survey file are evaluated on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..conditions import ComputedValues, ExpressionContext
from ..expressions import Expression, Scope, StepBudget
from ..parameters import Parameter
from ..types import BaseStep, PageStep, Value
from .document import Path

MAX_STEPS_OF_FILE = 5_000_000
"""Of all evaluations of a check, some seconds at most; what is left of a file is then not tried."""

NOW = "2026-01-15T10:30"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidParts:
    """What of a file is right: pages as their fields, and values with the reads of those that they read."""

    steps: Mapping[str, BaseStep]
    ids: Sequence[str]
    budget: StepBudget = field(default_factory=lambda: StepBudget(MAX_STEPS_OF_FILE))
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    values: dict[str, Expression] = field(default_factory=dict)

    def have_all_of(self, expression: Expression) -> bool:
        answers = expression.step_ids or frozenset()
        others = (expression.parameter_names <= self.parameters.keys(), expression.value_names <= self.values.keys())
        return answers <= self.steps.keys() and all(others)

    def scope(
        self,
        answers: Mapping[str, object],
        *,
        answer: object = None,
        parameters: Mapping[str, object],
        now: str | None = NOW,
    ) -> Scope:
        given = ExpressionContext(now, now, parameters)
        values = ComputedValues(self.values, self.ids, answers, given, self.budget)
        return Scope(answers, answer, self.ids, now, parameters, values, self._label)

    def _label(self, step_id: str, value: object) -> str | None:
        step = self.steps.get(step_id)
        return None if step is None or not isinstance(value, Value) else step.labels().get(value)


def with_fields(steps: Mapping[int, BaseStep]) -> Iterator[tuple[Path, BaseStep]]:
    for index, step in steps.items():
        yield ("steps", index), step
        if isinstance(step, PageStep):
            yield from ((("steps", index, "fields", number), field) for number, field in enumerate(step.fields))
