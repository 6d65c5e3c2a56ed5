"""A survey as its file defines it; only the package ``checks`` refuses wrong files."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from operator import not_
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from ..core import strict_json
from ..core.formats import DURATION, LANGUAGE, MAX_LANGUAGE_LENGTH, SURVEY_ID, duration_us, validation_message
from ..core.languages import best_match
from ..errors import InvalidJson, SurveyFileError
from .client_steps import ClientSteps
from .conditions import Conditions, compile_conditions
from .endings import Ending
from .expressions import RESERVED_WORDS
from .parameters import MAX_PARAMETERS, RESERVED, Parameter
from .piping import filled_fields, insertions_of, text_without_session
from .step_graph import StepGraph
from .texts import SOURCES, InLanguage, LanguageTag, OneLine, TextLanguage, with_maps
from .types import STEP_TYPES, FieldStep, PageStep, Step, Value
from .types.step import Expression, Flag, StrictModel, is_absent

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""Of a parameter or a computed value: a name in expressions."""


def _names(reserved: Iterable[str] = ()) -> dict[str, Any]:
    names = {"not": {"enum": sorted({*RESERVED_WORDS, *reserved})}}
    return {"additionalProperties": False, "propertyNames": names}


def _is_free(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"a parameter cannot be called {name}: the address of a survey has this name already")
    return name


ParameterName = Annotated[Name, AfterValidator(_is_free)]

_IN_LANGUAGES = ("title", "description", "parameters", "steps", "end")  # fields with texts


