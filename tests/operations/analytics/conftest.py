"""A store with one survey."""

from collections.abc import Callable, Iterator

import pytest

from app.catalogue import Catalogue
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.definition import Survey
from tests.operations.analytics.random_sessions import NOW

Opened = Callable[[Survey], SessionStore]


@pytest.fixture
def opened(settings: Settings) -> Iterator[Opened]:
    """Return a function that opens a store with one survey, and closes the previous one."""
    stores: list[SessionStore] = []

    def open_with(survey: Survey) -> SessionStore:
        for store in stores:
            store.close()
        stores.clear()
        store = SessionStore(settings, Catalogue(surveys={survey.id: survey}, default_id=survey.id), lambda: NOW)
        store.initialise()
        stores.append(store)
        return store

    yield open_with
    for store in stores:
        store.close()
