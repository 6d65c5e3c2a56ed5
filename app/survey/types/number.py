"""Number: a finite number."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ...core.strict_json import MAX_INTEGER
from .columns import AnswerColumn, AnswerColumns, one_column
from .step import BaseStep, InvalidAnswer, SampleRequest, newest, require_ordered


class NumberStep(BaseStep):
    """A number."""

    type: Literal["number"]
    min: Annotated[int | float | None, Field(description="Least number accepted")] = None
    max: Annotated[int | float | None, Field(description="Greatest number accepted")] = None
    integer: Annotated[bool, Field(description="`true` accepts whole numbers only")] = False
    unit: Annotated[str | None, Field(max_length=64, description="Shown behind the number")] = None

    value_types = frozenset({int, float})
    statistics = frozenset({"numbers"})
    answering_s = 5.0

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        require_ordered(self.min, self.max)
        return self

    def check(self, value: object) -> int | float:
        check = check_whole_number if self.integer else check_number
        return check(value, self.min, self.max)

    def sample(self, request: SampleRequest) -> object:
        low, high = self.min if self.min is not None else 0, self.max if self.max is not None else 100
        mean, deviation = (76.0, 15.0) if self.unit == "kg" else (low + (high - low) * 0.12, (high - low) * 0.05)
        value = min(max(request.random.gauss(mean, deviation), low), high)
        return round(value) if self.integer else round(value, 1)

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        step = newest(revisions)
        is_whole = all(one.integer for one in revisions.values())
        column = AnswerColumn(kind="whole" if is_whole else "number", label=step.prompt, unit=step.unit)
        return one_column(column, int) if is_whole else one_column(column, int, float)


def check_number(value: object, low: float | None, high: float | None) -> int | float:
    """Return the number if it is finite and within the inclusive bounds.

    Raises:
        InvalidAnswer: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidAnswer("The answer must be a number.")
    if low is not None and value < low:
        raise InvalidAnswer(f"The answer must be at least {low}.")
    if high is not None and value > high:
        raise InvalidAnswer(f"The answer must be at most {high}.")
    return value


def check_whole_number(value: object, low: float | None, high: float | None) -> int:
    """Return the whole number within the inclusive bounds; 3.0 becomes 3.

    Raises:
        InvalidAnswer: it is none.
    """
    number = check_number(value, low, high)
    if number != int(number):
        raise InvalidAnswer("The answer must be a whole number.")
    if abs(number) > MAX_INTEGER:
        raise InvalidAnswer("The answer is too large.")
    return int(number)
