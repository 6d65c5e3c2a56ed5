"""Where the expressions of a survey file stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..expressions import Names
from ..texts import computed
from ..types import STEP_TYPES, BaseStep
from .document import Document, Path

ROUTE = "conditions of the route"
"""Which each command evaluates, those of all steps in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an expression stands.

    Attributes:
        step: None outside of steps, and where the step is wrong.
        value: which value of the survey it computes.
        offset: of the expression in the text that inserts its value.
        before: the path at which the answers end that may decide how the step is shown.
    """

    path: Path
    source: str
    step: BaseStep | None = None
    index: int = 0
    field: str | None = None
    value: str | None = None
    offset: int | None = None
    language: str = ""
    has_answer: bool = False
    before: Path | None = None

    @property
    def is_condition(self) -> bool:
        return self.field is None and self.value is None and self.offset is None

    @property
    def is_before_answers(self) -> bool:
        return self.path[0] in {"title", "description"}

    @property
    def evaluated_with(self) -> tuple[str, object]:
        """Return what one command evaluates together, and for which step or text."""
        if self.value is not None:
            return "values", None
        if self.offset is not None:
            of = {"steps": "of the step", "end": "of the ending"}.get(str(self.path[0]), "of the survey")
            return f"insertions {of}", (self.path[0], self.index, self.language)
        if self.path[0] == "end":
            return "endings", None
        is_of_route = self.field is None and "check" not in self.path
        return (ROUTE, None) if is_of_route else ("expressions of the step", self.index)


def names_of(document: Document, field: str) -> tuple[str, ...]:
    part = document.at((field,))
    return tuple(part) if isinstance(part, Mapping) else ()


def step_indexes(document: Document) -> dict[str, int]:
    """Return the first index of each step id."""
    indexes: dict[str, int] = {}
    for index, step in enumerate(document.steps):
        if isinstance(step, dict) and isinstance(step.get("id"), str):
            indexes.setdefault(step["id"], index)
    return indexes


def answer_places(document: Document) -> dict[str, Path]:
    """Return the path of each step or field that has an answer of its own."""
    places: dict[str, Path] = {}
    for step_id, index in step_indexes(document).items():
        fields = document.fields(index)
        if not fields:
            places.setdefault(step_id, ("steps", index))
        for number, field in enumerate(fields):
            if isinstance(field, dict) and isinstance(field.get("id"), str):
                places.setdefault(field["id"], ("steps", index, "fields", number))
    return places


def names_in(document: Document) -> Names:
    return Names(
        answers=frozenset(answer_places(document)),
        parameters=frozenset(names_of(document, "parameters")),
        values=frozenset(names_of(document, "values")),
    )


def places_of_values(document: Document) -> Iterator[Place]:
    for name in names_of(document, "values"):
        for path, source in conditions_at(document, ("values",), name):
            yield Place(path=path, source=source, value=name)


def places_of_steps(document: Document, right: Mapping[Path, BaseStep]) -> Iterator[Place]:
    for index, step in enumerate(document.steps):
        path: Path = ("steps", index)
        if isinstance(step, Mapping):
            yield from _of_step(document, path, step, right.get(path))
        for number, field in enumerate(document.fields(index)):
            if isinstance(field, Mapping):
                at = (*path, "fields", number)
                yield from _of_step(document, at, field, right.get(at))


def _of_step(document: Document, path: Path, step: Mapping[str, Any], right: BaseStep | None) -> Iterator[Place]:
    index, page = int(path[1]), path[:2]
    early = [(at, source, path) for at, source in conditions_at(document, path, "show_if")]
    early += [(at, source, page) for at, source in _listed(document, (*path, "options"), "show_if")]
    late = (*_listed(document, (*path, "next"), "when"), *_listed(document, (*path, "check"), "that"))
    for at, source, before in early:
        yield Place(path=at, source=source, step=right, index=index, before=before)
    for at, source in late:
        yield Place(path=at, source=source, step=right, index=index, has_answer=True)
    for field in STEP_TYPES.get(str(step.get("type")), BaseStep).computable:
        expression = computed(step.get(field))
        if expression is not None:
            at = (*path, field)
            yield Place(path=at, source=expression, step=right, index=index, field=field, before=page)


def places_of_endings(document: Document) -> Iterator[Place]:
    for path, source in _listed(document, ("end",), "when"):
        yield Place(path=path, source=source)


def _listed(document: Document, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    items = document.at(path)
    for number in range(len(items) if isinstance(items, list) else 0):
        yield from conditions_at(document, (*path, number), name)


def conditions_at(document: Document, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    condition = document.at((*path, name))
    if isinstance(condition, str | bool):
        yield (*path, name), str(condition).lower() if isinstance(condition, bool) else condition
