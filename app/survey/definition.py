"""The survey file (SURVEY_FORMAT.md): its models, and loading one from its text.

What can be known to be wrong is refused here, when the survey is loaded, with the file, the place in
it and what is wrong; so nothing after this has to ask whether a survey is sound. Pure: the text comes
from ``app/catalogue.py``.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import re2
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ..core import strict_json
from ..core.formats import DURATION, STEP_ID, SURVEY_ID, duration_us, problem_of
from ..errors import InvalidJson, SurveyFileError
from . import answers as values
from .conditions import Condition, ConditionError, compile_condition
from .graph import Walkway
from .yaml_text import YamlProblem, read_yaml

END = "end"
"""Where a rule goes to complete the survey, and the current step of a completed session."""

_PATTERN_OPTIONS = re2.Options()
_PATTERN_OPTIONS.log_errors = False  # it would write to stderr; the error is raised as well


def _tuple(given: object) -> object:
    """Strict models take no list for a tuple, once a validator of ours has seen the data."""
    return tuple(given) if isinstance(given, list) else given


_AsTuple = BeforeValidator(_tuple)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _bare_option(given: object) -> object:
    """Make {value, label} of an option that is written as its value alone."""
    if isinstance(given, str | int | float) and not isinstance(given, bool):
        return {"value": given, "label": str(given)}
    if isinstance(given, bool):
        raise ValueError("true and false are no options; in YAML put Yes and No into quotes")
    return given


class Option(_Model):
    """One answer that may be chosen."""

    value: Annotated[str, Field(min_length=1, max_length=1000)] | int | float
    label: Annotated[str, Field(max_length=2000)] = ""
    audio: Annotated[str, Field(max_length=2000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _label_from_value(cls, data: object) -> object:
        given = _bare_option(data)
        if isinstance(given, dict) and "label" not in given and "value" in given:
            return {**given, "label": str(given["value"])}
        return given


def _condition_text(given: object) -> object:
    """YAML reads a bare ``true`` as a boolean; as a condition it is the expression ``true``."""
    return str(given).lower() if isinstance(given, bool) else given


class Rule(_Model):
    """Where a step leads, and when."""

    when: Annotated[str | None, BeforeValidator(_condition_text)] = None
    go: str


class _StepBase(_Model):
    id: Annotated[str, Field(pattern=STEP_ID)]
    prompt: Annotated[str, Field(min_length=1, max_length=10_000)]
    audio: Annotated[str, Field(max_length=10_000)] | None = None
    required: bool = True
    next: Annotated[tuple[Rule, ...], _AsTuple] = ()

    @field_validator("id")
    @classmethod
    def _not_the_end(cls, value: str) -> str:
        if value == END:
            raise ValueError("`end` is where a survey is completed, no step can be called so")
        return value

    def check(self, value: object) -> object:
        """Return the answer as it is stored.

        Raises:
            InvalidAnswer: the step does not take this value.
        """
        raise NotImplementedError

    @property
    def every_answer(self) -> tuple[object, ...] | None:
        """All the answers that the step takes, if they are few; else None."""
        return None

    def _with_null(self, answers: tuple[object, ...]) -> tuple[object, ...]:
        return answers if self.required else (*answers, None)


class _OptionsStep(_StepBase):
    type: Literal["choice", "choices"]  # before the options: the revision is a hash in the order of the fields
    options: Annotated[tuple[Option, ...], _AsTuple, Field(min_length=1, max_length=1000)]

    @field_validator("options")
    @classmethod
    def _distinct(cls, options: tuple[Option, ...]) -> tuple[Option, ...]:
        return _distinct_options(options)

    @cached_property
    def offered(self) -> Mapping[str | int | float, str | int | float]:
        """The options' values, each by itself, in order."""
        return {option.value: option.value for option in self.options}


class ChoiceStep(_OptionsStep):
    """One of the options."""

    type: Literal["choice"]

    def check(self, value: object) -> object:
        return values.check_choice(value, self.offered)

    @property
    def every_answer(self) -> tuple[object, ...] | None:
        return self._with_null(tuple(self.offered))


class ChoicesStep(_OptionsStep):
    """Any of the options; by default at least one where an answer is required."""

    type: Literal["choices"]
    min_choices: Annotated[int, Field(ge=0)] | None = None
    max_choices: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_bounds(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("options"), list | tuple):
            return data
        bounds = {"min_choices": int(data.get("required", True) is True), "max_choices": len(data["options"])}
        return {**data, **{name: n for name, n in bounds.items() if data.get(name) is None}}

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        fewest, most = self.min_choices or 0, self.max_choices or len(self.options)
        if fewest > most or most > len(self.options):
            raise ValueError(f"min_choices {fewest} <= max_choices {most} <= {len(self.options)} options must hold")
        return self

    def check(self, value: object) -> object:
        return values.check_choices(value, self.offered, self.min_choices or 0, self.max_choices)


