"""Fixtures of the interfaces' tests: the real server on each database, and a participant with a WebSocket."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from app.settings import Settings
from app.web.ws.asyncapi import SERVER_MESSAGE
from tests.conftest import KINDS, SURVEYS, Server, Servers, each_kind, migrated_database
from tests.databases import Databases, create_sqlite
from tests.waiting import START_S
from tests.web.production import App, production_app_on


@contextlib.contextmanager
def running_server(
    kind: str, servers: Servers, folder: Path, surveys: Path = SURVEYS, **environment: str
) -> Iterator[Server]:
    """Serve the surveys on an empty database of this kind, at the newest schema."""
    with migrated_database(kind, servers, folder) as url:
        running = Server(folder, surveys, database=url, environment=environment)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session", params=each_kind("shared_server"))
def shared_server(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server a database, for tests that leave it as it was."""
    with running_server(request.param, servers, tmp_path_factory.mktemp("shared_server")) as server:
        yield server


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """The test's own server on each database."""
    with running_server(request.param, servers, tmp_path) as server:
        yield server


def no_servers(kind: str) -> Databases:
    """Stand in for the database servers in tests that run on SQLite only."""
    raise AssertionError(kind)


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    """Settings with an empty SQLite file."""
    return Settings(database_url=create_sqlite(tmp_path / "settings.db"), surveys_dir=SURVEYS)


@pytest.fixture(scope="module")
def app(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application in production."""
    with production_app_on("sqlite", servers, tmp_path_factory.mktemp("app"), address_failures="1000000/hour") as app:
        yield app


class Participant:
    """One WebSocket connection of a participant, which sends and receives messages."""

    def __init__(self, server: Server, user_id: str, survey: str = "phq9", **options: Any) -> None:
        url = f"{server.ws_url}/ws/survey/{user_id}?survey={survey}"
        self.ws: ClientConnection = connect(url, legacy=True, **options)
        self.state = self.receive()

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.ws.recv(timeout=START_S))
        SERVER_MESSAGE.validate_python(message)  # every message fits a model of the protocol
        return message

    def send(self, message: object) -> None:
        self.ws.send(json.dumps(message))

    def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        self.send({"type": kind, "id": uuid.uuid4().hex, **fields})
        return self.receive()

    def answer(self, step: str, value: object) -> dict[str, Any]:
        return self.request("answer", step=step, value=value)

    def acknowledge(self, step: str, value: object) -> dict[str, Any]:
        """Answer, and return the ack; a busy server sends `pending` first."""
        message = self.answer(step, value)
        return self.receive() if message["type"] == "pending" else message
