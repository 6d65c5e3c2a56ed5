"""A store on SQLite whose surveys a test writes, and writes anew."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.sessions.service import SessionStore, open_store
from app.settings import Settings

Opened = Callable[[str], SessionStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Open the test's database with this survey file, in place of the one before."""
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
