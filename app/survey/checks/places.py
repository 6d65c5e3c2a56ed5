"""Where the expressions of a survey file stand."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..expressions import Names
from ..piping import UnclosedInsertion, find_insertions
from ..texts import computed
from ..types import STEP_TYPES, BaseStep
from .document import Document, Path
from .models import Model
from .texts import insertable_texts

ROUTE = "conditions of the route"
"""Which each command evaluates, those of all steps in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an expression stands.

    Attributes:
        step: None outside of steps, and where the step is wrong.
        value: which value of the survey it computes.
        offset: of the expression in its text.
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
    for index, step_id in document.ids(("steps",)):
        indexes.setdefault(step_id, index)
    return indexes


def answer_places(document: Document) -> dict[str, Path]:
    """Return the paths of steps and fields with an answer of their own."""
    places: dict[str, Path] = {}
    for step_id, index in step_indexes(document).items():
        path: Path = ("steps", index)
        if not document.fields(index):
            places.setdefault(step_id, path)
            continue
        for number, field_id in document.ids((*path, "fields")):
            places.setdefault(field_id, (*path, "fields", number))
    return places


def names_in(document: Document) -> Names:
    return Names(
        answers=frozenset(answer_places(document)),
        parameters=frozenset(names_of(document, "parameters")),
        values=frozenset(names_of(document, "values")),
    )


def expression_places(
    document: Document, models: Mapping[Path, Model], right: Mapping[Path, BaseStep]
) -> Iterator[Place]:
    """Yield the places of values first, which other expressions read."""
    for name in names_of(document, "values"):
        for path, source in conditions_at(document, ("values", name)):
            yield Place(path=path, source=source, value=name)
    for index in range(len(document.steps)):
        step: Path = ("steps", index)
        for path in (step, *((*step, "fields", number) for number in range(len(document.fields(index))))):
            yield from _of_step(document, path, right.get(path))
    for path, source in _listed(document, ("end",), "when"):
        yield Place(path=path, source=source)
    for path, language, text in insertable_texts(document, models):
        index = path[1] if path[0] in {"steps", "end"} and isinstance(path[1], int) else 0
        own = right.get(path[:4], right.get(path[:2]))
        with suppress(UnclosedInsertion):
            for one in [*find_insertions(text)] if path[0] != "parameters" else ():
                yield Place(path=path, source=one.source, step=own, index=index, offset=one.offset, language=language)


def _of_step(document: Document, path: Path, right: BaseStep | None) -> Iterator[Place]:
    index, page = int(path[1]), path[:2]
    for at, source in conditions_at(document, (*path, "show_if")):
        yield Place(path=at, source=source, step=right, index=index, before=path)
    for at, source in _listed(document, (*path, "options"), "show_if"):
        yield Place(path=at, source=source, step=right, index=index, before=page)
    late = (*_listed(document, (*path, "next"), "when"), *_listed(document, (*path, "check"), "that"))
    for at, source in late:
        yield Place(path=at, source=source, step=right, index=index, has_answer=True)
    for field in STEP_TYPES.get(str(document.at((*path, "type"))), BaseStep).computable:
        expression = computed(document.at((*path, field)))
        if expression is not None:
            yield Place(path=(*path, field), source=expression, step=right, index=index, field=field, before=page)


def _listed(document: Document, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    return conditions_at(document, *((*path, number, name) for number in range(len(document.items(path)))))


def conditions_at(document: Document, *paths: Path) -> Iterator[tuple[Path, str]]:
    for path in paths:
        condition = document.at(path)
        if isinstance(condition, str | bool):
            yield path, str(condition).lower() if isinstance(condition, bool) else condition
