"""Other processes: their ports and children, and waits for conditions with a timeout and a message."""

import contextlib
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path

START_S = 60


def free_port() -> int:
    """Return a free port of loopback.

    It lies below the ports that kernels choose for outgoing connections and for port 0: one of those could be taken
    before the caller's server binds it.
    """
    while True:
        port = secrets.SystemRandom().randrange(10_100, 30_000)  # browsers refuse 10080
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


def children(pid: int) -> list[int]:
    """Return the running child processes of a process (Linux)."""
    pids: list[int] = []
    with contextlib.suppress(OSError):  # the process or a thread of it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                pids += [int(word) for word in (task / "children").read_text().split()]
    return pids


def wait_for(
    condition: Callable[[], bool], message: str | Callable[[], str], timeout_s: float = START_S, every_s: float = 0.02
) -> None:
    """Wait until the condition holds; fail with the message after the timeout.

    Args:
        message: a text, or a function that returns it, e.g. with the log of the other process.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, message() if callable(message) else message
        time.sleep(every_s)  # polls: the other process sends no notification