class Survey(StrictModel):
    """A survey: its texts, its steps, and how long its sessions last."""

    id: Annotated[
        str, Field(pattern=SURVEY_ID, description="Identifies the survey in addresses, exports and the database")
    ]
    title: Annotated[str, Field(min_length=1, max_length=1000, description="Heading of the survey"), OneLine]
    language: Annotated[
        str,
        Field(
            pattern=LANGUAGE,
            json_schema_extra={"maxLength": MAX_LANGUAGE_LENGTH},  # of files: stored surveys may have longer ones
            description=(
                "Language of plain texts as a BCP 47 tag, such as en or de-AT, and the fallback of others; selects how "
                "numbers are read, the direction of the page and the voice of audio mode"
            ),
        ),
    ]
    description: Annotated[
        str | None, Field(max_length=10_000, description="Shown under the title before the first step"), InLanguage
    ] = None
    expires_after: Annotated[
        str | None,
        Field(
            pattern=DURATION,
            description="An unfinished session expires this long after its last change, such as 30d (s, m, h, d or w)",
        ),
    ] = None
    access: Annotated[
        Literal["public", "closed"],
        Field(description="`public`: anyone can start the survey; `closed`: only invited participants can"),
    ] = "public"
    retention: Annotated[
        str | None,
        Field(pattern=DURATION, description="A session is erased this long after its last change, such as 365d"),
    ] = None
    steps: Annotated[
        tuple[Step, ...],
        Field(min_length=1, max_length=10_000, description="The steps in order; the first one starts the survey"),
    ]
    # Later fields are part of a revision only where a file uses them, as those of steps.
    languages: Annotated[
        tuple[LanguageTag, ...],
        Field(
            strict=False,
            max_length=100,
            description="Languages to choose from, with maps from these tags to texts; default: `language` alone",
            json_schema_extra={"uniqueItems": True},
            exclude_if=is_absent,
        ),
    ] = ()
    timezone: Annotated[
        str | None,
        Field(description="Time zone of `today` and `now`, such as Europe/Berlin; default: UTC", exclude_if=is_absent),
    ] = None
    parameters: Annotated[
        Mapping[ParameterName, Parameter],
        Field(
            max_length=MAX_PARAMETERS,
            description="What is known before the first question, by name",
            json_schema_extra=_names(RESERVED),
            exclude_if=not_,
        ),
    ] = {}
    values: Annotated[
        Mapping[Name, Expression],
        Field(
            max_length=100,
            description="Computed values by name, in order: each a CEL expression, which can read those before it",
            json_schema_extra=_names(),
            exclude_if=not_,
        ),
    ] = {}
    markdown: Annotated[Flag, Field(description="`true`: texts are CommonMark")] = False
    end: Annotated[
        tuple[Ending, ...],
        Field(
            strict=False,
            max_length=100,
            description="What is shown at the end: the first entry whose condition holds",
            exclude_if=is_absent,
        ),
    ] = ()

    # Pydantic's private attributes cost a microsecond an access, four times a turn.
    @cached_property
    def definition(self) -> str:
        """As JSON with defaults, without access and retention, which apply to all revisions."""
        dumped = self.model_dump(mode="json", exclude={"access", "retention"}, context=SOURCES)
        return strict_json.encode(with_maps(dumped, self.document or None))

    @cached_property
    def document(self) -> Mapping[str, Any]:
        return {}

    def in_language(self, tag: str | None) -> "Survey":
        """Return the survey in the language that fits a tag best, else in its own."""
        best = self._translation(tag)
        if best is None:
            return self
        if best not in self.translations:
            self.translations[best] = self._translate(best)
        return self.translations[best]

    def has_texts(self, tag: str | None) -> bool:
        best = self._translation(tag)
        return best is None or best in self.parsed_texts

    def _translation(self, tag: str | None) -> str | None:
        if tag is None or tag == self.language:
            return None
        if tag in self.parsed_texts:
            return tag
        best = best_match((tag,), self.languages) if self.document else None
        return None if best == self.language else best

    @cached_property
    def offered_languages(self) -> tuple[str, ...]:
        return self.languages if self.language in self.languages else (self.language, *self.languages)

    @cached_property
    def has_languages(self) -> bool:
        return len(self.offered_languages) > 1

    def offered_language(self, *wanted: str) -> str | None:
        return best_match(wanted, self.offered_languages)

    @cached_property
    def translations(self) -> dict[str, "Survey"]:
        return {}

    @cached_property
    def parsed_texts(self) -> dict[str, Mapping[str, Any]]:
        """By language, the fields with texts; none where they are invalid."""
        return {}

    def add_language(self, tag: str, texts: "Survey") -> None:
        self.parsed_texts[tag] = {name: getattr(texts, name) for name in _IN_LANGUAGES}

    def _translate(self, tag: str) -> "Survey":
        if tag not in self.parsed_texts:
            try:
                self.add_language(tag, parse_structure(strict_json.encode(self.document), tag))
            except ValidationError:  # of another release
                self.parsed_texts[tag] = {}
        texts = self.parsed_texts[tag]
        return self._with_texts({**texts, "shown_language": tag}) if texts else self

    def _with_texts(self, texts: Mapping[str, Any]) -> "Survey":
        shared = {name: getattr(self, name) for name in ("definition", "revision", "graph")}
        survey = self.model_copy(update={**shared, **texts})
        for cached in ("steps_by_id", "questions", "client_steps", "insertions", "fixed_steps", "without_session"):
            survey.__dict__.pop(cached, None)
        return survey

    @cached_property
    def without_session(self) -> "Survey":
        """As exports show it: each insertion has a fixed text."""
        texts = filled_fields(self, lambda source: text_without_session(self.conditions.insertion(source)))
        return self._with_texts(texts) if texts else self

    @cached_property
    def shown_language(self) -> str:
        return self.language

    @cached_property
    def revision(self) -> str:
        """The first 128 bits of the definition's SHA-256, in hex."""
        return hashlib.sha256(self.definition.encode()).hexdigest()[:32]

    @cached_property
    def graph(self) -> StepGraph:
        return StepGraph.build(
            compile_conditions(self.steps, [ending.when for ending in self.end], self.values, self.parameters),
            possible_answers={step.id: step.possible_answers() for step in self.steps},
        )

    @cached_property
    def steps_by_id(self) -> Mapping[str, Step]:
        return {step.id: step for step in self.steps}

    @cached_property
    def client_steps(self) -> Mapping[str, Mapping[str, Any]]:
        return ClientSteps(self.steps_by_id)

    @cached_property
    def conditions(self) -> Conditions:
        return self.graph.conditions

    @cached_property
    def fixed_steps(self) -> frozenset[str]:
        """Those that look the same in every session."""
        is_random = (
            self.conditions.owners.get(one.id, one.id)
            for one in self.questions.values()
            if getattr(one, "order", None) == "random"
        )
        return frozenset(self.steps_by_id) - self.conditions.varying - self.insertions.keys() - frozenset(is_random)

    @cached_property
    def insertions(self) -> Mapping[str, frozenset[str]]:
        found = {step.id: frozenset(insertions_of(step)) for step in self.steps}
        return {step: sources for step, sources in found.items() if sources}

    @cached_property
    def questions(self) -> Mapping[str, Step | FieldStep]:
        """What has an answer of its own: fields in place of their pages."""
        return {one.id: one for step in self.steps for one in (step.fields if isinstance(step, PageStep) else (step,))}

    def label(self, step_id: str, value: object) -> str | None:
        step = self.questions.get(step_id)
        return None if step is None or not isinstance(value, Value) else step.labels().get(value)

    @cached_property
    def adds_to_answers(self) -> bool:
        """Whether answers' events have more than those of earlier releases."""
        return self.has_languages or bool(self.end) or bool(self.values)

    @cached_property
    def expires_after_us(self) -> int | None:
        return duration_us(self.expires_after)

    @cached_property
    def retention_us(self) -> int | None:
        return duration_us(self.retention)

    def with_defaults(self, *, expires_after: str | None, retention: str | None) -> "Survey":
        """Return the survey with these durations where its file sets none; the revision stays."""
        update: dict[str, Any] = {name: getattr(self, name) for name in ("definition", "revision", "parsed_texts")}
        update["translations"] = {}
        for name, duration in (("expires_after", expires_after), ("retention", retention)):
            if duration is not None and getattr(self, name) is None:
                update |= {name: duration, f"{name}_us": duration_us(duration)}
        return self.model_copy(update=update)

    def step(self, step_id: str) -> Step | None:
        return self.steps_by_id.get(step_id)


