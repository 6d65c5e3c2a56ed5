"""Whether a survey file has the structure of the models."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from ...core import strict_json
from ...core.formats import validation_message
from ..definition import Survey, parse_structure, text_language
from ..parameters import Parameter
from ..types import STEP_TYPES, BaseStep, PageStep, Step
from ..types.info import InfoStep
from .document import Document, Path
from .findings import Findings
from .hints import missing_braces, wrong_type
from .places import names_of

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BUILT_IN = frozenset(get_args(ErrorType))
_KEY = "[key]"
"""Pydantic's name of a mapping's key, in the location of an error."""

_SHOULD = re.compile("^.+? should ")
_TAG_ERRORS = frozenset({"union_tag_invalid", "union_tag_not_found"})
_STEP: TypeAdapter[BaseStep] = TypeAdapter(Step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The parts of a file with the right structure: steps without wrong fields; no survey if any part is wrong."""

    survey: Survey | None
    steps: Mapping[int, BaseStep]
    parameters: Mapping[str, Parameter]

    def steps_and_fields(self) -> Iterator[tuple[Path, BaseStep]]:
        """Yield each step, after a page its fields, with its path."""
        for index, step in self.steps.items():
            yield ("steps", index), step
            if isinstance(step, PageStep):
                yield from ((("steps", index, "fields", number), field) for number, field in enumerate(step.fields))


def check_structure(document: Document, findings: Findings) -> Structure:
    definition = strict_json.encode(document.data)
    messages = _Messages(document, findings)
    parsed: dict[str | None, Survey] = {}
    for tag in (None, *document.languages[1:]):
        try:
            parsed[tag] = parse_structure(definition, tag)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            untyped = [one for one in errors if one["type"] in _TAG_ERRORS]  # which are added with the names
            untyped_steps = dict.fromkeys(map(messages.path, untyped))
            messages.add([*errors, *(one for at in untyped_steps for one in _errors_of_any_type(at, document, tag))])
    survey = parsed.pop(None, None)
    if survey is None:
        steps = _right_steps(document, {path[:3] for path in messages.added})
        return Structure(survey=None, steps=steps, parameters=_right_parameters(document))
    for tag, texts in parsed.items():
        survey.add_language(str(tag), texts)
    return Structure(survey=survey, steps=dict(enumerate(survey.steps)), parameters=survey.parameters)


def _errors_of_any_type(place: Path, document: Document, tag: str | None) -> list[ErrorDetails]:
    fields = {name: value for name, value in document.at(place).items() if name in BaseStep.model_fields}
    try:
        InfoStep.model_validate_json(
            strict_json.encode({**fields, "type": "info"}), context=text_language(document.data, tag)
        )
    except ValidationError as error:
        return [{**one, "loc": (*place, *one["loc"])} for one in error.errors(include_url=False)]
    return []


def _right_steps(document: Document, wrong: Collection[Path]) -> dict[int, BaseStep]:
    found = {}
    for index, step in enumerate(document.steps):
        fields = step if isinstance(step, Mapping) else {}
        right = {name: value for name, value in fields.items() if ("steps", index, name) not in wrong}
        try:
            definition = strict_json.encode({"prompt": "?", **right})  # what it asks plays no part
            found[index] = _STEP.validate_json(definition, context=text_language(document.data))
        except ValidationError:
            continue
    return found


def _right_parameters(document: Document) -> dict[str, Parameter]:
    found = {}
    for name in names_of(document, "parameters"):
        with suppress(ValidationError):
            found[name] = Parameter.model_validate_json(strict_json.encode(document.at(("parameters", name))))
    return found


@dataclass(frozen=True, slots=True)
class _Messages:
    """Pydantic's errors in an author's words."""

    document: Document
    findings: Findings
    added: set[Path] = field(default_factory=set)

    def add(self, errors: Sequence[ErrorDetails]) -> None:
        by_path: dict[Path, list[ErrorDetails]] = defaultdict(list)
        for error in errors:
            by_path[self.path(error)].append(error)
        for path, found in by_path.items():
            if found[0]["type"] not in _TAG_ERRORS and not _is_consequence(path, found[0], by_path):
                self.findings.add(path, self._message(path, found), is_key=found[0]["loc"][-1] == _KEY)
        self.added.update(by_path)

    def path(self, error: ErrorDetails) -> Path:
        path: Path = ()
        value = self.document.data
        for part in error["loc"]:
            is_item = path[-2:-1] in {("steps",), ("fields",)} and isinstance(value, dict)
            if is_item and part in STEP_TYPES and part == value.get("type"):
                continue
            if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
                path = (*path, part)
                value = self.document.at(path)
        return (*path, str(error["loc"][-1])) if error["type"] == "missing" else path

    def _message(self, path: Path, errors: Sequence[ErrorDetails]) -> str:
        place = self.document.place(path)
        if errors[0]["type"] == "missing":
            within = self.document.place(path[:-1])
            return f"{within and f'{within}: '}the field {path[-1]} is required"
        kinds = [_KINDS[error["type"]] for error in errors if error["type"] in _KINDS]
        if len(kinds) == len(errors):
            return wrong_type(path, place, kinds, self.document) + missing_braces(path, self.document)
        of_right_type = next(error for error in errors if error["type"] not in _KINDS)
        words = _words(of_right_type) + missing_braces(path, self.document)
        return f"{place}: {words}" if place else words


def _is_consequence(path: Path, error: ErrorDetails, by_path: Mapping[Path, object]) -> bool:
    # A list whose items are wrong counts as empty.
    return error["type"] == "too_short" and any(other[: len(path)] == path != other for other in by_path)


def _words(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"must be {context['expected'].replace(chr(39), '')}"
    if error["type"] in {"string_too_short", "too_short"} and context.get("min_length") == 1:
        return "must not be empty"
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] == _KEY:
        return "a name has up to 64 letters, digits and _, and cannot begin with a digit"
    words = validation_message(error)
    is_foreign = error["type"] in _BUILT_IN and error["type"] != "value_error" and words == error["msg"]
    return _SHOULD.sub("must ", words) if is_foreign else words
