"""The databases that tests copy are those that the migrations make."""

from pathlib import Path

import pytest

from tests.conftest import KINDS, Servers, empty_database, migrated_database
from tests.migrations.sample import dump, migrate, shape


@pytest.mark.parametrize("kind", KINDS)
def test_copied_database_has_the_schema_of_the_migrations(kind: str, servers: Servers, tmp_path: Path) -> None:
    """Tables, columns, keys and indexes; and no rows."""
    folders = [tmp_path / "copied", tmp_path / "migrated"]
    for folder in folders:
        folder.mkdir()
    with migrated_database(kind, servers, folders[0]) as copied, empty_database(kind, servers, folders[1]) as migrated:
        migrate(migrated, "head")
        assert shape(copied) == shape(migrated)
        assert dump(copied) == dump(migrated)
