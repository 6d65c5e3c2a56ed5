"""Whether an expression has a value for any well-typed answers."""

import datetime
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError

from ..expressions import EvaluationError, Expression, Name, Scope, StepBudget, nodes
from ..resolve import whole_number
from ..types import BaseStep, SampleRequest
from .values import default_problem

T = TypeVar("T")

Answers = Mapping[str, object]

MAX_ASSIGNMENTS = 500

MAX_STEPS_OF_FILE = 5_000_000
"""Of all evaluations on samples, some seconds at most; what is left of a file is then not tried."""

_NOW = "2026-01-15T10:30"
_TODAY = datetime.date(2026, 1, 15)
_LEVELS = (0.05, 0.5, 0.95)
_MOST_OF_A_STEP = 25
_NUMBERS = (1, 0, 2.5, 10, 100, -1, 1000)
_TEXTS = (
    "Demo", "12", "0.5", "2026-01-15", "10:30", "2026-01-15T10:30", "2026-01", "true", "demo@example.org",
    "+4930123456", "https://example.org", "a b c",
)  # fmt: skip

_WORDS = {"double": "number", "string": "text", "null_type": "null value", "bool": "boolean"}


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


def failure(
    expression: Expression,
    field: str | None,
    own: BaseStep | None,
    steps: Mapping[str, BaseStep],
    step_ids: Sequence[str],
    budget: StepBudget,
) -> str | None:
    """Return why an expression fails for all sample answers; None if it does not, or if that is not known.

    Args:
        field: whose value it computes; None for a condition.
        own: the step whose expression it is.
        steps: those that are right, by id.
        budget: of the file.
    """
    reason = None
    for answers, answer in _assignments(expression, own, steps, step_ids):
        if budget.left <= 0:
            return None
        scope = Scope(answers=answers, answer=answer, all_ids=step_ids, now=_NOW)
        try:
            if field is None:
                expression.holds(scope, budget)
                return None
            value = expression.value(scope, budget)
        except EvaluationError as error:
            reason = _in_words(str(error))
            continue
        if value is None or own is None or _fits(value, field, own):
            return None
        reason = f"{value} is no {field} for this step"
    return reason


def hides_all_options(
    conditions: Sequence[Expression], steps: Mapping[str, BaseStep], step_ids: Sequence[str], budget: StepBudget
) -> bool:
    """Return whether answers exist for which no option is shown, as far as samples show."""
    read = sorted({one for condition in conditions for one in condition.step_ids or step_ids})
    if any(step_id not in steps for step_id in read):
        return False
    known = []
    for step_id in read:
        step = steps[step_id]
        is_optional = step.show_if is not None or (step.takes_answer and not step.required)
        known.append((*sample_answers(step), *((None,) if is_optional else ())))
    for values in _combinations(known):
        scope = Scope(answers=dict(zip(read, values, strict=True)), all_ids=step_ids, now=_NOW)
        if not any(_holds(condition, scope, budget) for condition in conditions):
            return budget.left > 0
    return False


def _holds(condition: Expression, scope: Scope, budget: StepBudget) -> bool:
    try:
        return budget.left <= 0 or condition.holds(scope, budget)
    except EvaluationError:
        return False


def _assignments(
    expression: Expression, own: BaseStep | None, steps: Mapping[str, BaseStep], step_ids: Sequence[str]
) -> Iterator[tuple[Answers, object]]:
    read = sorted(step_ids if expression.step_ids is None else expression.step_ids)
    if any(step_id not in steps for step_id in read):
        return
    reads_answer = own is not None and expression.tree is not None and Name("answer") in nodes(expression.tree)
    known = [sample_answers(steps[step_id]) for step_id in read]
    for *values, answer in _combinations([*known, sample_answers(own) if own and reads_answer else (None,)]):
        answers = dict(zip(read, values, strict=True))
        yield answers, answer if own is None else answers.get(own.id, answer)


def _combinations(known: Sequence[tuple[T, ...]]) -> Iterator[tuple[T, ...]]:
    """Yield all combinations, or some if there are many; none if one part has no value."""
    if not all(known):
        return
    count = 1
    for values in known:
        count *= len(values)
    if count <= MAX_ASSIGNMENTS:
        yield from itertools.product(*known)
        return
    for number in range(MAX_ASSIGNMENTS):
        yield tuple(
            values[(number * (place + 1) + number // len(values)) % len(values)] for place, values in enumerate(known)
        )


def _fits(value: object, field: str, step: BaseStep) -> bool:
    value = whole_number(value)
    if field == "default":
        return default_problem(step, step.computed_default(value)) is None
    try:
        step.computed_value(field, value)
    except ValidationError:
        return False
    return True


def _in_words(reason: str) -> str:
    reason = re.sub(r"a (\w+) contains nothing", r"`in` needs a list, and there is a \1", reason)
    return re.sub(r"\b(double|string|null_type|bool)\b", lambda match: _WORDS[match.group()], reason)


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