def parse_definition(definition: str, name: str) -> Survey:
    """Return the survey of a stored definition, whose expressions are not checked, or raise SurveyFileError."""
    try:
        survey = parse_structure(definition)
    except InvalidJson as error:
        raise SurveyFileError(name, error.place, error.problem) from error
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A misspelt field is also a missing one; its name is the better hint.
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        raise SurveyFileError(name, _place(first["loc"]), validation_message(first)) from error
    survey.__dict__["definition"] = definition  # and with it the revision, however this release would write it
    return survey


def parse_structure(definition: str, tag: str | None = None) -> Survey:
    document = strict_json.decode(definition)
    survey = Survey.model_validate_json(definition, context=text_language(document, tag))
    survey.__dict__["document"] = document
    return survey


def text_language(document: Any, tag: str | None = None) -> TextLanguage:  # noqa: ANN401 - JSON of any kind
    fields = document if isinstance(document, dict) else {}
    language = str(fields.get("language"))
    return TextLanguage(language if tag is None else tag, language, fields.get("markdown") is True)


def survey_json_schema() -> dict[str, Any]:
    """Return a survey file's JSON Schema, which can't check rules."""
    schema = Survey.model_json_schema(mode="validation")
    for step_type in STEP_TYPES.values():
        model = schema["$defs"][step_type.__name__]
        model["properties"]["type"]["description"] = model["description"]
        for name, field in step_type.model_fields.items():
            if field.exclude:
                del model["properties"][name]
        for name in step_type.computable:
            model["properties"][name] = _or_computed(model["properties"][name])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _or_computed(field: dict[str, Any]) -> dict[str, Any]:
    notes: dict[str, Any] = {name: field[name] for name in ("title", "description", "default") if name in field}
    plain = {name: rule for name, rule in field.items() if name not in notes}
    if not plain:
        return field  # takes any value already
    return {**notes, "anyOf": [plain, {"type": "string", "pattern": r"^\{\{[\s\S]*\}\}$"}]}


def _place(location: tuple[int | str, ...]) -> str:
    """Return e.g. ``steps[3].options`` for pydantic's location, without the union's member."""
    place = ""
    for index, part in enumerate(location):
        if isinstance(part, int):
            place += f"[{part}]"
        elif not (location[index - 2 : index - 1] in {("steps",), ("fields",)} and part in STEP_TYPES):
            place += f".{part}" if place else part
    return place
