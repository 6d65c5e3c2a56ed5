"""The project's texts use standard technical terms: no word of the old private vocabulary."""

import re
import subprocess

import pytest

from tests.conftest import ROOT

WORDS = [
    "he", "him", "his", "himself", "whom", "whoever", "mend", "mends", "mended", "mending", "news", "patience", "foreseen",
    "sealed", "sealing", "insider", "insiders", "parking", "lane", "doubts", "door", "doors",
]  # fmt: skip
PHRASES = (
    "of ours",
    "hold no more",
    "holds no more",
    "in vain",
    "the peer is gone",
    "by halves",
    "who may come",
    "look through",
    "looked through",
    "looking through",
    "moving house",
    "told of",
    "is away",
    "surely new",
)
FORBIDDEN = re.compile(rf"\b({'|'.join([*WORDS, *PHRASES])})\b", re.IGNORECASE)

EXCEPTIONS = {
    "tests/docs/test_language.py": "this list",
    "tests/browser/vendor/": "vendored",
    "tests/web/naughty_strings.json": "vendored data",
    "tests/web/naughty_strings.LICENSE.txt": "its licence",
    "app/web/static/client/LICENSE": "the licence",
    "app/web/static/bundle/": "built from other files",
    "app/web/static/client/vendor/": "vendored",
    "app/web/static/vendor/": "vendored",
    "app/core/languages/tags.py": "codes of languages: Hebrew is `he`",
    "tests/core/languages/test_tags.py": "codes of languages",
    "tests/browser/test_header.py": "codes of languages",
    "tests/browser/test_page_appearance.py": "codes of languages",
    "tests/browser/test_speech_languages.py": "codes of languages",
}
"""Files, or folders by a trailing slash, with the reason why they may contain the words."""

PLACES = ("app", "docs", "tests", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile")


def texts() -> list[str]:
    listed = subprocess.run(["git", "ls-files", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True)
    return [
        path
        for path in listed.stdout.splitlines()
        if not path.endswith((".png", ".svg"))
        and not any(path == name or (name.endswith("/") and path.startswith(name)) for name in EXCEPTIONS)
    ]


def test_texts_use_no_word_of_the_private_vocabulary() -> None:
    matches = []
    for path in texts():
        content = re.sub(r"\s+(?:#|\*|//)?\s*", " ", (ROOT / path).read_text(encoding="utf-8"))
        matches += [f"{path}: {match[0]}" for match in FORBIDDEN.finditer(content)]
    assert not matches, "\n".join(matches)


@pytest.mark.parametrize("text", ["He waits.", "a fault of\n    # ours", "the database is away", "doors"])
def test_pattern_finds_words_in_any_case_and_across_lines(text: str) -> None:
    assert FORBIDDEN.search(re.sub(r"\s+(?:#|\*|//)?\s*", " ", text))


@pytest.mark.parametrize("path", EXCEPTIONS)
def test_exceptions_exist(path: str) -> None:
    assert (ROOT / path).exists()
