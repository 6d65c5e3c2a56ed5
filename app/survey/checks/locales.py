"""The languages and the time zone of a survey file."""

import zoneinfo

from ...core.formats import MAX_LANGUAGE_LENGTH, is_language
from .document import Document
from .findings import Findings


def check_locales(document: Document, findings: Findings) -> None:
    language = document.at(("language",))
    if isinstance(language, str) and len(language) > MAX_LANGUAGE_LENGTH:
        findings.add(("language",), f"language: must have at most {MAX_LANGUAGE_LENGTH} characters")
    languages = document.at(("languages",))
    seen: set[str] = set()
    for index, tag in enumerate(languages if isinstance(languages, list) else ()):
        if isinstance(tag, str) and tag.lower() in seen:
            findings.add(("languages", index), f"languages[{index}]: {tag} is listed twice")
        seen.add(str(tag).lower())
    name = document.at(("timezone",))
    if isinstance(name, str) and name not in zoneinfo.available_timezones():
        findings.add(("timezone",), f"timezone: {name!r} is not a time zone; write one such as Europe/Berlin")


def known_languages(document: Document) -> tuple[str, ...]:
    """Return the language of plain texts, then the others; nothing if one is invalid."""
    others = document.at(("languages",))
    tags = [document.at(("language",)), *(others if isinstance(others, list) else ())]
    if not all(isinstance(tag, str) and is_language(tag) for tag in tags):
        return ()
    return tuple({tag.lower(): tag for tag in tags}.values())
