"""A store on SQLite whose survey file a test replaces."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from tests.databases import create_sqlite

Opened = Callable[[str], SessionStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Return a function that reopens the database with another survey file."""
    stores: list[SessionStore] = []
    folder = tmp_path / "surveys"
    folder.mkdir()
    url = create_sqlite(tmp_path / "test.db")

    def reopen(text: str) -> SessionStore:
        for store in stores:
            store.close()
        stores.clear()
        (folder / "survey.yaml").write_text(text)
        stores.append(open_store(Settings(database_url=url, surveys_dir=folder, environment="development")))
        return stores[0]

    yield reopen
    for store in stores:
        store.close()
