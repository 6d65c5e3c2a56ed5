"""Which model describes which part of a survey file."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..definition import Survey
from ..texts import is_text_field
from ..types import STEP_TYPES, BaseStep
from .document import Document, Path
from .findings import Findings

Model = type[BaseModel]


def correct_names(document: Document, findings: Findings) -> tuple[Document, Mapping[Path, Model]]:
    """Add unknown fields and types; return the document without them, and the models of its mappings by path.

    Names that are meant replace unknown ones, so that mistakes behind them are found.
    """
    names = _Names(document, findings)
    data = names.correct((), document.data, Survey)
    return dataclasses.replace(document, data=data, renamed=names.renamed), names.models


def fields_by_name(model: Model) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _models(annotation: object) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _names_within(model: Model) -> Iterator[str]:
    for name, info in fields_by_name(model).items():
        yield name
        for part in _models(info.annotation):
            yield from _names_within(part)


_ALL_NAMES = frozenset(_names_within(Survey))
"""Of all models: an author who writes one in another place means no other name."""


class _Names:
    def __init__(self, document: Document, findings: Findings) -> None:
        self._document = document
        self._findings = findings
        self.models: dict[Path, Model] = {}
        self.renamed: dict[Path, str] = {}
        findings.document = dataclasses.replace(document, renamed=self.renamed)

    def correct(self, path: Path, part: Mapping[str, Any], model: Model) -> dict[str, Any]:
        fields = fields_by_name(model)
        corrected = {name: value for name, value in part.items() if name in fields}
        for name in [name for name in part if name not in fields]:
            meant, hint = self._meant(name, fields)
            self._add_unknown((*path, name), hint)
            if meant is not None and meant not in corrected:
                corrected[meant] = part[name]
                self.renamed[*path, meant] = name
        return self._correct_fields(path, corrected, model)

    def _correct_fields(self, path: Path, part: Mapping[str, Any], model: Model) -> dict[str, Any]:
        self.models[path] = model
        fields = fields_by_name(model)
        return {
            name: self._correct_within((*path, name), value, fields[name].annotation) if name in fields else value
            for name, value in part.items()
        }

    def _meant(self, name: str, fields: Mapping[str, FieldInfo]) -> tuple[str | None, str]:
        if name in self._document.languages:
            text = next((field for field, info in fields.items() if is_text_field(info)), "prompt")
            return None, f'write {text}: {{{name}: "..."}}'
        visible = "".join(filter(str.isprintable, name))
        if visible in fields:
            return visible, f"write {visible} without the invisible character"
        meant = None if name in _ALL_NAMES else self._findings.nearest(name, fields)
        return meant, f"did you mean {meant}?" if meant is not None else f"the fields are {', '.join(fields)}"

    def _correct_within(self, path: Path, value: Any, annotation: object) -> Any:  # noqa: ANN401 - a part of the file
        models = tuple(_models(annotation))
        if models and isinstance(value, list) and get_origin(annotation) is tuple:
            return [self._correct_part((*path, index), item, models) for index, item in enumerate(value)]
        if models and isinstance(value, Mapping) and get_origin(annotation) is Mapping:
            return {name: self._correct_part((*path, name), item, models) for name, item in value.items()}
        return self._correct_part(path, value, models) if get_origin(annotation) is not tuple else value

    def _correct_part(self, path: Path, part: Any, models: tuple[Model, ...]) -> Any:  # noqa: ANN401 - a part of the file
        if not models or not isinstance(part, Mapping):
            return part
        if len(models) == 1:
            return self.correct(path, part, models[0])
        types = {name: model for name, model in STEP_TYPES.items() if model in models}
        step = self._with_type(path, part, types)
        model = types.get(str(step.get("type")))
        if model is None:
            return self._correct_fields(path, step, BaseStep)  # other names may be those of the type that is meant
        return self.correct(path, step, model)

    def _with_type(self, path: Path, step: Mapping[str, Any], known: Collection[str]) -> Mapping[str, Any]:
        types = ", ".join(known)
        place = self._document.place(path)
        within = f"{place}: " if "fields" in path else ""
        if "type" not in step:
            misspelt = self._findings.nearest("type", [name for name in step if name not in BaseStep.model_fields])
            if misspelt is not None:
                self._add_unknown((*path, misspelt), "did you mean type?")
                self.renamed[*path, "type"] = misspelt
                step = {"type" if name == misspelt else name: value for name, value in step.items()}
        written = step.get("type")
        if not isinstance(written, str):
            self._findings.add((*path, "type"), f"{within}the field type is required: one of {types}")
        elif written in STEP_TYPES and written not in known:
            self._findings.add(
                (*path, "type"), f"{within}a field of a page can't be a {written}; the types are {types}"
            )
        elif written not in known:
            meant = self._findings.nearest(written, known)
            hint = f"did you mean {meant}? The types are {types}" if meant else f"the types are {types}"
            self._findings.add((*path, "type"), f"{within}unknown type {written}; {hint}")
            return step if meant is None else {**step, "type": meant}
        return step

    def _add_unknown(self, path: Path, hint: str) -> None:
        within = self._document.place(path[:-1])
        self._findings.add(path, f"{within and f'{within}: '}unknown field {path[-1]}; {hint}", is_key=True)
