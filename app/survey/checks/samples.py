"""What expressions of a survey file are evaluated on."""

import datetime
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from ..conditions import ComputedValues, ExpressionContext
from ..expressions import Expression, Literal, Scope, StepBudget, nodes
from ..parameters import Parameter
from ..types import BaseStep, SampleRequest, Value

T = TypeVar("T")

MAX_ASSIGNMENTS = 500

MAX_STEPS_OF_FILE = 5_000_000
"""Of all evaluations of a check, some seconds at most; what is left of a file is then not tried."""

NOW = "2026-01-15T10:30"

_TODAY = datetime.date(2026, 1, 15)
_LEVELS = (0.05, 0.5, 0.95)
_MOST_OF_A_STEP = 25
_NUMBERS = (1, 0, 2.5, 10, 100, -1, 1000)
_TEXTS = (
    "Demo", "12", "0.5", "2026-01-15", "10:30", "2026-01-15T10:30", "2026-01", "true", "demo@example.org",
    "+4930123456", "https://example.org", "a b c",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidParts:
    """The parts of a file that are right, with the fields of pages in place of pages."""

    steps: Mapping[str, BaseStep]
    ids: Sequence[str]
    budget: StepBudget = field(default_factory=lambda: StepBudget(MAX_STEPS_OF_FILE))
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    values: dict[str, Expression] = field(default_factory=dict)  # each from ``with_reads_of_values``

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


def sample_answers(step: BaseStep) -> tuple[object, ...]:
    """Return answers of a step in stored form, without null; none if none is known."""
    if not step.takes_answer:
        return (None,)
    possible = step.possible_answers()
    if possible is not None:
        answers = [answer for answer in possible if answer is not None]
        return tuple(answers[:: max(1, len(answers) // _MOST_OF_A_STEP)])
    values = list(step.labels())
    lists = [[value] for value in values[:_MOST_OF_A_STEP]] + [values, values[:2], []]
    samples = [
        step.sample(SampleRequest(random=_Fixed(level), level=level, lean=level, today=_TODAY)) for level in _LEVELS
    ]
    candidates = (*samples, *(lists if step.is_list else (*values[:_MOST_OF_A_STEP], *_NUMBERS, *_TEXTS)))
    return tuple(answer for answer in candidates if answer is not None and step.accepts(answer))


def parameter_values(parameter: Parameter, near: Iterable[object]) -> tuple[object, ...]:
    is_absent = not parameter.is_required
    return (*samples_near(parameter.step, near), *([parameter.default] if is_absent else []))


def samples_near(step: BaseStep, near: Iterable[object] = ()) -> tuple[object, ...]:
    found = [*sample_answers(step), *(value for value in near if not step.is_empty(value) and step.accepts(value))]
    return tuple({(type(value), str(value)): value for value in found}.values())


def constants_near(conditions: Iterable[Expression]) -> Iterator[object]:
    """Yield the constants of expressions, and what is beside and between them."""
    parts = (node for condition in conditions if condition.tree is not None for node in nodes(condition.tree))
    numbers = set()
    for one in (node.value for node in parts if isinstance(node, Literal)):
        if type(one) is float:
            numbers |= {one, -one}
        elif isinstance(one, str):
            yield one
            yield from _days_beside(one)
    for number in numbers:
        yield from (number - 1, number, number + 1)
    yield from ((left + right) / 2 for left, right in pairwise(sorted(numbers)))


def _days_beside(text: str) -> Iterator[str]:
    try:
        day = datetime.date.fromisoformat(text)
        yield from ((day + datetime.timedelta(days)).isoformat() for days in (-1, 1))
    except (ValueError, OverflowError):
        return


def combinations(known: Sequence[tuple[T, ...]]) -> Iterator[tuple[T, ...]]:
    """Yield all combinations, or some if there are many."""
    if math.prod(map(len, known)) <= MAX_ASSIGNMENTS:
        yield from itertools.product(*known)
        return
    state = 1
    for _ in range(MAX_ASSIGNMENTS):
        chosen = []
        for values in known:
            state = (state * 48271) % 2147483647  # Lehmer's generator, the same numbers each time
            chosen.append(values[state % len(values)])
        yield tuple(chosen)


class _Fixed:
    """Stands for randomness: the same numbers each time."""

    def __init__(self, level: float) -> None:
        self._level = level

    def random(self) -> float:
        return self._level

    def gauss(self, mu: float, sigma: float) -> float:
        return mu + sigma * (self._level - 0.5)

    def expovariate(self, lambd: float) -> float:
        return self._level / lambd

    def lognormvariate(self, mu: float, sigma: float) -> float:
        return mu + sigma * self._level

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        return list(population)[:k]

    def choices(self, population: Sequence[T], weights: Sequence[float]) -> list[T]:
        return [population[int(self._level * len(weights))]]
