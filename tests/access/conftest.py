"""What tests of credentials share: a clock that a test turns, and stores on one database that keep to it."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, create_engine

from app.access.credentials import Credentials
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.snapshot import SessionKey

SECRET = "of-the-tests-0123456789abcdefghijklmnopqrstuvwxyz"
KEY = SessionKey("phq9", "ada")
MINUTE_US = 60 * 1_000_000
HOUR_US = 60 * MINUTE_US


class Clock:
    """A store's clock, which goes on when a test says so, and a microsecond at each look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * 1_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def go_on(self, time_us: int) -> None:
        """Let time pass."""
        self.now += time_us


Open = Callable[..., Credentials]


@pytest.fixture
def clock() -> Clock:
    """The test's clock."""
    return Clock()


@pytest.fixture
def opened(settings: Settings, clock: Clock) -> Iterator[Open]:
    """Opens the test's database, each time as another process would; settings may differ."""
    stores: list[SessionStore] = []

    def credentials(*secrets: str, **changes: object) -> Credentials:
        stores.append(open_store(settings.model_copy(update=changes), clock))
        return Credentials(stores[-1], secrets or [SECRET])

    yield credentials
    for store in stores:
        store.close()


@pytest.fixture
def credentials(opened: Open) -> Credentials:
    """The credentials of a server on the test's database."""
    return opened()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The way in of somebody with a database client."""
    made = create_engine(normalise_url(settings.database_url))
    yield made
    made.dispose()
