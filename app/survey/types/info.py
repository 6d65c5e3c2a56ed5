"""Info: something to read."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field

from .columns import AnswerColumns
from .step import BaseStep, InvalidAnswer, SampleRequest


class InfoStep(BaseStep):
    """Something to read; continuing answers null."""

    type: Literal["info"]
    required: Annotated[bool, Field(description="Has no effect: there is no answer to require")] = False

    takes_answer = False
    value_types = frozenset()
    statistics = frozenset()
    answering_s = 1.5

    def check_answer(self, value: object) -> object:
        raise InvalidAnswer("refusals.takes_no_answer", type=type(value).__name__)

    def possible_answers(self) -> tuple[object, ...] | None:
        return (None,)

    def sample(self, _request: SampleRequest) -> object:
        return None

    @classmethod
    def columns(cls, _revisions: Mapping[str, Self]) -> AnswerColumns:
        return AnswerColumns(columns=(), to_cells=lambda _value: None)
