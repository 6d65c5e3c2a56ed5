"""What all step types have in common, and what each defines."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ...core import strict_json
from ...core.formats import STEP_ID
from ..state import END
from .columns import AnswerColumns

T = TypeVar("T")

DRAFT_LENGTH = 1000
"""The most characters of a draft's JSON, where answers are shorter."""

Value = str | int | float | bool
"""An answer, or one item of a list."""

Statistic = Literal["labels", "numbers", "lengths", "years"]
"""Counts by label, number, length of text, or year."""


class InvalidAnswer(ValueError):
    """The message is for the participant."""


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
    """What a sample depends on.

    Attributes:
        level: 0 (lowest answer) to 1 (highest).
        lean: 0 to 1, one value a step: which unordered answers are frequent.
    """

    random: Random
    level: float
    lean: float
    today: datetime.date


def _condition_text(value: object) -> object:
    """YAML reads a bare ``true`` as a boolean; the condition is the expression ``true``."""
    return str(value).lower() if isinstance(value, bool) else value


class Rule(StrictModel):
    """Where a step leads, and when."""

    when: Annotated[
        str | None,
        BeforeValidator(_condition_text, json_schema_input_type=str | bool | None),
        Field(description="CEL expression on `answer` and `answers`; without it the rule always applies"),
    ] = None
    go: Annotated[str, Field(description="Id of the step to go to; `end` completes the survey")]


class BaseStep(StrictModel):
    """One step of a survey.

    A type is a subclass in a module of its own, listed in ``STEP_TYPES``. It defines its fields and the methods and
    class variables below; everything else in the application asks the type.

    Attributes:
        takes_answer: whether participants answer the step; if not, its answer is always null.
        is_list: whether an answer is a list of values.
        is_typed: whether participants type the answer, so that half-typed drafts exist.
        value_types: the Python types of an answer, or of the items of a list.
        statistics: what analytics compute.
        answering_s: median seconds that a demo participant takes to answer, without reading.
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
    prompt: Annotated[str, Field(min_length=1, max_length=10_000, description="The question, in plain text")]
    audio: Annotated[
        str | None, Field(max_length=10_000, description="What audio mode speaks instead of the prompt")
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

    takes_answer: ClassVar[bool] = True
    is_list: ClassVar[bool] = False
    is_typed: ClassVar[bool] = False
    value_types: ClassVar[frozenset[type]]
    statistics: ClassVar[frozenset[Statistic]]
    answering_s: ClassVar[float]

    @field_validator("id")
    @classmethod
    def _is_not_end(cls, value: str) -> str:
        if value == END:
            raise ValueError(f"`{END}` completes a survey and cannot be the id of a step")
        return value

    def check(self, value: object) -> Any:  # noqa: ANN401 - any JSON
        """Return a non-empty answer in stored form.

        Raises:
            InvalidAnswer: it is not accepted.
        """
        raise NotImplementedError

    def accepts(self, value: object) -> bool:
        try:
            self.check(value)
        except InvalidAnswer:
            return False
        return True

    def is_empty(self, value: object) -> bool:
        return value is None

    def accepts_draft(self, value: object) -> bool:
        """Return whether a draft, which is not checked, is no longer than an answer may be."""
        return len(strict_json.encode(value)) <= DRAFT_LENGTH

    def possible_answers(self) -> tuple[object, ...] | None:
        """Return all answers in stored form; None if too many."""
        return None

    def labels(self) -> Mapping[Value, str]:
        """Return the labels of counted values, in display order."""
        return {}

    def option_label(self, _value: object) -> str | None:
        """Return the chosen text, if distinct from the value."""
        return None

    def sample(self, request: SampleRequest) -> object:
        """Return a plausible answer; None if none is known."""
        raise NotImplementedError

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        """Return the export columns.

        Args:
            revisions: newest first; not empty.
        """
        raise NotImplementedError

    def _with_null(self, answers: tuple[object, ...]) -> tuple[object, ...]:
        return answers if self.required else (*answers, None)


def newest(revisions: Mapping[str, T]) -> T:
    """Return the first of the revisions."""
    return next(iter(revisions.values()))


def require_ordered(low: Any, high: Any) -> None:  # noqa: ANN401 - two numbers or two dates
    """Raise ValueError if ``min`` is greater than ``max``."""
    if low is not None and high is not None and low > high:
        raise ValueError(f"min {low} is greater than max {high}")
