"""Number and scale."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ...core.strict_json import MAX_INTEGER
from ..texts import OneLine
from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue, newest, one_column
from .step import BaseStep, InvalidAnswer, Placeholder, SampleRequest, Value, is_absent, require_ordered

_WEIGHT_KG = 76.0  # the mean of samples that can be an adult's weight

_MAX_POINTS = 1000
_STAND_IN_POINTS = 10


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
            return _check_whole_number(value, self.min, self.max)
        number = _check_number(value, self.min, self.max)
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


class ScaleStep(BaseStep):
    """A point on a scale of whole numbers."""

    type: Literal["scale"]
    min: Annotated[int, Field(description="The lowest point")]
    max: Annotated[int, Field(description=f"The highest point, at most {_MAX_POINTS} above the lowest")]
    min_label: Annotated[str | None, Field(max_length=500, description="Shown at the lowest point"), OneLine] = None
    max_label: Annotated[str | None, Field(max_length=500, description="Shown at the highest point"), OneLine] = None

    computable = frozenset({"min", "max", "default"})
    value_types = frozenset({int, float})
    statistics = frozenset({"numbers", "labels"})
    answering_s = 3.0

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        require_ordered(self.min, self.max)
        if self.max - self.min > _MAX_POINTS:
            raise ValueError(f"a scale has at most {_MAX_POINTS} points; use the type number instead")
        return self

    @classmethod
    def stand_ins(cls, data: Mapping[str, Any], computed: Collection[str]) -> Mapping[str, Any]:
        low, high = data.get("min"), data.get("max")
        bounds = {
            "min": high - _STAND_IN_POINTS if isinstance(high, int) else 0,
            "max": (low if isinstance(low, int) else 0) + _STAND_IN_POINTS,
        }
        return {name: bound for name, bound in bounds.items() if name in computed}

    def computed_value(self, name: str, value: object) -> Any:  # noqa: ANN401 - of the field's type
        fields = {field: getattr(self, field) for field in type(self).model_fields if field not in self.computable}
        return getattr(type(self).model_validate({**fields, "min": value, "max": value}), name)

    def can_have_bounds(self, min: Any, max: Any) -> bool:  # noqa: A002, ANN401 - as the fields are named
        return bool(0 <= max - min <= _MAX_POINTS)

    @property
    def has_computed_bounds(self) -> bool:
        return not self.computed.keys().isdisjoint({"min", "max"})

    def check_answer(self, value: object) -> int:
        low = None if "min" in self.computed else self.min
        high = None if "max" in self.computed else self.max
        return _check_whole_number(value, low, high)

    def possible_answers(self) -> tuple[object, ...] | None:
        return None if self.has_computed_bounds else self._with_null(tuple(range(self.min, self.max + 1)))

    def labels(self) -> Mapping[Value, str]:
        if self.has_computed_bounds:
            return {}
        ends = {self.min: self.min_label, self.max: self.max_label}
        return {
            point: f"{point} ({ends[point]})" if ends.get(point) else str(point)
            for point in range(self.min, self.max + 1)
        }

    def sample(self, request: SampleRequest) -> object:
        return round(self.min + (self.max - self.min) * request.level)

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        step = newest(revisions)
        ends = () if step.has_computed_bounds else ((step.min, step.min_label), (step.max, step.max_label))
        coded = tuple(
            CodedValue(code=point, value=point, label=label) for point, label in ends if label and point in CODES
        )
        column = AnswerColumn(kind="whole", label=step.prompt, coded=coded)
        return AnswerColumns((column,), _code_to_cells) if coded else one_column(column, int)


def _code_to_cells(value: object) -> Sequence[Cell] | None:
    # The type first: `in` compares another type with each number of the range.
    return (value,) if type(value) is int and value in CODES else None


def _check_number(value: object, low: float | None, high: float | None) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidAnswer("refusals.must_be_number")
    if low is not None and value < low:
        raise InvalidAnswer("refusals.at_least", low=low)
    if high is not None and value > high:
        raise InvalidAnswer("refusals.at_most", high=high)
    return value


def _check_whole_number(value: object, low: float | None, high: float | None) -> int:
    number = _check_number(value, low, high)
    if number != int(number):
        raise InvalidAnswer("refusals.must_be_whole")
    if abs(number) > MAX_INTEGER:
        raise InvalidAnswer("refusals.too_large")
    return int(number)
