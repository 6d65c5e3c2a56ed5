"""Waiting for something that may never come back, for a while only."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from app.errors import DatabaseUnavailable

T = TypeVar("T")


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, done in a thread of its own.

    Raises:
        DatabaseUnavailable: it is not done in time; it goes on, and nobody gets its result.
        whatever ``work`` raises.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - its caller gets it
            future.set_exception(error)

    # A daemon, so that a frozen database does not keep the process from ending.
    threading.Thread(target=run, name="stepkeep-reading", daemon=True).start()
    try:
        return future.result(timeout_s)
    except TimeoutError:
        raise DatabaseUnavailable("slow") from None
