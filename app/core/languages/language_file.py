"""Reads one language file: nested keys, and texts or plural forms."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from ..formats import is_language
from .formats import PLACEHOLDER, plural_categories

Text = str | Mapping[str, str] | tuple[str, ...]
"""A text, its plural forms by CLDR's categories, or phrases that are understood."""

CATEGORIES = frozenset({"zero", "one", "two", "few", "many", "other"})


def read_texts(content: str) -> Mapping[str, Text]:
    """Return the texts of a language file by dotted key.

    Raises:
        ValueError: not JSON, or not texts; the message says where.
    """
    try:
        texts = json.loads(content, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(texts, dict):
        raise ValueError("a language file is an object of texts")
    return dict(_flat(texts, ""))


def read_language_files(directory: Path, english: Mapping[str, Text]) -> dict[str, Mapping[str, Text]]:
    """Return the texts of an operator's files by language in lower case.

    Raises:
        ConfigurationError: no such folder, or a file that does not fit English's texts.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: no such folder; it is STEPKEEP_LANGUAGES_DIR")
    return {path.stem.lower(): _read(path, english) for path in sorted(directory.glob("*.json"))}


def problem_of(found: Text, english: Text | None, language: str) -> str | None:
    """Return what is wrong with a text, measured by the English one; None if nothing is."""
    if english is None:
        return "there is no such text"
    if isinstance(found, tuple) or isinstance(english, tuple):
        return None if type(found) is type(english) else "only phrases that voice understands are a list"
    wanted = placeholders(english)
    if isinstance(found, str):
        return None if placeholders(found) == wanted else _wrong_placeholders(wanted)
    if "count" not in wanted:
        return "the text has no {count}, so it can't have plural forms"
    missing = plural_categories(language) - found.keys()
    if missing:
        return f"the plural form {min(missing)!r} is missing"
    # "One question" need not say the number.
    is_right = all(wanted - {"count"} <= placeholders(form) <= wanted for form in found.values())
    return None if is_right else _wrong_placeholders(wanted)


def placeholders(found: Text) -> frozenset[str]:
    """Return the names of the values of a text; plural forms always have ``count``."""
    if isinstance(found, Mapping):
        return frozenset({"count"}).union(*map(placeholders, found.values()))
    return frozenset() if isinstance(found, tuple) else frozenset(PLACEHOLDER.findall(found))


def _read(path: Path, english: Mapping[str, Text]) -> Mapping[str, Text]:
    if not is_language(path.stem):
        raise ConfigurationError(f"{path}: the name must be a BCP 47 tag, such as sv.json or de-AT.json")
    try:
        texts = read_texts(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    for key, found in texts.items():
        problem = problem_of(found, english.get(key), path.stem)
        if problem is not None:
            raise ConfigurationError(f"{path}: {key}: {problem}")
    return texts


def _wrong_placeholders(wanted: frozenset[str]) -> str:
    names = ", ".join(f"{{{name}}}" for name in sorted(wanted))
    return f"the text must have the placeholders {names}" if names else "the text must have no placeholder"


def _flat(texts: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Text]]:
    for key, value in texts.items():
        if isinstance(value, str):
            yield prefix + key, value
        elif isinstance(value, list) and value and all(isinstance(phrase, str) for phrase in value):
            yield prefix + key, tuple(value)
        elif not isinstance(value, dict) or not value:
            raise ValueError(f"{prefix}{key}: neither a text nor an object of texts")
        elif value.keys() <= CATEGORIES and all(isinstance(form, str) for form in value.values()):
            yield prefix + key, value
        else:
            yield from _flat(value, f"{prefix}{key}.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} appears twice in one object")
        found[key] = value
    return found
