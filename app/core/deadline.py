"""Blocking calls with a timeout."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

from ..errors import DatabaseUnavailable

T = TypeVar("T")

MAX_CALLS = 64
"""More than the reading connections, each of which can hang for half a minute."""


def run_with_timeout(slots: threading.Semaphore, timeout_s: float, call: Callable[[], T]) -> T:
    """Return the result of a blocking database call, made in a daemon thread.

    After a timeout the call runs on; its result is dropped.

    Args:
        slots: of MAX_CALLS calls; waiting for one is part of the timeout.

    Raises:
        DatabaseUnavailable: no result in time, or no thread.
    """
    until = monotonic() + timeout_s
    if not slots.acquire(timeout=timeout_s):
        raise DatabaseUnavailable("slow")
    future = Future[T]()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            future.set_exception(error)
        finally:
            slots.release()

    # A daemon: a frozen database must not keep the process from ending.
    try:
        threading.Thread(target=run, name="stepkeep-reading", daemon=True).start()
    except RuntimeError:  # no more threads
        slots.release()
        raise DatabaseUnavailable("no thread can be started") from None
    try:
        return future.result(max(0.0, until - monotonic()))
    except TimeoutError:
        raise DatabaseUnavailable("slow") from None
