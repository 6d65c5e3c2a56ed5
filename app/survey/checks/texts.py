"""The texts of a survey file: their languages and their insertions."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ...core.formats import is_language
from ...core.languages import parents
from ..markdown import MarkdownText
from ..piping import UnclosedInsertion, find_insertions, mark
from ..texts import is_one_line, is_text_field
from .document import Document, Path
from .findings import Findings
from .models import Model

_SINGLE_BRACES = re.compile(r"(?<!\{)\{ *((?:answers|parameters|values)\.\w[^{}]*)\}(?!\})")

_WITHOUT_WORDS = re.compile(r"[\d\W_]*")

_SHOWN = 4

_LONGEST_EXAMPLE = 80


def check_translations(document: Document, models: Mapping[Path, Model], findings: Findings) -> None:
    """Warn once of all texts of a step that lack the same languages, and of all in an unknown language."""
    languages = document.languages
    if not languages:
        return
    missing: dict[tuple[Path, tuple[str, ...]], list[Path]] = defaultdict(list)
    unknown: dict[str, list[Path]] = defaultdict(list)
    for path in _texts(document, models):
        text = document.at(path)
        for tag in text if isinstance(text, dict) else ():
            if not is_language(tag):
                message = f"{document.place(path)}: {tag} is not a language tag such as en or de-AT"
                findings.add((*path, tag), message, is_key=True)
            elif not any(tag.lower() in parents(language) for language in languages):
                unknown[tag].append(path)
        missing[path[:2], _lacking(path, text, languages)].append(path)
    for (_, tags), paths in missing.items():
        _add_missing(paths, tags, languages, document, findings)
    for tag, paths in unknown.items():
        message = f"{_places(paths, document)}: the text in {tag} is never shown"
        hint = f"write languages: [{', '.join((*languages, tag))}]"
        findings.add((*paths[0], tag), f"{message}; {hint}", level="warning", is_key=True)


def _lacking(path: Path, text: object, languages: tuple[str, ...]) -> tuple[str, ...]:
    # A unit is the same in all languages, and no page shows parameters.
    is_shared = path[-1] == "unit" or path[0] == "parameters"
    if isinstance(text, str) and not is_shared and _has_words(text):
        return languages[1:]
    if not isinstance(text, dict) or not text:
        return ()
    tags = {tag.lower() for tag in text}
    return tuple(language for language in languages if tags.isdisjoint(parents(language)))


def _has_words(text: str) -> bool:
    marked, insertions = mark(text)
    return not _WITHOUT_WORDS.fullmatch(marked) or any(quote in one.source for one in insertions for quote in "'\"")


def _add_missing(
    paths: Sequence[Path], tags: tuple[str, ...], languages: tuple[str, ...], document: Document, findings: Findings
) -> None:
    if tags == languages:
        message = f"the text is missing in every language of the survey ({', '.join(languages)})"
        for path in paths:
            findings.add(path, f"{document.place(path)}: {message}")
    elif tags:
        findings.add(paths[0], _missing(paths, tags, languages[0], document), level="warning")


def _missing(paths: Sequence[Path], tags: Sequence[str], plain: str, document: Document) -> str:
    text = document.at(paths[0])
    label = f'{{{plain}: "...", {tags[0]}: "..."}}'
    is_option = paths[0][-2:-1] == ("options",) or paths[0][-1] == "value"
    example = f"{{value: {document.written(paths[0])}, label: {label}}}" if is_option else label
    hint = f"; write {example}" if isinstance(text, str) and len(example) <= _LONGEST_EXAMPLE else ""
    places, languages = _places(paths, document), ", ".join(tags)
    if len(paths) == 1:
        return f"{places} has no text in {languages}{hint}"
    return f"{len(paths)} texts are missing in {languages}: {places}{hint}"


def _places(paths: Sequence[Path], document: Document) -> str:
    shown = [document.place(path) for path in paths[:_SHOWN]]
    more = [f"{len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
    *others, last = (*shown, *more)
    return f"{', '.join(others)} and {last}" if others else last


def check_insertions(document: Document, models: Mapping[Path, Model], findings: Findings) -> None:
    is_markdown = document.at(("markdown",)) is True
    for path, _, text in insertable_texts(document, models):
        place = document.place(path)
        for single in _SINGLE_BRACES.finditer(text):
            problem = f"{place}: {single[0]} is shown as it is; write {{{{ {single[1].strip()} }}}} to insert the value"
            findings.add(path, problem, level="warning", offset=single.start())
        try:
            insertions = [*find_insertions(text)]
        except UnclosedInsertion as error:
            findings.add(path, f"{place}: {error}", offset=error.offset)
            continue
        if not insertions:
            continue
        if path[0] == "parameters":
            findings.add(path, f"{place}: an option of a parameter is never shown, so it cannot have insertions")
        if is_markdown and MarkdownText(text, is_inline=_is_one_line(path, models)).has_insertion_in_link:
            findings.add(path, f"{place}: the target of a link cannot have an insertion", offset=insertions[0].start)


def _is_one_line(path: Path, models: Mapping[Path, Model]) -> bool:
    for depth in (1, 2):  # in several languages, the last part is one
        model = models.get(path[:-depth])
        if model is not None and path[-depth] in model.model_fields:
            return is_one_line(model.model_fields[str(path[-depth])])
    return True


def insertable_texts(document: Document, models: Mapping[Path, Model]) -> Iterator[tuple[Path, str, str]]:
    """Yield the path, the language (empty for a plain one) and the text."""
    redirects: list[Path] = [(*path, "redirect") for path, model in models.items() if "redirect" in model.model_fields]
    for path in (*_texts(document, models), *redirects):
        text = document.at(path)
        for tag, one in text.items() if isinstance(text, dict) else [("", text)]:
            if isinstance(one, str) and "{" in one:
                yield ((*path, tag) if tag else path), tag, one


def _texts(document: Document, models: Mapping[Path, Model]) -> Iterator[Path]:
    """Yield each text that can have several languages, then each option whose value is its label."""
    for path, model in models.items():
        for name in document.at(path):
            if name in model.model_fields and is_text_field(model.model_fields[name]):
                yield (*path, name)
    for path, model in models.items():
        for index, option in enumerate(document.items((*path, "options")) if "options" in model.model_fields else ()):
            if isinstance(option, str):
                yield (*path, "options", index)
            elif isinstance(option, dict) and "label" not in option:
                yield (*path, "options", index, "value")
