"""Number: a finite number."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ...core.strict_json import MAX_INTEGER
from ..texts import OneLine
from .columns import AnswerColumn, AnswerColumns, one_column
from .step import BaseStep, InvalidAnswer, Placeholder, SampleRequest, is_absent, newest, require_ordered

_WEIGHT_KG = 76.0
"""The mean of samples that can be an adult's weight."""


class NumberStep(BaseStep):
    """A number."""

    type: Literal["number"]
    min: Annotated[int | float | None, Field(description="Least number accepted")] = None
    max: Annotated[int | float | None, Field(description="Greatest number accepted")] = None
    integer: Annotated[bool, Field(description="`true` accepts whole numbers only")] = False
    unit: Annotated[str | None, Field(max_length=64, description="Shown behind the number"), OneLine] = None
    decimals: Annotated[
        int | None,
        Field(ge=0, le=15, description="Most digits behind the decimal point; default: any", exclude_if=is_absent),
    ] = None
    placeholder: Placeholder = None

    computable = frozenset({"min", "max", "default"})
    value_types = frozenset({int, float})
    statistics = frozenset({"numbers"})
    answering_s = 5.0

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        require_ordered(self.min, self.max)
        if self.integer and self.decimals:
            raise ValueError("a whole number has no decimals: leave out `integer` or `decimals`")
        return self

    def check_answer(self, value: object) -> int | float:
        if self.integer or self.decimals == 0:
            return check_whole_number(value, self.min, self.max)
        number = check_number(value, self.min, self.max)
        if self.decimals is not None and round(number, self.decimals) != number:
            raise InvalidAnswer("refusals.too_many_decimals", count=self.decimals)
        return number

    def sample(self, request: SampleRequest) -> object:
        low = self.min if self.min is not None else min(0, self.max - 100 if self.max is not None else 0)
        high = self.max if self.max is not None else max(100, low + 100)
        is_weight = self.unit == "kg" and low <= _WEIGHT_KG <= high
        mean, deviation = (_WEIGHT_KG, 15.0) if is_weight else (low + (high - low) * 0.12, (high - low) * 0.05)
        value = min(max(request.random.gauss(mean, deviation), low), high)
        decimals = 0 if self.integer else min(1 if self.decimals is None else self.decimals, 3)
        rounded = round(value, decimals) if decimals else round(value)
        inside = (math.ceil(low), math.floor(high), value)
        return next((number for number in (rounded, *inside) if self.accepts(number)), None)

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        step = newest(revisions)
        is_whole = all(one.integer or one.decimals == 0 for one in revisions.values())
        column = AnswerColumn(kind="whole" if is_whole else "number", label=step.prompt, unit=step.unit)
        return one_column(column, int) if is_whole else one_column(column, int, float)


def check_number(value: object, low: float | None, high: float | None) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidAnswer("refusals.must_be_number")
    if low is not None and value < low:
        raise InvalidAnswer("refusals.at_least", low=low)
    if high is not None and value > high:
        raise InvalidAnswer("refusals.at_most", high=high)
    return value


def check_whole_number(value: object, low: float | None, high: float | None) -> int:
    number = check_number(value, low, high)
    if number != int(number):
        raise InvalidAnswer("refusals.must_be_whole")
    if abs(number) > MAX_INTEGER:
        raise InvalidAnswer("refusals.too_large")
    return int(number)
