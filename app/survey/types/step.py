"""What all step types have in common."""

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import not_
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ...core import strict_json
from ...core.formats import MEDIA_FILE, STEP_ID
from ...core.languages import Message
from ..state import END
from ..texts import InLanguage, OneLine, computed
from .columns import AnswerColumns

T = TypeVar("T")

DRAFT_LENGTH = 1000  # the most characters of a draft's JSON, where answers are shorter
Value = str | int | float | bool  # an answer, or one item of a list

Statistic = Literal["labels", "numbers", "lengths", "years", "hours", "ranks"]
"""Counts by label, number, length of text, year, hour, or option that is ranked first."""


class InvalidAnswer(ValueError):
    """Why an answer is refused, for the participant; ``str()`` says it in English."""

    def __init__(self, key: str, *, fields: Mapping[str, Message] | None = None, **values: object) -> None:
        self.message = Message(key, values)
        self.fields = fields or {}
        super().__init__(key, values)

    def __str__(self) -> str:
        return str(self.message)


MAX_UNKNOWN_FIELDS = 10  # in a refusal: all of them could be many times as long as the command


def unknown_fields(value: Mapping[str, object], known: Collection[str]) -> dict[str, Message]:
    unknown = islice((name for name in value if name not in known), MAX_UNKNOWN_FIELDS)
    return {name[:64]: Message("refusals.unknown_field", {}) for name in unknown}


