"""Sending a message on a WebSocket."""

import contextlib
import threading
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from app.client.transport import send, send_async
from tests.asynchronous import run
from tests.client.conftest import FAST


class Failing:
    """An open connection whose first sends fail."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error
        self.attempts = 0

    def send(self, _: str) -> None:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise self.error


@pytest.mark.parametrize(
    ("failures", "error", "attempts"),
    [(2, OSError("no buffers"), 3), (3, OSError("no buffers"), 3), (1, ConnectionClosed(None, None), 1)],
    ids=["transient", "permanent", "closed"],
)
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_failed_send_is_retried_on_an_open_connection(
    kind: str, failures: int, error: Exception, attempts: int
) -> None:
    """Three attempts in all; on a closed connection one."""
    connection: Any = Failing(failures, error)
    times = replace(FAST, send_delay_s=0.001)
    with contextlib.nullcontext() if failures < attempts else pytest.raises(type(error)):
        if kind == "blocking":
            send(connection, "text", times, threading.Event())
        else:
            run(send_async(AsyncConnection(connection), "text", times))  # type: ignore[arg-type]
    assert connection.attempts == attempts


class AsyncConnection:
    """A connection for asyncio around another one."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        self._connection.send(text)
