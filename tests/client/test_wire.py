"""One message on one WebSocket."""

import contextlib
import threading
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from app.client.transport import send
from tests.client.conftest import (
    FAST,
)


class Failing:
    """A connection whose first sends fail, and that stays open."""

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
    ids=["passes", "does not pass", "closed"],
)
def test_a_message_is_sent_in_three_attempts(failures: int, error: Exception, attempts: int) -> None:
    """A send that fails is tried three times in all; on a closed connection once, since that opens no more."""
    connection: Any = Failing(failures, error)
    times = replace(FAST, send_delay_s=0.001)
    with contextlib.nullcontext() if failures < attempts else pytest.raises(type(error)):
        send(connection, "text", times, threading.Event())
    assert connection.attempts == attempts
