"""Waiting on a lock or, four times as cheap under gevent, in the hub."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol


class Waiter(Protocol):
    """Lets one caller wait, and wakes it once."""

    def wait(self, timeout_s: float) -> bool:
        """Return False after the timeout; -1 waits without one."""
        ...

    def wake(self) -> None:
        """Wake the caller, which may not wait yet."""
        ...

    @staticmethod
    def yield_now() -> None:
        """Let other threads or greenlets run first."""
        ...


class ThreadWaiter:
    """Lets a thread wait on a lock."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout_s: float) -> bool:
        return self._lock.acquire(timeout=timeout_s)

    def wake(self) -> None:
        self._lock.release()

    @staticmethod
    def yield_now() -> None:
        _YIELD()


class GreenletWaiter:
    """Lets a greenlet wait in its hub.

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


# time.sleep(0) takes 70 us on Linux because of timer slack.
_YIELD: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


def threads_are_greenlets() -> bool:
    """Return whether gevent has patched threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
