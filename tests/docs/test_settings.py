"""The documents list every setting as app/settings.py describes it."""

from tests.docs.settings_reference import EXAMPLE, PAGE, TABLE, example, table


def test_operations_page_has_the_table_of_settings() -> None:
    """Otherwise run `python -m tests.docs.settings_reference`."""
    assert TABLE.findall(PAGE.read_text()) == [table()]


def test_env_example_lists_the_settings() -> None:
    """Otherwise run `python -m tests.docs.settings_reference`."""
    assert EXAMPLE.read_text() == example()
