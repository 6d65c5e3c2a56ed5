"""Databases at any revision, copied from those that were migrated once in each worker."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.store.engine import normalise_url
from tests.conftest import Servers, each_kind
from tests.migrations.sample import REVISIONS, migrate

DatabaseAt = Callable[[str | None], str]
"""Creates a database at a revision, without tables for None, and returns its URL."""


class Templates:
    """Databases of one kind, each prepared at its first use and then copied."""

    def __init__(self, kind: str, servers: Servers, folder: Path) -> None:
        self._servers = None if kind == "sqlite" else servers(kind)
        self._folder = folder
        self._files = 0
        self._prepared: dict[str, str] = {}

    def create_empty(self) -> str:
        """Create a database without tables and return its URL."""
        return self._new_file() if self._servers is None else self._servers.create_empty()

    def copy_prepared(self, name: str, prepare: Callable[[str], object]) -> str:
        """Return the URL of a copy of an empty database to which ``prepare`` was applied.

        Args:
            name: identifies the template.
        """
        if name not in self._prepared:
            url = self.create_empty()
            prepare(url)
            self._prepared[name] = url
        return self._copy(self._prepared[name])

    def copy_at(self, revision: str) -> str:
        """Return the URL of a database at the revision, without rows."""
        if revision == "head":
            revision = REVISIONS[-1]
        if revision not in self._prepared:
            lower = [name for name in REVISIONS[: REVISIONS.index(revision)] if name in self._prepared]
            url = self._copy(self._prepared[lower[-1]]) if lower else self.create_empty()
            migrate(url, revision)
            self._prepared[revision] = url
        return self._copy(self._prepared[revision])

    def drop(self, url: str) -> None:
        """Drop a copy."""
        if self._servers is not None:
            self._servers.drop_database(url)

    def close(self) -> None:
        """Drop the templates."""
        for url in self._prepared.values():
            self.drop(url)

    def _copy(self, url: str) -> str:
        if self._servers is not None:
            return self._servers.copy(url)
        copy = self._new_file()
        shutil.copyfile(_path(url), _path(copy))
        return copy

    def _new_file(self) -> str:
        self._files += 1
        return f"sqlite:///{self._folder / f'{self._files}.db'}"


def _path(url: str) -> str:
    return normalise_url(url).database or ""


@pytest.fixture(scope="session", params=each_kind("migrations"))
def templates(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Templates]:
    """The templates of each kind; one worker runs all tests of a kind."""
    made = Templates(request.param, servers, tmp_path_factory.mktemp("templates"))
    yield made
    made.close()


@pytest.fixture
def database_at(templates: Templates) -> Iterator[DatabaseAt]:
    """Create databases at a revision, without rows, for this test alone."""
    urls: list[str] = []

    def create(revision: str | None) -> str:
        urls.append(templates.create_empty() if revision is None else templates.copy_at(revision))
        return urls[-1]

    yield create
    for url in urls:
        templates.drop(url)
