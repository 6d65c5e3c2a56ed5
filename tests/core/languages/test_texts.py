"""Texts of the server itself, in the language of the participant."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.languages import Message, languages, page_texts, text, use_directory
from app.errors import ConfigurationError

ENGLISH = {"refusals": {"must_be_text": "The answer must be text."}}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """An operator's folder; the server's own texts are back after the test."""
    yield tmp_path
    use_directory(None)


def write(directory: Path, name: str, texts: object) -> None:
    content = texts if isinstance(texts, str) else json.dumps(texts)
    (directory / name).write_text(content, encoding="utf-8")
    use_directory(directory)


def test_a_text_falls_back_to_the_parent_language_and_to_english(directory: Path) -> None:
    """`de-AT` falls back to `de`, then to English, a key at a time."""
    write(directory, "sv.json", {"refusals": {"must_be_text": "Svaret måste vara text."}})
    assert text("sv-FI", "refusals.must_be_text") == "Svaret måste vara text."
    assert text("SV", "refusals.must_be_text") == "Svaret måste vara text."
    assert text("xx", "refusals.must_be_text") == "The answer must be text."
    assert str(Message("refusals.must_be_text", {})) == "The answer must be text."


def test_a_text_is_in_the_nearest_language_that_has_a_catalogue(directory: Path) -> None:
    """As the page's texts are; text for text, it falls back further."""
    write(directory, "zh-Hans.json", {"refusals": {"must_be_text": "答案必须是文字。"}, "page": {"skip": "跳过"}})
    assert text("zh-CN", "refusals.must_be_text") == "答案必须是文字。"
    assert page_texts("zh-CN")["page"]["skip"] == "跳过"
    assert text("zh-TW", "refusals.must_be_text") == "The answer must be text."
    assert text("zh-CN", "refusals.must_be_list") == text("en", "refusals.must_be_list")


def test_an_unknown_key_is_an_error() -> None:
    """A misspelt key is noticed by the first test that shows it."""
    with pytest.raises(KeyError):
        text("en", "refusals.misspelt")


def test_an_operators_file_adds_a_language_and_replaces_texts(directory: Path) -> None:
    """Keys that it leaves out fall back; the name is the tag, in any case."""
    write(directory, "en.json", {"refusals": {"must_be_text": "Write words."}})
    write(directory, "pt-BR.json", {"refusals": {"must_be_text": "A resposta deve ser texto."}})
    assert text("en", "refusals.must_be_text") == "Write words."
    assert text("pt-br", "refusals.must_be_text") == "A resposta deve ser texto."
    assert "pt-br" in languages()


@pytest.mark.parametrize(
    ("name", "texts", "problem"),
    [
        ("sv.json", {"refusals": {"mst_be_text": "x"}}, r"sv\.json: refusals\.mst_be_text: there is no such text"),
        ("sv.json", '{"refusals": ', r"sv\.json: not JSON: .* line 1"),
        ("sv.json", '{"refusals": {"must_be_text": "a", "must_be_text": "b"}}', "'must_be_text' appears twice"),
        ("sv.json", '{"refusals": {"must_be_text": 3}}', r"refusals\.must_be_text: neither a text"),
        ("sv.json", "[]", "a language file is an object"),
        ("sv.json", {"refusals": {"must_be_text": "{it}"}}, "refusals.must_be_text: the text must have no placeholder"),
        (
            "sv.json",
            {"refusals": {"at_least": "Minst."}},
            r"refusals\.at_least: the text must have the placeholders \{low\}",
        ),
        (
            "pl.json",
            {"refusals": {"too_few": {"one": "a {count}", "other": "b {count}"}}},
            "the plural form 'few' is missing",
        ),
        ("sv.json", {"refusals": {"at_least": {"one": "{low}", "other": "{low}"}}}, "has no {count}"),
        ("my texts.json", {}, "BCP 47"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_key(directory: Path, name: str, texts: object, problem: str) -> None:
    """The server does not start with texts that it can't show."""
    with pytest.raises(ConfigurationError, match=problem):
        write(directory, name, texts)


def test_a_missing_folder_is_refused(directory: Path) -> None:
    """A misspelt folder does not silently leave the texts as they are."""
    with pytest.raises(ConfigurationError, match="no such folder"):
        use_directory(directory / "none")


@pytest.mark.parametrize(
    ("count", "written"),
    [(0, "الآن"), (1, "ثانية واحدة"), (2, "ثانيتين"), (3, "3 ثوانٍ"), (11, "11 ثانية"), (100, "100 ثانية")],
)
def test_arabic_has_six_plural_forms(count: int, written: str) -> None:
    """CLDR's zero, one, two, few, many and other."""
    assert text("ar", "pages.refused.rate_limited", count=count).endswith(f"{written}.")


def test_the_plural_form_is_that_of_the_count(directory: Path) -> None:
    """Polish has 1 plik, 2 pliki, 5 plików."""
    forms = {"one": "{count} znak", "few": "{count} znaki", "many": "{count} znaków", "other": "{count} znaku"}
    write(directory, "pl.json", {"refusals": {"too_few": forms}})
    shown = [text("pl", "refusals.too_few", count=count) for count in (1, 2, 5, 22, 1.5)]
    assert shown == ["1 znak", "2 znaki", "5 znaków", "22 znaki", "1,5 znaku"]


@pytest.mark.parametrize(
    ("language", "value", "written"),
    [
        ("en", 0.5, "at least 0.5."),
        ("en", 12345, "at least 12345."),
        ("en", 3.0, "at least 3."),
        ("en", datetime.date(1900, 1, 31), "at least Jan 31, 1900."),
        ("en-GB", datetime.date(1900, 1, 31), "at least 31 Jan 1900."),
        ("sv", 0.5, "at least 0.5."),  # the text is English, and so is the number
        ("de", 0.5, "mindestens 0,5 sein."),
        ("de-CH", 0.5, "mindestens 0.5 sein."),
        ("fr", 12345.5, "au moins 12345,5."),
        ("de", 1.7976931348623157e308, "mindestens 1,7976931348623157E308 sein."),
        ("de", 1.5e-7, "mindestens 1,5E-7 sein."),
        ("de", 123456789012345680000, "mindestens 123456789012345680000 sein."),
        ("de", datetime.date(1900, 1, 31), "mindestens 31.01.1900 sein."),
    ],
)
def test_numbers_and_dates_are_written_as_in_the_language_of_the_text(
    language: str, value: object, written: str
) -> None:
    """A number without groups of thousands, and with an exponent where it is long; a date of medium length."""
    assert text(language, "refusals.at_least", low=value).endswith(written)


def test_texts_of_the_page_are_english_where_a_language_has_none() -> None:
    """Also for a tag that no language has."""
    assert page_texts("../secret") == page_texts("xx-XX") == page_texts("en")
    assert page_texts("en").keys() == {"page", "script", "controls", "voice"}
