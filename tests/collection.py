"""Which tests run, and which of them in the same xdist worker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SERVER_KINDS = ("postgresql", "mysql")
INTERFACES = ("browser", "cli", "client", "deploy", "docs", "web")
"""Folders with tests that do not depend on the SQL dialect; elsewhere, these have the marker `one_database`."""

TESTS = Path(__file__).parent


def group_by_file(items: Sequence[pytest.Item]) -> None:
    """Let one worker run all tests of a file that share a fixture, such as a server: each other would start it again."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and _shares_a_fixture(item):
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(TESTS))))


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the long tests, and the repetition on database servers of tests that do not depend on the dialect."""
    on_sqlite = {_function(item) for item in items if "sqlite" in _parameters(item)}
    long = {item for item in items if item.get_closest_marker("long") or _repeats_sqlite(item, on_sqlite)}
    if long:
        config.hook.pytest_deselected(items=list(long))
        items[:] = [item for item in items if item not in long]


def _shares_a_fixture(item: pytest.Item) -> bool:
    fixtures: dict[str, Sequence[Any]] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    shared = any(fixture.scope == "module" for definitions in fixtures.values() for fixture in definitions)
    return shared or item.get_closest_marker("browser") is not None


def _repeats_sqlite(item: pytest.Item, on_sqlite: set[str]) -> bool:
    """Return whether this is a test on a database server that runs on SQLite too and does not depend on the dialect."""
    place = item.path.relative_to(TESTS).parts[0]
    return (
        (place in INTERFACES or place.startswith("test_cli") or item.get_closest_marker("one_database") is not None)
        and not _parameters(item).isdisjoint(SERVER_KINDS)
        and _function(item) in on_sqlite
    )


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _parameters(item: pytest.Item) -> set[str]:
    """Return the test's parameters that are strings."""
    parameters = getattr(item, "callspec", None)
    return set() if parameters is None else {value for value in parameters.params.values() if isinstance(value, str)}
