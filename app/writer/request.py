"""A request in the writer's queue. Its caller waits on a lock or, four times as cheap under gevent, in the hub."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from ..observability import tracing
from .batch import Turn


class ThreadWaiter:
    """Lets one thread wait on a lock, and wakes it once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout_s: float) -> bool:
        """Return False after the timeout; -1 waits without one."""
        return self._lock.acquire(timeout=timeout_s)

    def wake(self) -> None:
        """Wake the caller, which may not wait yet."""
        self._lock.release()

    # Lets other callers run first. time.sleep(0) takes 70 us on Linux because of timer slack.
    yield_now = staticmethod(getattr(os, "sched_yield", lambda: None))


class GreenletWaiter:
    """Lets a greenlet wait in its hub, as :class:`ThreadWaiter`.

    -1 starts no timer, which costs more than the rest; the database's timeouts bound such waits.
    """

    __slots__ = ("_hub", "_waiter")

    def __init__(self) -> None:
        hub = sys.modules["gevent.hub"]
        self._hub: Any = hub.get_hub()
        self._waiter: Any = hub.Waiter(self._hub)

    def wait(self, timeout_s: float) -> bool:
        if timeout_s < 0:
            self._waiter.get()
            return True
        timed_out = True
        with sys.modules["gevent"].Timeout(timeout_s, False):  # False: ends the block without raising
            self._waiter.get()
            timed_out = False
        return not timed_out

    def wake(self) -> None:
        loop = self._hub.loop
        if sys.modules["gevent.hub"].get_hub() is self._hub:
            loop.run_callback(self._waiter.switch, None)
        else:
            loop.run_callback_threadsafe(self._waiter.switch, None)

    @staticmethod
    def yield_now() -> None:
        sys.modules["gevent"].sleep(0)


Waiter = ThreadWaiter | GreenletWaiter


def threads_are_greenlets() -> bool:
    """Return whether gevent has patched threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


@dataclass(slots=True, eq=False)
class WriteRequest:
    """Turns to commit, or ``work`` for its own transaction.

    Attributes:
        may_lead: whether the caller may wait as long as the database needs.
        results: one a turn, or what ``work`` returned.
        is_abandoned: the caller no longer waits.
        next: the follower to be woken by this caller.
        submitted_at: monotonic clock.
        trace_link: the caller's span.
    """

    turns: Sequence[Turn] = ()
    work: Callable[[Connection], Any] | None = None
    may_lead: bool = True
    retry_lock_waits: bool = True
    results: Any = None
    error: Exception | None = None
    is_leader: bool = False
    is_abandoned: bool = False
    next: "WriteRequest | None" = None
    waiter: Waiter | None = None
    submitted_at: float = field(default_factory=monotonic)
    trace_link: object | None = field(default_factory=tracing.current)

    def wake(self) -> None:
        if self.waiter is not None:
            self.waiter.wake()