class StrictModel(BaseModel):
    """A part of a survey file: no unknown fields, no conversion between types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Random(Protocol):
    """What samples need; this package has no randomness."""

    def random(self) -> float: ...
    def gauss(self, mu: float, sigma: float) -> float: ...
    def expovariate(self, lambd: float) -> float: ...
    def lognormvariate(self, mu: float, sigma: float) -> float: ...
    def sample(self, population: Sequence[T], k: int) -> list[T]: ...
    def choices(self, population: Sequence[T], weights: Sequence[float]) -> list[T]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """What a sample depends on."""

    random: Random
    level: float  # 0 (lowest answer) to 1 (highest)
    lean: float  # 0 to 1, one value a step: which unordered answers are frequent
    today: datetime.date


def _condition_text(value: object) -> object:
    """YAML reads a bare ``true`` as a boolean."""
    return str(value).lower() if isinstance(value, bool) else value


def is_absent(value: object) -> bool:
    """Whether a file leaves out a field that came later: it is then no part of the revision."""
    return value is None or value == ()


Expression = Annotated[str, BeforeValidator(_condition_text, json_schema_input_type=str | bool)]
"""CEL as it is written in the file; it is compiled with the whole survey."""

Flag = Annotated[bool, Field(exclude_if=not_)]  # false where a file leaves it out

Condition = Annotated[Expression | None, Field(exclude_if=is_absent)]

Placeholder = Annotated[
    str | None,
    Field(min_length=1, max_length=200, description="Example, shown in the empty field", exclude_if=is_absent),
    OneLine,
]
"""Of types whose answers are typed into a field."""


class Rule(StrictModel):
    """Where a step leads, and when."""

    when: Annotated[
        Expression | None,
        Field(description="CEL expression on `answer` and `answers`; without it the rule always applies"),
    ] = None
    go: Annotated[str, Field(description="Id of the step to go to; `end` completes the survey")]


class Check(StrictModel):
    """What must hold when a step is answered."""

    that: Annotated[Expression, Field(description="CEL expression that holds for a sensible answer")]
    message: Annotated[str, Field(min_length=1, max_length=2000, description="Shown when it does not hold"), InLanguage]
    level: Annotated[
        Literal["error", "warning"],
        Field(
            description="`error` refuses the answer; `warning` asks the participant to confirm it",
            exclude_if=lambda level: level == "error",
        ),
    ] = "error"


class Code(StrictModel):
    """A concept of a code system, kept for exports."""

    system: Annotated[str, Field(min_length=1, max_length=1000, description="Such as http://loinc.org")]
    code: Annotated[str, Field(min_length=1, max_length=1000, description="Such as 44250-9")]


class Image(StrictModel):
    """A picture beside a question or an option."""

    file: Annotated[str, Field(pattern=MEDIA_FILE, description="Name of a file in the folder `media` of the surveys")]
    alt: Annotated[str, Field(max_length=2000, description="What the picture says, for screen readers"), InLanguage]


class BaseStep(StrictModel):
    """One step of a survey.

    A type is a subclass, listed in ``STEP_TYPES``; everything else in the application asks it.
    """

    # A survey's revision hashes the fields in this order.
    id: Annotated[
        str,
        Field(
            pattern=STEP_ID,
            description="Unique within the survey; conditions, exports and the database use it",
            json_schema_extra={"not": {"const": END}},
        ),
    ]
    prompt: Annotated[str, Field(min_length=1, max_length=10_000, description="The question"), InLanguage]
    audio: Annotated[
        str | None, Field(max_length=10_000, description="What audio mode speaks instead of the prompt"), InLanguage
    ] = None
    required: Annotated[bool, Field(description="`false` lets participants skip the step; the answer is then null")] = (
        True
    )
    next: Annotated[
        tuple[Rule, ...],
        Field(
            strict=False,
            description="Rules in order: the first that applies decides; otherwise the next step in the list follows",
        ),
    ] = ()
    # Later fields are part of a revision only where a file uses them, so that the revisions of other files stay.
    help: Annotated[
        str | None,
        Field(min_length=1, max_length=10_000, description="Shown below the prompt", exclude_if=is_absent),
        InLanguage,
    ] = None
    show_if: Annotated[
        Condition, Field(description="CEL expression on answers before this step; the step is left out unless it holds")
    ] = None
    check: Annotated[
        tuple[Check, ...],
        Field(strict=False, max_length=50, description="What must hold for the answer", exclude_if=is_absent),
    ] = ()
    default: Annotated[
        Any,
        Field(
            description="Shown as the answer until the participant gives one; may be one `{{ CEL }}`",
            exclude_if=is_absent,
        ),
    ] = None
    image: Annotated[Image | None, Field(description="Shown above the answers", exclude_if=is_absent)] = None
    code: Annotated[Code | None, Field(description="What the question asks, for exports", exclude_if=is_absent)] = None

    computed: ClassVar[Mapping[str, str]] = {}  # of fields that the file writes as "{{ CEL }}", which are None here
    computable: ClassVar[frozenset[str]] = frozenset({"default"})
    takes_answer: ClassVar[bool] = True  # if not, the answer is always null
    is_list: ClassVar[bool] = False
    is_typed: ClassVar[bool] = False  # so that half-typed drafts exist
    value_types: ClassVar[frozenset[type]]  # of an answer, or of the items of a list
    statistics: ClassVar[frozenset[Statistic]]
    answering_s: ClassVar[float]  # median of a demo participant, without reading

    @model_validator(mode="wrap")
    @classmethod
    def _set_computed(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - a file's data
        fields = data if isinstance(data, dict) else {}
        expressions = {name: source for name in cls.computable if (source := computed(fields.get(name))) is not None}
        if not expressions:
            return handler(data)
        others = {name: value for name, value in fields.items() if name not in expressions}
        step = handler({**others, **cls.stand_ins(fields, expressions)})
        step.__dict__["computed"] = expressions
        return step

    @model_serializer(mode="wrap")
    def _add_computed(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**handler(self), **{name: f"{{{{ {source} }}}}" for name, source in self.computed.items()}}

    @field_validator("id")
    @classmethod
    def _is_not_end(cls, value: str) -> str:
        if value == END:
            raise ValueError(f"`{END}` completes a survey and cannot be the id of a step")
        return value

    @classmethod
    def stand_ins(cls, _data: Mapping[str, Any], _computed: Collection[str]) -> Mapping[str, Any]:
        """Return what needed fields have where their expression has no value."""
        return {}

    def check_answer(self, value: object) -> Any:  # noqa: ANN401 - any JSON
        """Return a non-empty answer in stored form, or raise InvalidAnswer."""
        raise NotImplementedError

    def computed_value(self, name: str, value: object) -> Any:  # noqa: ANN401 - of the field's type
        """Return a computed field's value in the field's type, or raise ValidationError."""
        fields = {field: getattr(self, field) for field in type(self).model_fields if field not in self.computable}
        return getattr(type(self).model_validate({**fields, name: value}), name)

    def computed_default(self, value: object) -> object:
        return value

    def can_have_bounds(self, min: Any, max: Any) -> bool:  # noqa: A002, ANN401 - as the fields are named
        return bool(min <= max)

    def accepts(self, value: object) -> bool:
        try:
            self.check_answer(value)
        except InvalidAnswer:
            return False
        return True

    def has_form(self, value: object) -> bool:
        """Return whether a value, or an item of a list, may be an answer with other bounds."""
        return type(value) in self.value_types

    def is_empty(self, value: object) -> bool:
        return value is None

    def accepts_draft(self, value: object) -> bool:
        return len(strict_json.encode(value)) <= DRAFT_LENGTH

    def possible_answers(self) -> tuple[object, ...] | None:
        """Return all answers in stored form; None if too many."""
        return None

    def labels(self) -> Mapping[Value, str]:
        """Return the labels of counted values, in display order."""
        return {}

    def parts(self) -> "Sequence[BaseStep]":
        """Return the fields of a page, or the rows of a grid as steps."""
        return ()

    def option_label(self, _value: object) -> str | None:
        """Return the chosen text, if distinct from the value."""
        return None

    def sample(self, request: SampleRequest) -> object:
        """Return a plausible answer; None if none is known."""
        raise NotImplementedError

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        """Return the export columns; revisions are newest first."""
        raise NotImplementedError

    def _with_null(self, answers: tuple[object, ...]) -> tuple[object, ...]:
        return answers if self.required else (*answers, None)


def require_ordered(low: Any, high: Any) -> None:  # noqa: ANN401 - two numbers or two dates
    if low is not None and high is not None and low > high:
        raise ValueError(f"min {low} is greater than max {high}")
