"""Blocking calls with a timeout."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

from ..errors import DatabaseUnavailable

T = TypeVar("T")

SLOW = "slow"
"""The problem of a DatabaseUnavailable by timeout."""


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._result: T | None = None
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - raised again by `wait`
            self._error = error
        self._done.release()

    def wait(self, timeout_s: float) -> T:
        if not self._done.acquire(timeout=timeout_s):
            raise DatabaseUnavailable(SLOW)
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


class DeadlineThreads:
    """Up to ``limit`` threads for blocking calls: daemons, because a frozen database must not keep a process alive."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._mutex = threading.Lock()
        self._threads = self._busy = 0
        self._is_closed = False

    def run(self, timeout_s: float, function: Callable[[], T]) -> T:
        """Return the function's result, or raise DatabaseUnavailable after the timeout; the function runs on."""
        call = _Call(function)
        self.start(call.run)
        return call.wait(timeout_s)

    def start(self, function: Callable[[], None]) -> None:
        """Run a function, which must not raise, in one of the threads."""
        with self._mutex:
            if self._is_closed:
                raise DatabaseUnavailable("closed")
            if self._busy >= self._threads and self._threads < self._limit:
                try:
                    threading.Thread(target=self._serve, name="stepkeep-reading", daemon=True).start()
                except RuntimeError:  # no more threads
                    raise DatabaseUnavailable("no thread can be started") from None
                self._threads += 1
            self._busy += 1
            self._calls.put(function)  # before the end mark of `close`

    def close(self) -> None:
        """End the threads after the calls so far."""
        with self._mutex:
            if not self._is_closed:
                self._is_closed = True
                for _ in range(self._threads):
                    self._calls.put(None)

    def _serve(self) -> None:
        while (function := self._calls.get()) is not None:
            function()
            with self._mutex:
                self._busy -= 1
