"""The insertions in the texts of a survey file."""

import re
from collections.abc import Iterator, Mapping

from ..markdown import MarkdownText
from ..piping import UnclosedInsertion, find_insertions
from ..texts import is_one_line
from ..types import BaseStep
from .document import Document, Path
from .findings import Findings
from .missing import TextPlace
from .models import Model, texts
from .places import Place, conditions_at
from .translations import bare_options

_SINGLE_BRACES = re.compile(r"(?<!\{)\{ *((?:answers|parameters|values)\.\w[^{}]*)\}(?!\})")


def check_insertions(document: Document, models: Mapping[Path, Model], findings: Findings) -> None:
    is_markdown = document.at(("markdown",)) is True
    for path, _, text in _texts(document, models):
        place = document.place(path)
        for single in _SINGLE_BRACES.finditer(text):
            problem = f"{place}: {single[0]} is shown as it is; write {{{{ {single[1].strip()} }}}} to insert the value"
            findings.add(path, problem, level="warning", offset=single.start())
        try:
            insertions = [*find_insertions(text)]
        except UnclosedInsertion as error:
            findings.add(path, f"{place}: {error}", offset=error.offset)
            continue
        if insertions and path[0] == "parameters":
            findings.add(path, f"{place}: an option of a parameter is never shown, so it cannot have insertions")
        if (
            insertions
            and is_markdown
            and MarkdownText(text, is_inline=_is_one_line(path, models)).has_insertion_in_link
        ):
            findings.add(path, f"{place}: the target of a link cannot have an insertion", offset=insertions[0].start)


def places_of_insertions(
    document: Document, models: Mapping[Path, Model], right: Mapping[Path, BaseStep]
) -> Iterator[Place]:
    for path, language, text in _texts(document, models):
        index = path[1] if path[0] in {"steps", "end"} and isinstance(path[1], int) else 0
        step = right.get(path[:4], right.get(path[:2]))
        try:
            insertions = [*find_insertions(text)]
        except UnclosedInsertion:
            continue
        for one in insertions if path[0] != "parameters" else ():
            yield Place(path=path, source=one.source, step=step, index=index, offset=one.offset, language=language)


def text_place(document: Document, place: Place) -> TextPlace:
    if place.path[0] == "end":
        endings = [*_sources(document, [("end", number) for number in range(place.index + 1)], "when")]
        own = _sources(document, [("end", place.index)], "when")
        return TextPlace(index=len(document.steps), conditions=own, others=tuple(endings[: len(endings) - len(own)]))
    if place.path[0] != "steps":
        return TextPlace(index=0)
    conditions = _sources(document, [place.path[:depth] for depth in (2, 4, 6)], "show_if")
    if "check" not in place.path or place.step is None:
        return TextPlace(index=place.index, conditions=conditions)
    (failed,) = _sources(document, [place.path[: place.path.index("check") + 2]], "that")
    return TextPlace(index=place.index, conditions=conditions, failed=failed, checked=place.step.id)


def _sources(document: Document, parts: list[Path], name: str) -> tuple[str, ...]:
    return tuple(source for part in parts for _, source in conditions_at(document, part, name))


def _texts(document: Document, models: Mapping[Path, Model]) -> Iterator[tuple[Path, str, str]]:
    """Yield the path, the language (empty for a plain one) and the text."""
    redirects: list[Path] = [(*path, "redirect") for path, model in models.items() if "redirect" in model.model_fields]
    for path in (*texts(models, document), *bare_options(models, document), *redirects):
        text = document.at(path)
        for tag, one in text.items() if isinstance(text, dict) else [("", text)]:
            if isinstance(one, str) and "{" in one:
                yield ((*path, tag) if tag else path), tag, one


def _is_one_line(path: Path, models: Mapping[Path, Model]) -> bool:
    for depth in (1, 2):  # in several languages, the last part is one
        model = models.get(path[:-depth])
        if model is not None and path[-depth] in model.model_fields:
            return is_one_line(model.model_fields[str(path[-depth])])
    return True
