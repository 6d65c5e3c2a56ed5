"""Every link between the documents leads somewhere, and the index has every page."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES, dead_links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    """Links to other hosts are not checked."""
    assert not dead_links(page)


def test_index_names_every_page() -> None:
    """docs/README.md links to each page of its folder."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_source_files_exist(page: Path) -> None:
    """A file or folder of the repository that a document names between backticks is there."""
    named = set(re.findall(r"`((?:app|tests|benchmarks|bundle|deploy|examples|alembic)/[\w./-]*)`", page.read_text()))
    assert not sorted(path for path in named if not (ROOT / path).exists())


@cache
def _tests() -> frozenset[str]:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    return frozenset(name for source in sources for name in re.findall(r"\bdef (test_\w+)", source))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_tests_exist(page: Path) -> None:
    """A test that a document names between backticks is there."""
    assert not set(re.findall(r"`(test_\w+)`", page.read_text())) - _tests()
