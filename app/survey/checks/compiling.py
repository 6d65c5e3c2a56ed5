"""Mistakes in the words and names of expressions."""

import re
from collections.abc import Mapping
from dataclasses import replace

from ..expressions import Expression, InvalidExpression, compile_expression
from ..texts import computed
from .document import Document
from .findings import Findings
from .hints import first_of
from .places import Place, names_in, step_indexes

_AT = re.compile(r" at character (\d+)")
_UNKNOWN_NAME = re.compile(r"'(\w+)' does not exist")
_UNKNOWN_MEMBER = re.compile(r"(answers|parameters|values)\.(\w+) names a \w+ that is not in the survey")
_MEMBERS = ("answers", "parameters", "values")

_CONSTANTS = {"True": "true", "False": "false", "None": "null", "NULL": "null", "undefined": "null"}


class Compiler:
    """Compiles the expressions of a file."""

    def __init__(self, document: Document, findings: Findings) -> None:
        self._document = document
        self._findings = findings
        self._names = names_in(document)

    def compile(self, place: Place) -> Expression | None:
        """Return even an expression that names what is not in the survey."""
        names = replace(self._names, answer=place.has_answer, texts=place.offset is not None)
        try:
            return compile_expression(place.source, names)
        except InvalidExpression as error:
            messages = error.args
        for message in messages:
            self._add_invalid(place, message)
            if found := _UNKNOWN_MEMBER.fullmatch(message):
                names = replace(names, **{found[1]: getattr(names, found[1]) | {found[2]}})
        try:
            return compile_expression(place.source, names)
        except InvalidExpression:
            return None

    def _add_invalid(self, place: Place, message: str) -> None:
        without_braces, bare = computed(place.source), _UNKNOWN_NAME.match(message)
        if place.offset is not None and not place.source:
            message = f"an insertion needs an expression, such as answers.{self._example(place)}"
        elif without_braces is not None:
            message = f"{'a condition' if place.is_condition else 'a value'} has no braces; write {without_braces}"
        elif bare is not None:
            message = self._unknown(bare[1], place, message)
        at, unknown = _AT.search(message), _UNKNOWN_MEMBER.fullmatch(message)
        parts = None if unknown is None or unknown[1] != "answers" else _parts_of(unknown[2], self._document)
        if parts is not None:
            message, unknown = parts, None
        hint = "" if unknown is None else self._meant(unknown[1], unknown[2])
        offset = place.offset
        if at is not None and place.field is None:
            offset = (offset or 0) + int(at[1]) - 1
        problem = f"{self._document.place(place.path)}: {_AT.sub('', message)}{hint}"
        self._findings.add(place.path, problem, offset=offset)

    def _unknown(self, name: str, place: Place, message: str) -> str:
        if name in {"parameters", "values"}:
            return f"the survey has no {name}"
        mapping = self._mapping_of(name)
        problem = f"{name!r} does not exist"
        if mapping is not None:
            return f"{problem}; write {mapping}.{name}"
        if name == "answer":
            return f"{problem} here; write answers and the id of the step, such as answers.{self._example(place)}"
        meant = _CONSTANTS.get(name) or next(
            (one for one in self._names.variables if one in {name.lower(), f"{name.lower()}s"}), None
        )
        return f'{message}; write "{name}" for a text' if meant is None else f"{problem}; did you mean {meant}?"

    def _meant(self, mapping: str, name: str) -> str:
        elsewhere = self._mapping_of(name)
        if elsewhere is not None:
            return f"; write {elsewhere}.{name}"
        meant = self._findings.nearest(name, getattr(self._names, mapping))
        return "" if meant is None else f"; did you mean {meant}?"

    def _mapping_of(self, name: str) -> str | None:
        return next((mapping for mapping in _MEMBERS if name in getattr(self._names, mapping)), None)

    def _example(self, place: Place) -> str:
        own = None if place.step is None else place.step.id
        if own is not None and "check" in place.path:
            return own
        return min(self._names.answers - {own}, default="a")


def _parts_of(name: str, document: Document) -> str | None:
    index = step_indexes(document).get(name)
    names = [] if index is None else [f"answers.{field}" for field in _ids(document.fields(index))]
    if names:
        return f"answers.{name} is a page; write the answer of a field: {first_of(names)}"
    for step_id, index in step_indexes(document).items():
        if name in _ids(document.at(("steps", index, "rows"))):
            return f"{name} is a row of the grid {step_id}; write answers.{step_id}.{name}"
    return None


def _ids(parts: object) -> list[str]:
    ids = [part.get("id") for part in (parts if isinstance(parts, list) else ()) if isinstance(part, Mapping)]
    return [one for one in ids if isinstance(one, str)]
