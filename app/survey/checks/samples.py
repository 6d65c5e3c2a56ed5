"""Sample answers of steps, and combinations of them."""

import datetime
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..types import BaseStep, SampleRequest

T = TypeVar("T")

MAX_ASSIGNMENTS = 500

_TODAY = datetime.date(2026, 1, 15)
_LEVELS = (0.05, 0.5, 0.95)
_MOST_OF_A_STEP = 25
_NUMBERS = (1, 0, 2.5, 10, 100, -1, 1000)
_TEXTS = (
    "Demo", "12", "0.5", "2026-01-15", "10:30", "2026-01-15T10:30", "2026-01", "true", "demo@example.org",
    "+4930123456", "https://example.org", "a b c",
)  # fmt: skip


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


def combinations(known: Sequence[tuple[T, ...]]) -> Iterator[tuple[T, ...]]:
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
