"""Fixtures of the Python client's tests: a proxy in front of the real server, and scripted servers."""

import asyncio
import contextlib
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from app.client import AsyncPendingCommand, AsyncSurveyClient, ClientTimeouts, SurveyClient
from tests.conftest import Server
from tests.proxy import Proxy

WAIT_S = 30.0
NEVER_S = 3600.0
"""A delay longer than any test: what happens nevertheless did not wait for it."""

FAST = ClientTimeouts(
    connect_delay_s=0.05, connect_delay_max_s=0.2, slow_delay_s=0.2, busy_delay_s=0.05, unavailable_delay_s=0.05
)


def history(server: Server, user_id: str = "ada") -> list[dict[str, Any]]:
    """Return all of the session's events from REST, oldest first."""
    events: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        params = {"survey": "phq9", "limit": 200, "after": after}
        response = httpx.get(f"{server.url}/api/session/{user_id}/history", params=params)
        if response.status_code == 404:
            return []
        page = response.raise_for_status().json()
        events += page["events"]
        after = page["next"]
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


class PendingInThread:
    """An AsyncPendingCommand with the functions of PendingCommand."""

    def __init__(self, call: Callable[[Any], Any], pending: AsyncPendingCommand) -> None:
        self._call = call
        self._pending = pending

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pending, name)

    def result(self, timeout_s: float | None = None) -> Any:
        return self._call(self._pending.result(timeout_s))


class AsyncClientInThread:
    """An AsyncSurveyClient on a loop in a thread, with the functions of SurveyClient."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *arguments: Any, **options: Any) -> None:
        self._loop = loop
        self._client = AsyncSurveyClient(*arguments, **options)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not inspect.iscoroutinefunction(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            result = self._call(value(*arguments, **options))
            return PendingInThread(self._call, result) if isinstance(result, AsyncPendingCommand) else result

        return call

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)


MakeClient = Callable[..., Any]


def is_running(client: Any) -> bool:
    """Return whether a client's threads or tasks still run."""
    if isinstance(client, SurveyClient):
        return any(thread.is_alive() for thread in client._threads)
    return not all(task.done() for task in client._tasks)


def make_blocking_client(origin: str, user_id: str = "ada", **options: Any) -> SurveyClient:
    return SurveyClient(origin, user_id, **{"survey_id": "phq9", "timeouts": FAST, **options})


@pytest.fixture(params=["blocking", "asyncio"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Make clients of both kinds; the one for asyncio is called from the test's thread."""
    if request.param == "blocking":
        yield make_blocking_client
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def make(origin: str, user_id: str = "ada", **options: Any) -> AsyncClientInThread:
        return AsyncClientInThread(loop, origin, user_id, **{"survey_id": "phq9", "timeouts": FAST, **options})

    yield make
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


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
