"""Whether each text exists in each language of the survey."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ...core.formats import is_language
from ...core.languages import parents
from ..piping import mark
from .document import Document, Path
from .findings import Findings
from .locales import known_languages
from .models import Model, texts

_WITHOUT_WORDS = re.compile(r"[\d\W_]*")
"""Needs no translation."""

_SHOWN = 4

_LONGEST_EXAMPLE = 80


def check_translations(document: Document, models: Mapping[Path, Model], findings: Findings) -> None:
    """Add one warning for all texts of a step that lack the same languages, and one for all in an unknown language."""
    languages = known_languages(document)
    if not languages:
        return
    missing: dict[tuple[Path, tuple[str, ...]], list[Path]] = defaultdict(list)
    unknown: dict[str, list[Path]] = defaultdict(list)
    for path in (*texts(models, document), *bare_options(models, document)):
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
    """A unit is the same in all languages; no page shows parameters."""
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


def bare_options(models: Mapping[Path, Model], document: Document) -> Iterator[Path]:
    """Yield the path of each option whose value is its label."""
    for path, model in models.items():
        options = document.at((*path, "options")) if "options" in model.model_fields else None
        for index, option in enumerate(options if isinstance(options, list) else ()):
            if isinstance(option, str):
                yield (*path, "options", index)
            elif isinstance(option, dict) and "label" not in option:
                yield (*path, "options", index, "value")
