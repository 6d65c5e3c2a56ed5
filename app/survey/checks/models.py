"""Which model describes which part of a survey file."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from ..definition import Survey
from ..texts import is_text_field
from ..types import STEP_TYPES
from .document import Document, Path

Model = type[BaseModel]


def models_by_path(document: Document) -> Mapping[Path, Model]:
    """Return the model of each mapping in the file, where one is known."""
    return dict(_walk((), document.data, Survey))


def texts(models: Mapping[Path, Model], document: Document) -> Iterator[Path]:
    """Yield the path of each text that the file may write in several languages."""
    for path, model in models.items():
        for name in document.at(path):
            field = model.model_fields.get(name)
            if field is not None and is_text_field(field):
                yield (*path, name)


def _walk(path: Path, part: Mapping[str, Any], model: Model) -> Iterator[tuple[Path, Model]]:
    yield path, model
    for name, value in part.items():
        field = model.model_fields.get(name)
        choices = () if field is None else tuple(_models(field.annotation))
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, item in items if choices else ():
            chosen = _choose(choices, item) if isinstance(item, Mapping) else None
            if chosen is not None:
                yield from _walk((*path, name) if index is None else (*path, name, index), item, chosen)


def _models(annotation: object) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _choose(models: tuple[Model, ...], part: Mapping[str, object]) -> Model | None:
    """Return the only model, or that of the step's type."""
    return models[0] if len(models) == 1 else STEP_TYPES.get(str(part.get("type")))
