"""docs/languages.md: its files are accepted, and its table names every section."""

import json
from pathlib import Path

from app.core.languages import text, use_directory
from tests.conftest import ROOT
from tests.docs.pages import blocks, first_column

PAGE = (ROOT / "docs" / "languages.md").read_text()


def test_files_of_the_page_are_accepted(tmp_path: Path) -> None:
    """As an operator's folder, each under the name that the page gives it."""
    for name, block in zip(("sv.json", "en.json"), blocks(PAGE, "json"), strict=True):
        (tmp_path / name).write_text(block, encoding="utf-8")
    use_directory(tmp_path)
    try:
        assert text("sv", "page.skip") == "Hoppa över"
        assert text("sv", "refusals.too_few", count=1) == "Välj minst 1 alternativ."
        assert text("en", "page.done.heading") == "Thank you for helping the clinic"
    finally:
        use_directory(None)


def test_every_section_is_explained() -> None:
    """The sections of the English language file."""
    english = json.loads((ROOT / "app" / "core" / "languages" / "en.json").read_text(encoding="utf-8"))
    assert first_column(PAGE, "Section") == english.keys()
