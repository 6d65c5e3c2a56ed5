"""A pseudo-language, en-XA: English in full-width letters.

With surveys in Greek letters, an ordinary Latin letter on a page is a text that no translation can replace.
"""

import html.parser
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

PSEUDO = "en-XA"
OWN_NAMES = {"Stepkeep", "en", "XA"}
"""What is the same in every language; this one has no name but its tag."""

_PLACEHOLDER = re.compile(r"(\{\w+\})")
_LATIN = re.compile(r"[A-Za-z]{2,}")
_SHOWN = ("aria-label", "title", "placeholder", "alt", "aria-valuetext", "aria-description")


def write_pseudo_catalogue(folder: Path) -> None:
    """Write the language file into a folder for STEPKEEP_LANGUAGES_DIR."""
    english = json.loads((ROOT / "app" / "core" / "languages" / "en.json").read_text(encoding="utf-8"))
    (folder / f"{PSEUDO}.json").write_text(json.dumps(_pseudo(english)), encoding="utf-8")


def is_english(text: str) -> bool:
    """Return whether a text has a Latin word that is not the same in every language."""
    return any(word not in OWN_NAMES for word in _LATIN.findall(text))


def english_texts(page: str) -> list[str]:
    """Return the texts of an HTML page that no translation can replace."""
    reader = _Reader()
    reader.feed(page)
    return [text.strip() for text in reader.texts if is_english(text)]


def _pseudo(texts: Any) -> Any:
    if isinstance(texts, str):
        return "".join(
            part if _PLACEHOLDER.fullmatch(part) else _full_width(part) for part in _PLACEHOLDER.split(texts)
        )
    if isinstance(texts, Mapping):
        return {key: _pseudo(text) for key, text in texts.items()}
    return [_pseudo(text) for text in texts]


def _full_width(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if letter.isascii() and letter.isalpha() else letter for letter in text)


class _Reader(html.parser.HTMLParser):
    """Collects what people see or hear; ids and codes are no texts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "style"}:
            self._hidden = tag
        self.texts += [value for name, value in attrs if name in _SHOWN and value]

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)
