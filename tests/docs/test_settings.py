"""The documents list every setting as app/settings.py describes it."""

import re
from pathlib import Path

import pytest

from app.settings import PREFIX, SECRETS_DIR, WELL_KNOWN, Settings, variable_name
from tests.conftest import ROOT
from tests.docs.pages import PAGES
from tests.docs.settings_reference import EXAMPLE, PAGE, TABLE, example, table


def test_operations_page_has_the_table_of_settings() -> None:
    """Otherwise run `python -m tests.docs.settings_reference`."""
    assert TABLE.findall(PAGE.read_text()) == [table()]


def test_env_example_lists_the_settings() -> None:
    """Otherwise run `python -m tests.docs.settings_reference`."""
    assert EXAMPLE.read_text() == example()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documents_name_settings_as_they_are_read(page: Path) -> None:
    """With the prefix where there is one; each name with the prefix is a setting."""
    variables = {variable_name(name) for name in Settings.model_fields} | {SECRETS_DIR}
    unprefixed = {
        name.removeprefix(PREFIX) for name in variables if name.startswith(PREFIX) and "_" in name[len(PREFIX) :]
    }
    named = set(re.findall(r"(?<![A-Z_])[A-Z]+(?:_[A-Z]+)+(?![A-Z_])", page.read_text()))
    assert not named & unprefixed
    preferred = {f"{PREFIX}{name}".upper() for name in WELL_KNOWN}  # with the prefix, read before those without it
    assert {name for name in named if name.startswith(PREFIX)} <= variables | preferred
