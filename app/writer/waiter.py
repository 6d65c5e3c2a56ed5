"""How a caller waits until another one wakes him: a thread on a lock, a greenlet in its hub.

Under gevent a patched lock would do, at four times the cost, and waking is a good part of a turn's.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol


class Waiter(Protocol):
    """One caller's place to wait; woken once."""

    def wait(self, timeout_s: float) -> bool:
        """Return True when woken, False when the time is over."""
        ...

    def wake(self) -> None:
        """Let the caller go on; also before it waits."""
        ...

    @staticmethod
    def yield_now() -> None:
        """Let those go first who are about to do what the caller does."""
        ...


class ThreadWaiter:
    """A thread that waits on a lock."""

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
    """A greenlet that waits in its hub.

    Who gives no time-out (-1) is spared the timer, which costs more than the rest of the wait: all but those who
    must not wait for a broken database. The others' wait is bounded by the database's time-outs for statements
    and locks; STEPKEEP_QUEUE_TIMEOUT_S counts for room in the queue only.
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
        is_over = True
        with sys.modules["gevent"].Timeout(timeout_s, False):  # False: it ends the block, and raises nothing
            self._waiter.get()
            is_over = False
        return not is_over

    def wake(self) -> None:
        loop = self._hub.loop
        if sys.modules["gevent.hub"].get_hub() is self._hub:
            loop.run_callback(self._waiter.switch, None)
        else:
            loop.run_callback_threadsafe(self._waiter.switch, None)

    @staticmethod
    def yield_now() -> None:
        sys.modules["gevent"].sleep(0)


# time.sleep(0) would do, and takes 70 us on Linux: its timer's slack.
_YIELD: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


def threads_are_greenlets() -> bool:
    """Return whether gevent has taken the place of threads in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
