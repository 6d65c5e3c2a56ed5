"""One thread that serves all WebSockets of a process.

A thread for each would cost a hand-over for each frame, and collapse beyond some thousand.
"""

import logging
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Protocol

log = logging.getLogger("stepkeep.socket")

TICK_S = 0.05  # between visits to a part of the sockets
TICKS = 20  # in which each socket is visited once

# How long the thread leaves the interpreter to the writer, which commits what this round received: both at once would
# take it from each other at each system call. A slower commit delays nothing else.
RESULTS_S = 0.01
OPENING_THREADS = 8  # for what may wait for the database before a socket is served


class Served(Protocol):
    """A socket that the loop serves, in its thread."""

    def fileno(self) -> int: ...

    def on_ready(self, events: int) -> None: ...  # EVENT_READ or EVENT_WRITE

    def on_tick(self, now: float, *, is_stopping: bool) -> None: ...  # each second or so

    def abort(self) -> None: ...  # after an unexpected error


class SocketLoop:
    """Serves sockets. Other threads use only :meth:`call` and :meth:`run_in_thread`."""

    def __init__(self) -> None:
        self.flush: Callable[[], bool] = lambda: False  # called after each round; returns whether results are due soon
        self.check: Callable[[float], None] = lambda _now: None  # called at each tick, with the monotonic clock
        self.is_stopping: Callable[[], bool] = lambda: False
        self._calls: deque[Callable[[], object]] = deque()
        self._is_woken = False
        self._served: dict[int, Served] = {}
        self._tick_number = 0
        self._tick_at = 0.0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._openers = ThreadPoolExecutor(OPENING_THREADS, "stepkeep-opening")

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Run a function in the loop's thread, in the order of the calls."""
        self._calls.append(partial(function, *arguments) if arguments else function)
        if self._is_woken:
            return
        if self._thread is None:
            self._start()
        self._is_woken = True
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")

    def run_in_thread(self, function: Callable[[], object]) -> None:
        self._openers.submit(function)

    def watch(self, served: Served, events: int) -> None:
        """Call ``on_ready`` for these events, 0 for none, and ``on_tick`` from now on."""
        fileno = served.fileno()
        self._served[fileno] = served
        if fileno in self._selector.get_map():
            self._selector.modify(fileno, events, served) if events else self._selector.unregister(fileno)
        elif events:
            self._selector.register(fileno, events, served)

    def forget(self, served: Served) -> None:
        """Stop calling it, before its descriptor is closed."""
        self.watch(served, 0)
        del self._served[served.fileno()]

    def _start(self) -> None:
        """Open the descriptors and start the thread: not before a fork, or processes would share their events."""
        with self._starting:
            if self._thread is None:
                self._selector, self._wake_up = selectors.DefaultSelector(), selectors.DefaultSelector()
                self._reader, self._writer = os.pipe()
                os.set_blocking(self._reader, False)
                os.set_blocking(self._writer, False)
                for selector in (self._selector, self._wake_up):
                    selector.register(self._reader, selectors.EVENT_READ, None)
                self._thread = threading.Thread(target=self._run, name="stepkeep-sockets", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._round()
            except Exception:
                log.exception("Unexpected error in the thread of the WebSockets; continuing.")

    def _round(self) -> None:
        timeout_s = 0.0 if self._calls else max(0.0, self._tick_at - monotonic())
        for key, events in self._selector.select(timeout_s):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._reader, 64)
                self._is_woken = False
            else:
                self._guard(key.data, key.data.on_ready, events)
        self._run_calls()
        now = monotonic()
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            self._tick(now)
        if self.flush():
            self._wake_up.select(RESULTS_S)

    def _run_calls(self) -> None:
        for _ in range(len(self._calls)):
            function = self._calls.popleft()
            try:
                function()
            except Exception:
                log.exception("Unexpected error in a call of the WebSockets' thread; continuing.")

    def _tick(self, now: float) -> None:
        self.check(now)
        is_stopping = self.is_stopping()
        keys = list(self._served.values())
        if not is_stopping:
            self._tick_number = (self._tick_number + 1) % TICKS
            keys = keys[self._tick_number :: TICKS]
        for served in keys:
            self._guard(served, partial(served.on_tick, is_stopping=is_stopping), now)

    @staticmethod
    def _guard(served: Served, function: Callable[..., None], argument: float) -> None:
        try:
            function(argument)
        except Exception:
            log.exception("unexpected error; closing the connection")
            with suppress(Exception):
                served.abort()
