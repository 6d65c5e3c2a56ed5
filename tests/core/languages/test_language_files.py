"""The language files that come with the server are complete, and fit the English one."""

from pathlib import Path

import pytest

from app.core.languages import own_name
from app.core.languages.language_file import problem_of, read_texts
from tests.conftest import ROOT

FILES = sorted((ROOT / "app" / "core" / "languages").glob("*.json"))
ENGLISH = read_texts((ROOT / "app" / "core" / "languages" / "en.json").read_text(encoding="utf-8"))


def problems(file: Path) -> list[str]:
    """Return what is wrong with each text, and which ones are missing."""
    texts = read_texts(file.read_text(encoding="utf-8"))
    found = {key: problem_of(text, ENGLISH.get(key), file.stem) for key, text in texts.items()}
    found |= dict.fromkeys(ENGLISH.keys() - texts.keys(), "is missing")
    return sorted(f"{key}: {problem}" for key, problem in found.items() if problem is not None)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_language_file_has_the_keys_placeholders_and_plural_forms_of_english(file: Path) -> None:
    """No key is missing or left over; each text has English's placeholders, and each plural the language's categories."""
    assert problems(file) == []


def test_wrong_texts_are_found(tmp_path: Path) -> None:
    """Each kind of mistake once."""
    file = tmp_path / "pl.json"
    file.write_text(
        '{"refusals": {"at_least": "x", "more": "y", "too_few": {"one": "a", "other": "b"}}}', encoding="utf-8"
    )
    found = problems(file)
    assert "refusals.at_least: the text must have the placeholders {low}" in found
    assert "refusals.more: there is no such text" in found
    assert "refusals.too_few: the plural form 'few' is missing" in found
    assert "refusals.at_most: is missing" in found


def test_every_catalogue_is_of_a_known_language() -> None:
    """The page names each language in its own words."""
    assert [file.stem for file in FILES if own_name(file.stem) == file.stem] == []
