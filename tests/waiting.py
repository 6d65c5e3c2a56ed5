"""Waiting for other processes: bounded, and a failure says for what."""

import socket
import time
from collections.abc import Callable

START_S = 60


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def wait_for(
    condition: Callable[[], bool], message: str | Callable[[], str], timeout_s: float = START_S, every_s: float = 0.02
) -> None:
    """Return when the condition holds; fail with the message if it doesn't in time.

    Args:
        message: a text, or what makes it when it is wanted: what another process wrote until then.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, message() if callable(message) else message
        time.sleep(every_s)  # between two looks at another process; nothing else tells
