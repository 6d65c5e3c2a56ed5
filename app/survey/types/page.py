"""Page: several fields that are answered together."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from .boolean import BooleanStep
from .choice import ChoiceStep
from .choices import ChoicesStep, RankingStep
from .columns import AnswerColumns
from .info import InfoStep
from .moments import DateStep, DatetimeStep, MonthStep, TimeStep
from .number import NumberStep, ScaleStep
from .step import BaseStep, InvalidAnswer, SampleRequest
from .text import EmailStep, PhoneStep, TextStep

MAX_FIELDS = 200

FieldTypes = (
    ChoiceStep | ChoicesStep | TextStep | NumberStep | ScaleStep | DateStep | BooleanStep | InfoStep
    | TimeStep | DatetimeStep | MonthStep | EmailStep | PhoneStep | RankingStep
)  # fmt: skip
"""A step that a page can contain."""

FieldStep = Annotated[FieldTypes, Field(discriminator="type")]


class PageStep(BaseStep):
    """Fields, each a step without rules; one answer has them all."""

    type: Literal["page"]
    required: Annotated[bool, Field(exclude=True)] = True
    default: Annotated[Any, Field(exclude=True)] = None
    fields: Annotated[
        tuple[FieldStep, ...],
        Field(
            strict=False,
            min_length=1,
            max_length=MAX_FIELDS,
            description="The fields in order: steps of any other type but grid, without `next`",
        ),
    ]

    computable = frozenset()
    value_types = frozenset()
    statistics = frozenset()
    answering_s = 2.0

    @field_validator("required", "default", mode="before")
    @classmethod
    def _is_of_the_fields(cls, _value: object) -> object:
        raise ValueError("a page has neither `required` nor `default`; its fields have")

    @field_validator("fields")
    @classmethod
    def _have_no_rules(cls, fields: tuple[FieldStep, ...]) -> tuple[FieldStep, ...]:
        if any(field.next for field in fields):
            raise ValueError("the fields of a page have no `next`; the page has")
        return fields

    def check_answer(self, value: object) -> dict[str, Any]:
        """Return the answers by field if these fit alone, without a session."""
        if not isinstance(value, Mapping):
            raise InvalidAnswer("refusals.must_be_fields")
        by_id = {field.id: field for field in self.fields}
        if not value.keys() <= by_id.keys():
            raise InvalidAnswer("refusals.unknown_field")
        return {
            name: value[name] if field.is_empty(value[name]) else field.check_answer(value[name])
            for name, field in by_id.items()
            if name in value
        }

    def is_empty(self, _value: object) -> bool:
        return False

    def accepts_draft(self, value: object) -> bool:
        by_id = {field.id: field for field in self.fields}
        if not isinstance(value, Mapping) or not value.keys() <= by_id.keys():
            return super().accepts_draft(value)
        return all(one is None or by_id[name].accepts_draft(one) for name, one in value.items())

    def parts(self) -> tuple[FieldStep, ...]:
        return self.fields

    def sample(self, request: SampleRequest) -> object:
        return {field.id: field.sample(request) for field in self.fields}

    @classmethod
    def columns(cls, _revisions: Mapping[str, Self]) -> AnswerColumns:
        return AnswerColumns(columns=(), to_cells=lambda _value: None)
