"""Whether a survey file has the structure that the models define."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from ...core import strict_json
from ...core.formats import validation_message
from ..definition import Survey, parse_structure, text_language
from ..types import STEP_TYPES, BaseStep, Step
from .document import Document, Path
from .findings import Findings
from .hints import missing_braces, wrong_type
from .models import Model

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BUILT_IN = frozenset(get_args(ErrorType))
_SHOULD = re.compile("^.+? should ")
_TAG_ERRORS = frozenset({"union_tag_invalid", "union_tag_not_found"})
_STEP: TypeAdapter[BaseStep] = TypeAdapter(Step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What of a file has the right structure.

    Attributes:
        survey: None if any part of it is wrong.
        steps: the right ones by their index.
    """

    survey: Survey | None
    steps: Mapping[int, BaseStep]


def check_structure(document: Document, models: Mapping[Path, Model], findings: Findings) -> Structure:
    """Add what the models refuse, in any language."""
    messages = _Messages(document, models, findings)
    try:
        survey = parse_structure(strict_json.encode(document.data))
    except ValidationError as error:
        messages.add(error.errors(include_url=False))
        return Structure(survey=None, steps=_right_steps(document))
    try:
        survey.parse_languages()
    except ValidationError as error:
        messages.add(error.errors(include_url=False))
    return Structure(survey=survey, steps=dict(enumerate(survey.steps)))


def _right_steps(document: Document) -> dict[int, BaseStep]:
    found = {}
    for index, step in enumerate(document.steps):
        try:
            found[index] = _STEP.validate_json(strict_json.encode(step), context=text_language(document.data))
        except ValidationError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class _Messages:
    """Pydantic's errors in an author's words."""

    document: Document
    models: Mapping[Path, Model]
    findings: Findings

    def add(self, errors: Sequence[ErrorDetails]) -> None:
        by_path: dict[Path, list[ErrorDetails]] = defaultdict(list)
        for error in errors:
            by_path[self._path(error)].append(error)
        unknown = [path for path, (error, *_) in by_path.items() if error["type"] == "extra_forbidden"]
        meant = {path: self._meant(path) for path in unknown}
        misspelt = {(*path[:-1], name) for path, name in meant.items() if name is not None}
        for path, found in by_path.items():
            if path not in misspelt and not _is_consequence(path, found[0], by_path):
                is_key = found[0]["type"] == "extra_forbidden" or (
                    found[0]["type"] in _TAG_ERRORS and path[-1] != "type"
                )
                self.findings.add(path, self._message(path, found, meant.get(path)), is_key=is_key)

    def _path(self, error: ErrorDetails) -> Path:
        """Return the path of an error, whose location also names members of unions."""
        path: Path = ()
        value = self.document.data
        for part in error["loc"]:
            if len(path) == 2 and part in STEP_TYPES and part == value.get("type"):  # noqa: PLR2004 - steps, the index
                continue
            if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
                path = (*path, part)
                value = self.document.at(path)
        if error["type"] in _TAG_ERRORS:
            return (*path, self._misspelt_type(value) or "type")
        return (*path, str(error["loc"][-1])) if error["type"] == "missing" else path

    def _message(self, path: Path, errors: Sequence[ErrorDetails], meant: str | None) -> str:
        kind, place = errors[0]["type"], show_place(path, self.document)
        within = show_place(path[:-1], self.document) + ": " if show_place(path[:-1], self.document) else ""
        if kind == "extra_forbidden":
            return f"{within}unknown field {path[-1]}{self._hint(path, meant)}"
        if kind == "missing":
            return f"{within}the field {path[-1]} is required"
        if _is_misspelt_type(path, errors[0]):
            return f"unknown field {path[-1]}; did you mean type?"
        if kind in _TAG_ERRORS:
            return self._unknown_type(self.document.at(path))
        kinds = [_KINDS[error["type"]] for error in errors if error["type"] in _KINDS]
        if kinds:
            return wrong_type(path, place, kinds, self.document) + missing_braces(path, self.document)
        words = _words(errors[0]) + missing_braces(path, self.document)
        return f"{place}: {words}" if place else words

    def _meant(self, path: Path) -> str | None:
        model = self.models.get(path[:-1])
        return None if model is None else self.findings.nearest(str(path[-1]), model.model_fields)

    def _hint(self, path: Path, meant: str | None) -> str:
        if meant is not None:
            return f"; did you mean {meant}?"
        model = self.models.get(path[:-1])
        return "" if model is None else f"; there are {', '.join(model.model_fields)}"

    def _misspelt_type(self, step: object) -> str | None:
        """Return the key of a step without a type that may be meant as one."""
        if not isinstance(step, Mapping) or "type" in step:
            return None
        return self.findings.nearest("type", [name for name in step if name not in BaseStep.model_fields])

    def _unknown_type(self, name: object) -> str:
        types = ", ".join(STEP_TYPES)
        if not isinstance(name, str):
            return f"the field type is required: one of {types}"
        meant = self.findings.nearest(name, STEP_TYPES)
        return f"unknown type {name}; " + (
            f"did you mean {meant}? The types are {types}" if meant else f"the types are {types}"
        )


def _is_consequence(path: Path, error: ErrorDetails, by_path: Mapping[Path, object]) -> bool:
    """A list whose items are wrong counts as empty."""
    return error["type"] == "too_short" and any(other[: len(path)] == path != other for other in by_path)


def _words(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"must be {context['expected'].replace(chr(39), '')}"
    if error["type"] in {"string_too_short", "too_short"} and context.get("min_length") == 1:
        return "must not be empty"
    words = validation_message(error)
    is_foreign = error["type"] in _BUILT_IN and error["type"] != "value_error" and words == error["msg"]
    return _SHOULD.sub("must ", words) if is_foreign else words


def _is_misspelt_type(path: Path, error: ErrorDetails) -> bool:
    return error["type"] in _TAG_ERRORS and path[-1] != "type"


def show_place(path: Path, document: Document) -> str:
    """Return e.g. ``options[2].label``, from the step on if it has an id."""
    place = ""
    for part in path[2:] if document.step_id(path) is not None else path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place
