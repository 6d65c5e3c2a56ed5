"""Boolean: yes or no."""

from collections.abc import Mapping
from typing import Literal, Self

from .columns import AnswerColumn, AnswerColumns, newest, one_column
from .step import BaseStep, InvalidAnswer, SampleRequest, Value


class BooleanStep(BaseStep):
    """Yes (true) or no (false)."""

    type: Literal["boolean"]

    value_types = frozenset({bool})
    statistics = frozenset({"labels"})
    answering_s = 1.8

    def check_answer(self, value: object) -> bool:
        if not isinstance(value, bool):  # 0 and 1 are numbers
            raise InvalidAnswer("refusals.must_be_boolean")
        return value

    def possible_answers(self) -> tuple[object, ...] | None:
        return self._with_null((True, False))

    def labels(self) -> Mapping[Value, str]:
        return {True: "Yes", False: "No"}

    def sample(self, request: SampleRequest) -> object:
        return request.random.random() < 0.2 + 0.5 * request.lean

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        return one_column(AnswerColumn(kind="boolean", label=newest(revisions).prompt), bool)
