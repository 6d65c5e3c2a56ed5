"""A store on SQLite whose survey file a test replaces."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.sessions.service import SessionStore, open_store
from app.settings import Settings

Opened = Callable[[str], SessionStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Return a function that reopens the database with another survey file."""
    stores: list[SessionStore] = []
    folder = tmp_path / "surveys"
    folder.mkdir()

    def reopen(text: str) -> SessionStore:
        for store in stores:
            store.close()
        stores.clear()
        (folder / "survey.yaml").write_text(text)
        settings = Settings(
            database_url=f"sqlite:///{tmp_path / 'test.db'}", surveys_dir=folder, environment="development"
        )
        stores.append(open_store(settings))
        return stores[0]

    yield reopen
    for store in stores:
        store.close()