class TextStep(_StepBase):
    """Free text."""

    type: Literal["text"]
    max_length: Annotated[int, Field(ge=1, le=60_000)] = 10_000
    pattern: Annotated[str, Field(max_length=2000)] | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            _compile_pattern(pattern)
        return pattern

    @cached_property
    def fullmatch(self) -> Any:  # noqa: ANN401 - re2 has no types
        """What matches a whole answer; None without a pattern."""
        return None if self.pattern is None else _compile_pattern(self.pattern).fullmatch

    def check(self, value: object) -> object:
        return values.check_text(value, self.max_length, self.fullmatch)


class NumberStep(_StepBase):
    """A finite number."""

    type: Literal["number"]
    min: int | float | None = None
    max: int | float | None = None
    integer: bool = False
    unit: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        _check_bounds(self.min, self.max)
        return self

    def check(self, value: object) -> object:
        if self.integer:
            return values.check_whole_number(value, self.min, self.max)
        return values.check_number(value, self.min, self.max)


class ScaleStep(_StepBase):
    """A whole number between two ends."""

    type: Literal["scale"]
    min: int
    max: int
    min_label: Annotated[str, Field(max_length=500)] | None = None
    max_label: Annotated[str, Field(max_length=500)] | None = None

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        _check_bounds(self.min, self.max)
        if self.max - self.min > _MAX_POINTS:
            raise ValueError(f"a scale has at most {_MAX_POINTS} points; take a number instead")
        return self

    def check(self, value: object) -> object:
        return values.check_whole_number(value, self.min, self.max)

    @property
    def every_answer(self) -> tuple[object, ...] | None:
        return self._with_null(tuple(range(self.min, self.max + 1)))


_MAX_POINTS = 1000


class DateStep(_StepBase):
    """A day of the calendar."""

    type: Literal["date"]
    min: str | None = None
    max: str | None = None

    @field_validator("min", "max")
    @classmethod
    def _is_date(cls, value: str | None) -> str | None:
        if value is not None and not values.is_date(value):
            raise ValueError("must be a real date, as YYYY-MM-DD")
        return value

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        _check_bounds(self.min, self.max)
        return self

    def check(self, value: object) -> object:
        return values.check_date(value, self.min, self.max)


class BooleanStep(_StepBase):
    """True or false."""

    type: Literal["boolean"]

    def check(self, value: object) -> object:
        return values.check_boolean(value)

    @property
    def every_answer(self) -> tuple[object, ...] | None:
        return self._with_null((True, False))


class InfoStep(_StepBase):
    """Something to read; the participant goes on, which answers null."""

    type: Literal["info"]
    required: bool = False

    def check(self, value: object) -> object:
        raise values.InvalidAnswer(f"This step takes no answer but null, not {type(value).__name__}.")

    @property
    def every_answer(self) -> tuple[object, ...] | None:
        return (None,)


Step = Annotated[
    ChoiceStep | ChoicesStep | TextStep | NumberStep | ScaleStep | DateStep | BooleanStep | InfoStep,
    Field(discriminator="type"),
]


