"""Imports of libraries that are extras."""

import importlib

import pytest

from app.core.installation import MissingExtra, needs_extra


def test_missing_library_names_its_extra() -> None:
    with (
        pytest.raises(MissingExtra, match=r"The server needs the library no_such_library, .*\[server\]"),
        needs_extra("server", "The server"),
    ):
        importlib.import_module("no_such_library.part")


def test_broken_import_inside_the_package_is_not_blamed_on_the_extra() -> None:
    """No installation would repair it."""
    with (
        pytest.raises(ModuleNotFoundError, match=r"No module named 'app\.core\.no_such_module'") as raised,
        needs_extra("server", "The server"),
    ):
        importlib.import_module("app.core.no_such_module")
    assert not isinstance(raised.value, MissingExtra)
