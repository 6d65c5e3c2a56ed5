"""An operator, and the server that they operate."""

from collections.abc import Callable, Iterator
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskCliRunner

from app.sessions.service import SessionStore
from app.settings import Settings
from tests.cli.shell import Operator, make_surveys, opened
from tests.conftest import SURVEYS, Server
from tests.databases import create_sqlite


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Return the operator of a server on SQLite."""
    return Operator(create_sqlite(tmp_path / "sessions.db"), make_surveys(tmp_path))


@pytest.fixture
def operator_of_each(settings: Settings, tmp_path: Path) -> Operator:
    """Return the operator of a server on each database."""
    return Operator(settings.database_url, make_surveys(tmp_path))


@pytest.fixture
def surveys() -> Path:
    """Return the folder of surveys; some files have surveys of their own."""
    return SURVEYS


@pytest.fixture
def app(tmp_path: Path, surveys: Path) -> Iterator[flask.Flask]:
    """Yield the application in production with its commands, in this process."""
    with opened(tmp_path, surveys) as app:
        yield app


@pytest.fixture
def store(app: flask.Flask) -> SessionStore:
    """Return the store of the application; some files fill it."""
    store: SessionStore = app.extensions["stepkeep"].store
    return store


@pytest.fixture
def run(app: flask.Flask, store: SessionStore) -> FlaskCliRunner:
    """Return a runner of the commands."""
    return app.test_cli_runner()


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
