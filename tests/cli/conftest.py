"""An operator, and the server that they operate."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.cli.shell import Operator, make_surveys
from tests.conftest import Server


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Return the operator of a server on SQLite, without a database file."""
    return Operator(f"sqlite:///{tmp_path / 'sessions.db'}", make_surveys(tmp_path))


@pytest.fixture
def operator_of_each(settings: Settings, tmp_path: Path) -> Operator:
    """Return the operator of a server on each database."""
    return Operator(settings.database_url, make_surveys(tmp_path))


Serve = Callable[[Operator], Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts the operator's server until the end of the test."""
    started: list[Server] = []

    def start(operator: Operator) -> Server:
        address = operator.environment["DATABASE_URL"]
        environment = {**operator.environment, "STEPKEEP_PUBLIC_URL": ""}  # else it hears to that name alone
        started.append(
            Server(
                tmp_path, Path(operator.environment["STEPKEEP_SURVEYS_DIR"]), environment=environment, database=address
            )
        )
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()
