"""Choice, and the options of this and other types."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from ..texts import OneLine
from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue, newest
from .step import BaseStep, Code, Condition, Flag, Image, InvalidAnswer, SampleRequest, StrictModel, Value, is_absent
from .text import PHRASES

OptionValue = str | int | float
StoredOption = OptionValue | dict[str, OptionValue]  # a value, or `{"value", "text"}` of an option that takes a text

T = TypeVar("T")

_BareValue = Annotated[str, Field(min_length=1, max_length=1000)] | int | float

OTHER_LENGTH = 1000  # the most characters of another text
_SAMPLES_WITHOUT_TEXT = 0.2


class Option(StrictModel):
    """One of the answers to choose from."""

    value: Annotated[_BareValue, Field(description="What is stored, exported and compared in conditions")]
    label: Annotated[
        str,
        Field(
            max_length=2000,
            description="What the participant reads; default: the value",
            json_schema_extra=lambda schema: schema.pop("default"),
        ),
        OneLine,
    ] = ""
    audio: Annotated[
        str | None, Field(max_length=2000, description="What audio mode speaks; default: the label"), OneLine
    ] = None
    show_if: Annotated[
        Condition,
        Field(description="CEL expression on answers before this step; the option is left out unless it holds"),
    ] = None
    image: Annotated[Image | None, Field(description="Shown with the label", exclude_if=is_absent)] = None
    code: Annotated[Code | None, Field(description="What the option says, for exports", exclude_if=is_absent)] = None
    exclusive: Annotated[
        Flag, Field(description="`true`: in `choices` no other option can be chosen with this one")
    ] = False
    other: Annotated[Flag, Field(description="`true`: the participant can add a text")] = False
    fixed: Annotated[Flag, Field(description="`true`: keeps its place in a random order")] = False


def first_repeated(values: Iterable[T]) -> T | None:
    return next((value for value, count in Counter(values).items() if count > 1), None)


def _require_different_values(options: tuple[Option, ...]) -> tuple[Option, ...]:
    if (repeated := first_repeated(option.value for option in options)) is not None:
        raise ValueError(f"two options have the value {repeated!r}")
    return options


def _whole_option(option: object) -> object:
    if isinstance(option, bool):
        raise ValueError("true and false cannot be options; put them into quotes to make them texts")
    if isinstance(option, str | int | float):
        option = {"value": option}
    if isinstance(option, dict) and "label" not in option and "value" in option:
        return {**option, "label": str(option["value"])}
    return option


OptionItem = Annotated[Option, BeforeValidator(_whole_option, json_schema_input_type=_BareValue | Option)]
"""An option, or its value alone."""

Options = Annotated[
    tuple[OptionItem, ...],
    Field(strict=False, min_length=1, max_length=1000, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_require_different_values),
]


class OptionsStep(BaseStep):
    """A step with options."""

    type: Literal["choice", "choices", "ranking"]  # before the options, for the revision
    options: Annotated[Options, Field(description="The options, each a value or an object; values must differ")]
    order: Annotated[
        Literal["random"] | None,
        Field(
            description="`random`: each participant sees the options in an order of their own; default: as in the file",
            exclude_if=is_absent,
        ),
    ] = None

    value_types = frozenset({str, int, float})
    statistics = frozenset({"labels"})

    @cached_property
    def values(self) -> Mapping[OptionValue, OptionValue]:
        """An equal value (1.0) leads to the one in the file (1)."""
        return {option.value: option.value for option in self.options}

    @cached_property
    def others(self) -> frozenset[OptionValue]:
        return frozenset(option.value for option in self.options if option.other)

    @classmethod
    def values_with_text(cls, revisions: Mapping[str, Self]) -> frozenset[OptionValue]:
        return frozenset[OptionValue]().union(*(step.others for step in revisions.values()))

    def accepts_draft(self, value: object) -> bool:
        chosen = value if isinstance(value, list) else [value]
        are_options = len(chosen) <= len(self.options) and all(map(self._is_option, chosen))
        return are_options or super().accepts_draft(value)

    def _is_option(self, item: object) -> bool:
        text = other_text(item)
        return find_option(self.values, chosen_value(item)) is not None and (text is None or len(text) <= OTHER_LENGTH)

    def check_option(self, item: object) -> StoredOption:
        chosen = find_option(self.values, chosen_value(item))
        text = other_text(item)
        if chosen is None or (text is not None and chosen not in self.others):
            raise InvalidAnswer("refusals.must_be_option")
        if chosen not in self.others:
            return chosen
        text = (text or "").strip()
        if len(text) > OTHER_LENGTH:
            raise InvalidAnswer("refusals.other_too_long", length=len(text), count=OTHER_LENGTH)
        return {"value": chosen, "text": text}

    def sample_option(self, value: OptionValue, request: SampleRequest) -> StoredOption:
        if value not in self.others or request.random.random() < _SAMPLES_WITHOUT_TEXT:
            return self.check_option(value)
        return {"value": value, "text": request.random.sample(PHRASES, 1)[0]}

    def labels(self) -> Mapping[Value, str]:
        return {option.value: option.label for option in self.options}

    def fits_options(self, answer: object, hidden: frozenset[OptionValue]) -> bool:
        """Return whether an accepted or saved answer is one while these options are hidden."""
        if self.is_empty(answer):
            return not self.required or len(hidden) == len(self.options)
        items = answer if isinstance(answer, list | tuple) else (answer,)
        chosen = [find_option(self.values, chosen_value(item)) for item in items]  # None: saved, and no option
        return hidden.isdisjoint(chosen) and self.fits_count(chosen, hidden)

    def fits_count(self, chosen: Sequence[OptionValue | None], hidden: frozenset[OptionValue]) -> bool:
        return bool(chosen) or len(hidden) == len(self.options)


Display = Annotated[
    Literal["list", "dropdown", "search", "buttons"] | None,
    Field(description="How the options are shown; default: `list`, `search` from 12 options on", exclude_if=is_absent),
]


class ChoiceStep(OptionsStep):
    """One of the options."""

    type: Literal["choice"]
    display: Display = None

    answering_s = 2.4

    def check_answer(self, value: object) -> StoredOption:
        return self.check_option(value)

    def possible_answers(self) -> tuple[object, ...] | None:
        can_be_skipped = not self.required or all(option.show_if is not None for option in self.options)
        return None if self.others else (*self.values, *((None,) if can_be_skipped else ()))

    def option_label(self, value: object) -> str | None:
        value = chosen_value(value)
        return next((one.label for one in self.options if one.value == value and one.label != str(value)), None)

    def sample(self, request: SampleRequest) -> object:
        return self.sample_option(self._sample_value(request), request) if self.options else None

    def _sample_value(self, request: SampleRequest) -> OptionValue:
        values = tuple(self.values)
        if all(isinstance(value, int | float) for value in values):  # ordered, as "not at all" to "nearly every day"
            return values[min(int(request.level * len(values)), len(values) - 1)]
        first = int(request.lean * len(values))
        weights = [1 / (1 + (index + first) % len(values)) for index in range(len(values))]
        return request.random.choices(values, weights)[0]

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        coded = code_options(revisions, CODES)
        prompt = newest(revisions).prompt
        column = AnswerColumn(kind="choice", label=prompt, coded=tuple(coded.values()))
        others = [coded[value] for value in coded if value in cls.values_with_text(revisions)]
        label = f"{prompt}: {', '.join(option.label for option in others)}"
        texts = (AnswerColumn(kind="text", label=label, suffix="_other"),) if others else ()
        return AnswerColumns((column, *texts), partial(_to_cells, coded, has_texts=bool(texts)))


def _to_cells(codes: Mapping[Any, CodedValue], value: object, *, has_texts: bool) -> Sequence[Cell] | None:
    option, text = find_option(codes, chosen_value(value)), other_text(value)
    if option is None or not (has_texts or text is None):
        return None
    return (option.value, text) if has_texts else (option.value,)


def require_plain(options: Iterable[Option], whose: str) -> None:
    if any(option.show_if or option.other or option.exclusive or option.fixed for option in options):
        raise ValueError(f"`show_if`, `other`, `exclusive` and `fixed` are not for the options of a {whose}")


def chosen_value(item: Any) -> Any:  # noqa: ANN401 - any JSON
    return item["value"] if _has_text(item) else item


def other_text(item: Any) -> str | None:  # noqa: ANN401 - any JSON
    return item["text"] if _has_text(item) else None


def _has_text(item: object) -> bool:
    return isinstance(item, dict) and item.keys() == {"value", "text"} and isinstance(item["text"], str)


def find_option(options: Mapping[Any, T], value: object) -> T | None:
    if isinstance(value, OptionValue) and not isinstance(value, bool):  # True equals 1 and is no option
        return options.get(value)
    return None


class WithOptions(Protocol):
    """A step that has options."""

    @property
    def options(self) -> tuple[Option, ...]: ...


def code_options(revisions: Mapping[str, WithOptions], codes: range) -> dict[OptionValue, CodedValue]:
    """Return all revisions' options by value, in the newest one's order.

    Whole values within ``codes`` are the codes; otherwise numbered from the oldest revision on, so that codes stay.
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
    return {
        value: CodedValue(code=numbers[value], value=value, label=newest(found).label, revisions=tuple(found))
        for value, found in occurrences.items()
    }