class Survey(_Model):
    """One survey, whole and sound.

    Attributes:
        expires_after: e.g. ``30d``; an unfinished session expires this long after its last change.
        access: ``public``: anybody may begin; ``closed``: only who was invited, with a token of his own.
        retention: e.g. ``365d``; a session is erased this long after its last change; None: it is kept.

    Who may come and how long answers are kept is no part of the revision: it holds for sessions of all revisions.
    """

    id: Annotated[str, Field(pattern=SURVEY_ID)]
    title: Annotated[str, Field(min_length=1, max_length=1000)]
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    description: Annotated[str, Field(max_length=10_000)] | None = None
    expires_after: Annotated[str, Field(pattern=DURATION)] | None = None
    access: Literal["public", "closed"] = "public"
    retention: Annotated[str, Field(pattern=DURATION)] | None = None
    steps: Annotated[tuple[Step, ...], _AsTuple, Field(min_length=1, max_length=10_000)]

    def model_post_init(self, _context: object) -> None:
        # What can be known to be wrong is found now, when the survey is loaded.
        self._check_ids()
        _ = self.walkway

    # Cached properties: pydantic's private attributes cost a microsecond at each look, and each turn takes four.
    @cached_property
    def definition(self) -> str:
        """The definition as JSON, with the format's defaults filled in; loading it gives the same revision."""
        return strict_json.encode(self.model_dump(mode="json", exclude={"access", "retention"}))

    @cached_property
    def revision(self) -> str:
        """The first 128 bits, in hex, of the SHA-256 of the definition."""
        return hashlib.sha256(self.definition.encode()).hexdigest()[:32]

    @cached_property
    def walkway(self) -> Walkway:
        """Where each step may lead."""
        return Walkway.build(
            ids=tuple(step.id for step in self.steps),
            rules={step.id: self._compile_rules(index) for index, step in enumerate(self.steps)},
            every_answer={step.id: step.every_answer for step in self.steps},
            end=END,
        )

    @cached_property
    def steps_by_id(self) -> Mapping[str, Step]:
        """The steps by their ids."""
        return {step.id: step for step in self.steps}

    @cached_property
    def shown_steps(self) -> Mapping[str, Mapping[str, Any]]:
        """The steps as clients see them, by their ids."""
        return {step.id: step.model_dump(mode="json", exclude={"next"}) for step in self.steps}

    @property
    def first_step(self) -> str:
        """The id of the step that a walk starts with."""
        return self.steps[0].id

    @cached_property
    def expires_after_us(self) -> int | None:
        """Microseconds without a change after which an unfinished session expires."""
        return duration_us(self.expires_after)

    @cached_property
    def retention_us(self) -> int | None:
        """Microseconds without a change after which a session is erased."""
        return duration_us(self.retention)

    def with_defaults(self, *, expires_after: str | None, retention: str | None) -> "Survey":
        """Return the survey with these durations where it says none itself.

        Its definition and revision stay its own: sessions are pinned to what the file says, and a default of the
        server's can be changed at any time.
        """
        lacking = {
            name: duration
            for name, duration in (("expires_after", expires_after), ("retention", retention))
            if duration is not None and getattr(self, name) is None
        }
        if not lacking:
            return self
        own = {"definition": self.definition, "revision": self.revision}
        copy = self.model_copy(update=lacking)
        for name in lacking:
            copy.__dict__.pop(f"{name}_us", None)  # a cached property, of the duration before
        copy.__dict__.update(own)
        return copy

    def step(self, step_id: str) -> Step | None:
        """Return the step of this id, None where there is none."""
        return self.steps_by_id.get(step_id)

    def shown_step(self, step_id: str) -> Mapping[str, Any] | None:
        """Return the step as clients see it: defaults filled in, without its rules; None where there is none."""
        return self.shown_steps.get(step_id)

    def _check_ids(self) -> None:
        if len(self.steps_by_id) != len(self.steps):
            ids = [step.id for step in self.steps]
            twice = next(step_id for step_id in ids if ids.count(step_id) > 1)
            raise ValueError(f"two steps have the id {twice}")

    def _compile_rules(self, index: int) -> tuple[tuple[Condition | None, str], ...]:
        step = self.steps[index]
        compiled = []
        for number, rule in enumerate(step.next):
            place = f"step {step.id}, next[{number}]"
            if rule.go != END and rule.go not in self.steps_by_id:
                raise ValueError(f"{place}: go to {rule.go!r}, but there is no such step")
            try:
                condition = None if rule.when is None else compile_condition(rule.when, frozenset(self.steps_by_id))
            except ConditionError as error:
                raise ValueError(f"{place}: when: {error}") from error
            compiled.append((condition, rule.go))
        return tuple(compiled)


def load(text: str, file: str) -> Survey:
    """Return the survey that the text (YAML, and so JSON too) defines.

    Args:
        text: the content of a survey file.
        file: its name, for messages.

    Raises:
        SurveyFileError: naming the file, the place in it and what is wrong.
    """
    try:
        document = strict_json.decode(text) if file.endswith(".json") else read_yaml(text)
        strict_json.check(document, "the file")
    except YamlProblem as problem:
        raise SurveyFileError(file, problem.place, problem.problem) from problem
    except InvalidJson as error:
        raise SurveyFileError(file, error.place, error.problem) from error
    if not isinstance(document, dict):
        raise SurveyFileError(file, "", "a survey file holds one mapping with id, title, language and steps")
    return load_definition(strict_json.encode(document), file)


def load_definition(definition: str, name: str) -> Survey:
    """Return the survey of a definition in JSON, as :func:`dump_definition` made it.

    Raises:
        SurveyFileError: naming the place and what is wrong.
    """
    try:
        return Survey.model_validate_json(definition)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SurveyFileError(name, _place(first["loc"]), problem_of(first)) from error


def dump_definition(survey: Survey) -> str:
    """Return the definition as JSON, as the survey's file has it; loading it gives the same revision."""
    return survey.definition


_STEP_TYPES = frozenset({"choice", "choices", "text", "number", "scale", "date", "boolean", "info"})


def _place(location: tuple[int | str, ...]) -> str:
    """Return e.g. ``steps[3].options`` for pydantic's location (which names the union's member too)."""
    place = ""
    for index, part in enumerate(location):
        if isinstance(part, int):
            place += f"[{part}]"
        elif not (index == 2 and part in _STEP_TYPES):  # noqa: PLR2004 - steps, the index, the type
            place += f".{part}" if place else part
    return place


def _distinct_options(options: tuple[Option, ...]) -> tuple[Option, ...]:
    seen: set[str | int | float] = set()
    for option in options:
        if option.value in seen:
            raise ValueError(f"two options have the value {option.value!r}")
        seen.add(option.value)
    return options


def _check_bounds(low: Any, high: Any) -> None:  # noqa: ANN401 - two numbers or two dates
    if low is not None and high is not None and low > high:
        raise ValueError(f"min {low} is greater than max {high}")


def _compile_pattern(pattern: str) -> Any:  # noqa: ANN401 - re2 has no types
    try:
        return re2.compile(pattern, _PATTERN_OPTIONS)
    except (re2.error, re.error) as error:
        reason = error.args[0] if error.args else error
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not a pattern of RE2 (linear time; no look-around, no back references): {text}") from error
