"""Waiting for something that may never come back, for a while only."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ..errors import DatabaseUnavailable

T = TypeVar("T")

AT_ONCE = 64
"""Works that may be under way: more than the connections that read; each may be stuck for half a minute."""

_room = threading.BoundedSemaphore(AT_ONCE)


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, done in a thread of its own.

    Raises:
        DatabaseUnavailable: it is not done in time; it goes on, and nobody gets its result.
        whatever ``work`` raises.
    """
    if not _room.acquire(timeout=timeout_s):
        raise DatabaseUnavailable("slow")
    room, future = _room, Future[T]()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - its caller gets it
            future.set_exception(error)
        finally:
            room.release()

    # A daemon, so that a frozen database does not keep the process from ending.
    try:
        threading.Thread(target=run, name="stepkeep-reading", daemon=True).start()
    except RuntimeError:  # the machine has no more threads
        room.release()
        raise DatabaseUnavailable("no thread can be started") from None
    try:
        return future.result(timeout_s)
    except TimeoutError:
        raise DatabaseUnavailable("slow") from None


def _forget_after_fork() -> None:
    global _room  # noqa: PLW0603 - what is under way is the parent's
    _room = threading.BoundedSemaphore(AT_ONCE)


os.register_at_fork(after_in_child=_forget_after_fork)
