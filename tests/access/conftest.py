"""Fixtures for credentials: a settable clock, and stores that share one database and this clock."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, create_engine

from app.access.credentials import Credentials
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore

SECRET = "of-the-tests-0123456789abcdefghijklmnopqrstuvwxyz"
KEY = SessionKey("phq9", "ada")
MINUTE_US = 60 * 1_000_000
HOUR_US = 60 * MINUTE_US


class Clock:
    """A clock that a test sets, and that advances by one microsecond each time it is read."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * 1_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def advance(self, time_us: int) -> None:
        """Let this many microseconds pass."""
        self.now += time_us


Open = Callable[..., Credentials]


@pytest.fixture
def clock() -> Clock:
    """Return the test's clock."""
    return Clock()


@pytest.fixture
def open_credentials(settings: Settings, clock: Clock, new_store: NewStore) -> Open:
    """Open the credentials in the test's database, as a separate process would; settings may differ."""

    def credentials(*secrets: str, **changes: object) -> Credentials:
        return Credentials(new_store(settings, clock, **changes), secrets or [SECRET])

    return credentials


@pytest.fixture
def credentials(open_credentials: Open) -> Credentials:
    """Return the credentials of a server on the test's database."""
    return open_credentials()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """Return an engine with direct access to the test's database."""
    engine = create_engine(normalise_url(settings.database_url))
    yield engine
    engine.dispose()
