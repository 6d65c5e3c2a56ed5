"""Fixtures of the Python client's tests: a proxy in front of the real server, and scripted servers."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from app.client import ClientTimeouts, SurveyClient
from tests.conftest import Server
from tests.proxy import Proxy

WAIT_S = 30.0
NEVER_S = 3600.0
"""A delay longer than any test: what happens nevertheless did not wait for it."""

FAST = ClientTimeouts(
    connect_delay_s=0.05, connect_delay_max_s=0.2, slow_delay_s=0.2, busy_delay_s=0.05, unavailable_delay_s=0.05
)


def history(server: Server, user_id: str = "ada") -> list[dict[str, Any]]:
    """Return the session's events from REST, oldest first."""
    response = httpx.get(f"{server.url}/api/session/{user_id}/history", params={"survey": "phq9", "limit": 200})
    if response.status_code == 404:
        return []
    events: list[dict[str, Any]] = response.raise_for_status().json()["events"]
    return events


def ids(server: Server) -> list[str]:
    """Return the ids of the commands in the history, without the start of the session."""
    return [event["message_id"] for event in history(server) if event["action"] != "started"]


class MessageList(list[dict[str, Any]]):
    """A listener that records messages."""

    def __call__(self, message: dict[str, Any]) -> None:
        self.append(message)

    def types(self) -> list[str]:
        return [message["type"] for message in self]


def make_client(origin: str, user_id: str = "ada", **options: Any) -> SurveyClient:
    return SurveyClient(origin, user_id, **{"survey_id": "phq9", "timeouts": FAST, **options})


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy in front of the server; clients connect to :func:`proxied`."""
    between = Proxy("127.0.0.1", server.port)
    yield between
    between.close()


def proxied(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.port}"


STATE = {"type": "state", "version": 1, "resumed": False, "session": {"answers": {}}, "step": None, "progress": 0.0}

Script = Callable[["FakeServer", ServerConnection, int], None]


def ack(command: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "ack",
        "id": command["id"],
        "version": 2,
        "duplicate": False,
        "session": {},
        "step": None,
        "progress": 0,
    }


class FakeServer:
    """A server that serves each connection, numbered from 0, with a test's script."""

    def __init__(self, script: Script) -> None:
        self.seen: list[tuple[int, dict[str, Any]]] = []
        self.paths: list[str] = []
        self._script = script
        self._mutex = threading.Lock()
        self._server = serve(self._handle, "127.0.0.1", 0, compression=None)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def receive(self, connection: ServerConnection, number: int) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(connection.recv())
        self.seen.append((number, message))
        return message

    def ids(self, number: int) -> list[str | None]:
        return [message.get("id") for at, message in self.seen if at == number]

    def acknowledge_all(self, connection: ServerConnection, number: int) -> None:
        send_messages(connection, STATE)
        while True:
            message = self.receive(connection, number)
            if "id" in message:
                send_messages(connection, ack(message))

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        with self._mutex:
            number = len(self.paths)
            self.paths.append(connection.request.path)
        with contextlib.suppress(ConnectionClosed):
            self._script(self, connection, number)


def send_messages(connection: ServerConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        connection.send(json.dumps(message))


@pytest.fixture
def fake() -> Iterator[Callable[[Script], FakeServer]]:
    """Start scripted servers, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(script: Script) -> FakeServer:
            server = FakeServer(script)
            stack.callback(server.close)
            return server

        yield start


FakeServers = Callable[[Script], FakeServer]
