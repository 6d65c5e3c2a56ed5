"""Whether each text exists in each language of the survey."""

import re
from collections.abc import Iterator, Mapping

from ...core.formats import is_language
from ...languages import parents
from .document import Document, Path
from .findings import Findings
from .models import Model, texts
from .structure import show_place

_WITHOUT_WORDS = re.compile(r"[\d\W_]*")
"""Needs no translation."""


def check_translations(document: Document, models: Mapping[Path, Model], findings: Findings) -> None:
    """Add texts that are missing in every language, and warn of missing translations."""
    languages = _languages(document)
    for path in (*texts(models, document), *_bare_options(models, document)) if languages else ():
        text = document.at(path)
        place = show_place(path, document)
        if isinstance(text, str) and not _WITHOUT_WORDS.fullmatch(text):
            _warn_of_missing(path, place, languages[1:], findings)
        elif isinstance(text, dict) and text:
            _check_map(path, place, text, languages, findings)


def _check_map(
    path: Path, place: str, text: Mapping[str, object], languages: tuple[str, ...], findings: Findings
) -> None:
    tags = {tag.lower(): tag for tag in text}
    for tag in text:
        if not is_language(tag):
            findings.add((*path, tag), f"{place}: {tag} is not a language tag such as en or de-AT", is_key=True)
        elif not any(tag.lower() in parents(language) for language in languages):
            offered = ", ".join(languages)
            message = f"{place}: the text in {tag} is never shown: the languages of the survey are {offered}"
            findings.add((*path, tag), message, level="warning", is_key=True)
    missing = tuple(language for language in languages if not any(tag in tags for tag in parents(language)))
    if missing == languages:
        findings.add(path, f"{place}: the text is missing in every language of the survey ({', '.join(languages)})")
    else:
        _warn_of_missing(path, place, missing, findings)


def _warn_of_missing(path: Path, place: str, languages: tuple[str, ...], findings: Findings) -> None:
    if languages:
        findings.add(path, f"{place} has no text in {', '.join(languages)}", level="warning")


def _languages(document: Document) -> tuple[str, ...]:
    """Return the language of plain texts, then the others; nothing if one is invalid."""
    others = document.at(("languages",))
    tags = [document.at(("language",)), *(others if isinstance(others, list) else ())]
    if not all(isinstance(tag, str) and is_language(tag) for tag in tags):
        return ()
    return tuple({tag.lower(): tag for tag in tags}.values())


def _bare_options(models: Mapping[Path, Model], document: Document) -> Iterator[Path]:
    """Yield the path of each option whose value is its label."""
    for path, model in models.items():
        options = document.at((*path, "options")) if "options" in model.model_fields else None
        for index, option in enumerate(options if isinstance(options, list) else ()):
            if isinstance(option, str):
                yield (*path, "options", index)
            elif isinstance(option, dict) and "label" not in option:
                yield (*path, "options", index, "value")
