"""The texts of each language by dotted key: those that come with the server, and the operator's in front of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from .formats import fill, plural_category
from .language_file import Text, read_language_files, read_texts
from .tags import best_match, parents

FALLBACK = "en"
"""The language of the only language file that must have every key."""

PAGE_SECTIONS = ("page", "script", "controls", "voice")
"""The sections that the scripts of a survey's page read: those of its template, their own, those of the controls, and
what voice understands."""

_operators: dict[str, Mapping[str, Text]] = {}
"""Texts of the operator's files, by language in lower case; replaced as a whole at start."""


@dataclass(frozen=True, slots=True)
class Message:
    """A text by its key, for whichever language the participant has.

    Attributes:
        values: what replaces ``{name}`` in the text; ``count`` chooses the plural form.
    """

    key: str
    values: Mapping[str, object]

    def in_language(self, language: str) -> str:
        return text(language, self.key, **self.values)

    def __str__(self) -> str:
        return self.in_language(FALLBACK)


def use_directory(directory: Path | None) -> None:
    """Put the texts of an operator's files in front of the server's own; None removes those of an earlier call.

    Raises:
        ConfigurationError: a file is not a language file, or has a key or placeholder that English lacks.
    """
    read = {} if directory is None else read_language_files(directory, _own()[FALLBACK])
    _operators.clear()
    _operators.update(read)
    _fallbacks.cache_clear()
    _page_texts.cache_clear()
    page_texts_digest.cache_clear()


def languages() -> tuple[str, ...]:
    return tuple(sorted(_own().keys() | _operators.keys()))


def text(language: str, key: str, /, **values: object) -> str:
    """Return a text in a language, its parent (de for de-AT), the nearest one or English.

    Args:
        values: what replaces ``{name}``; numbers and dates are written as the language does.

    Raises:
        KeyError: no file has the key, or a value is missing.
    """
    tag, found = _find(language, key)
    written_as = language if tag in parents(language) else tag  # as in Austria, where the text is German
    if not isinstance(found, str):
        found = _plural_form(tag, found, values["count"])
    return fill(found, values, written_as)


def page_texts(language: str) -> Mapping[str, Any]:
    """Return the sections that the page's scripts read; where the language lacks a text, English."""
    return _page_texts(best_match((language,), languages()) or FALLBACK)


@cache
def page_texts_digest() -> str:
    """Return a digest of the page's texts in all languages, for an address with a long lifetime."""
    everything = {language: page_texts(language) for language in languages()}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _page_texts(language: str) -> Mapping[str, Any]:
    tree: dict[str, Any] = {name: {} for name in PAGE_SECTIONS}
    for key in _own()[FALLBACK]:
        *sections, name = key.split(".")
        if sections[0] in tree:
            place = tree
            for section in sections:
                place = place.setdefault(section, {})
            place[name] = _find(language, key)[1]
    return tree


def _plural_form(language: str, forms: Text, count: object) -> str:
    if not isinstance(forms, Mapping) or not isinstance(count, int | float):
        raise TypeError("not a text, or its count is not a number")
    return forms.get(plural_category(language, count)) or forms["other"]


def _find(language: str, key: str) -> tuple[str, Text]:
    for tag in _fallbacks(language):
        for texts in (_operators, _own()):
            found = texts.get(tag, {}).get(key)
            if found is not None:
                return tag, found
    raise KeyError(key)


@lru_cache(maxsize=1000)
def _fallbacks(language: str) -> tuple[str, ...]:
    nearest = best_match((language,), languages()) or FALLBACK
    return tuple(dict.fromkeys((*parents(language), *parents(nearest), FALLBACK)))


@cache
def _own() -> Mapping[str, Mapping[str, Text]]:
    files = (file for file in resources.files(__package__).iterdir() if file.name.endswith(".json"))
    return {file.name.removesuffix(".json").lower(): read_texts(file.read_text(encoding="utf-8")) for file in files}
