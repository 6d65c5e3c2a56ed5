"""Scale: a whole number between two labelled ends."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue, one_column
from .number import check_whole_number
from .step import BaseStep, SampleRequest, Value, newest, require_ordered

_MAX_POINTS = 1000


class ScaleStep(BaseStep):
    """A point on a scale of whole numbers."""

    type: Literal["scale"]
    min: Annotated[int, Field(description="The lowest point")]
    max: Annotated[int, Field(description=f"The highest point, at most {_MAX_POINTS} above the lowest")]
    min_label: Annotated[str | None, Field(max_length=500, description="Shown at the lowest point")] = None
    max_label: Annotated[str | None, Field(max_length=500, description="Shown at the highest point")] = None

    value_types = frozenset({int, float})
    statistics = frozenset({"numbers", "labels"})
    answering_s = 3.0

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        require_ordered(self.min, self.max)
        if self.max - self.min > _MAX_POINTS:
            raise ValueError(f"a scale has at most {_MAX_POINTS} points; use the type number instead")
        return self

    def check(self, value: object) -> int:
        return check_whole_number(value, self.min, self.max)

    def possible_answers(self) -> tuple[object, ...] | None:
        return self._with_null(tuple(range(self.min, self.max + 1)))

    def labels(self) -> Mapping[Value, str]:
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
        ends = ((step.min, step.min_label), (step.max, step.max_label))
        coded = tuple(
            CodedValue(code=point, value=point, label=label) for point, label in ends if label and point in CODES
        )
        column = AnswerColumn(kind="whole", label=step.prompt, coded=coded)
        return AnswerColumns((column,), _code_to_cells) if coded else one_column(column, int)


def _code_to_cells(value: object) -> Sequence[Cell] | None:
    # The type first: `in` compares another type with each number of the range.
    return (value,) if type(value) is int and value in CODES else None
