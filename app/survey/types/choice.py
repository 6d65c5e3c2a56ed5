"""Choice: one of several options; also the options of ``choices``."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, field_validator

from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue
from .step import BaseStep, InvalidAnswer, SampleRequest, StrictModel, Value, newest

OptionValue = str | int | float

T = TypeVar("T")


class Option(StrictModel):
    """One of the answers to choose from."""

    value: Annotated[
        Annotated[str, Field(min_length=1, max_length=1000)] | int | float,
        Field(description="What is stored, exported and compared in conditions"),
    ]
    label: Annotated[
        str,
        Field(
            max_length=2000,
            description="What the participant reads; default: the value",
            json_schema_extra=lambda schema: schema.pop("default"),
        ),
    ] = ""
    audio: Annotated[str | None, Field(max_length=2000, description="What audio mode speaks; default: the label")] = (
        None
    )


def _whole_option(option: object) -> object:
    if isinstance(option, bool):
        raise ValueError("true and false cannot be options; put them into quotes to make them texts")
    if isinstance(option, str | int | float):
        option = {"value": option}
    if isinstance(option, dict) and "label" not in option and "value" in option:
        return {**option, "label": str(option["value"])}
    return option


_BareValue = Annotated[str, Field(min_length=1, max_length=1000)] | int | float


class OptionsStep(BaseStep):
    """A step with options."""

    type: Literal["choice", "choices"]  # before the options, for the revision
    options: Annotated[
        tuple[Annotated[Option, BeforeValidator(_whole_option, json_schema_input_type=_BareValue | Option)], ...],
        Field(
            strict=False,
            min_length=1,
            max_length=1000,
            description="The options, each a value or an object; values must differ",
            json_schema_extra={"uniqueItems": True},
        ),
    ]

    value_types = frozenset({str, int, float})
    statistics = frozenset({"labels"})

    @field_validator("options")
    @classmethod
    def _have_different_values(cls, options: tuple[Option, ...]) -> tuple[Option, ...]:
        seen: set[OptionValue] = set()
        for option in options:
            if option.value in seen:
                raise ValueError(f"two options have the value {option.value!r}")
            seen.add(option.value)
        return options

    @cached_property
    def values(self) -> Mapping[OptionValue, OptionValue]:
        """The values by themselves: an equal one (1.0) leads to the one in the file (1)."""
        return {option.value: option.value for option in self.options}

    def accepts_draft(self, value: object) -> bool:
        chosen = value if isinstance(value, list) else [value]
        are_options = len(chosen) <= len(self.options) and all(
            find_option(self.values, one) is not None for one in chosen
        )
        return are_options or super().accepts_draft(value)

    def check_option(self, value: object) -> OptionValue:
        chosen = find_option(self.values, value)
        if chosen is None:
            raise InvalidAnswer("The answer must be one of the options.")
        return chosen

    def labels(self) -> Mapping[Value, str]:
        return {option.value: option.label for option in self.options}


class ChoiceStep(OptionsStep):
    """One of the options."""

    type: Literal["choice"]

    answering_s = 2.4

    def check(self, value: object) -> OptionValue:
        return self.check_option(value)

    def possible_answers(self) -> tuple[object, ...] | None:
        return self._with_null(tuple(self.values))

    def option_label(self, value: object) -> str | None:
        return next((one.label for one in self.options if one.value == value and one.label != str(value)), None)

    def sample(self, request: SampleRequest) -> object:
        values = tuple(self.values)
        if all(isinstance(value, int | float) for value in values):  # ordered, as "not at all" to "nearly every day"
            return values[min(int(request.level * len(values)), len(values) - 1)]
        first = int(request.lean * len(values))
        weights = [1 / (1 + (index + first) % len(values)) for index in range(len(values))]
        return request.random.choices(values, weights)[0]

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        coded = number_options(revisions, CODES)
        column = AnswerColumn(kind="choice", label=newest(revisions).prompt, coded=coded)
        return AnswerColumns((column,), partial(_to_cells, {one.value: one for one in coded}))


def _to_cells(codes: Mapping[Any, CodedValue], value: object) -> Sequence[Cell] | None:
    option = find_option(codes, value)
    return None if option is None else (option.value,)


def find_option(options: Mapping[Any, T], value: object) -> T | None:
    """Return the option with this value."""
    if isinstance(value, OptionValue) and not isinstance(value, bool):  # True equals 1 and is no option
        return options.get(value)
    return None


def number_options(revisions: Mapping[str, OptionsStep], codes: range) -> tuple[CodedValue, ...]:
    """Return all revisions' options, in the newest's order, with codes.

    Whole values within ``codes`` are the codes; otherwise numbered from the oldest revision on, so that codes keep
    their meaning.
    """
    numbers: dict[OptionValue, int] = {}
    for step in reversed(list(revisions.values())):
        for option in step.options:
            numbers.setdefault(option.value, len(numbers) + 1)
    if all(isinstance(value, int) and value in codes for value in numbers):
        numbers = {value: int(value) for value in numbers}
    occurrences: dict[OptionValue, dict[str, Option]] = {}
    for revision, step in revisions.items():
        for option in step.options:
            occurrences.setdefault(option.value, {})[revision] = option
    return tuple(
        CodedValue(code=numbers[value], value=value, label=newest(found).label, revisions=tuple(found))
        for value, found in occurrences.items()
    )
