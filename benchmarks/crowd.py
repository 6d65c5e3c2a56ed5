"""Callers in a closed loop: each makes one turn after another until the window closes.

A turn counts if its caller was woken within the window. In a process patched by gevent the threads are greenlets; each
yields between its turns, like a connection that waits for its next message, since otherwise the first one whose turns
never block would make all turns. Imports only the standard library: every contestant uses it.
"""

import asyncio
import collections
import dataclasses
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

GRACE_S = 12.0
"""Time for callers to finish after the window; longer than a driver's usual wait for a lock (5 s)."""

_MAX_ERROR_LENGTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The result of one measurement.

    Attributes:
        turns: number of turns that ended within the window.
        seconds: the length of the window.
        p50_us, p99_us: duration of a turn, or of a whole group, in microseconds.
        errors: count of each error.
        stuck: number of callers that had not ended after GRACE_S; their process must be killed.
    """

    turns: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: dict[str, int] = field(default_factory=dict)
    stuck: int = 0


class _Window:
    """The window of a measurement, and its results."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.closes_at = 0.0
        self.times: list[float] = []
        self.errors: collections.Counter[str] = collections.Counter()

    def open(self, seconds: float) -> None:
        self.closes_at = time.perf_counter() + seconds
        self.opened.set()

    def add(self, started: float) -> None:
        ended = time.perf_counter()
        if ended <= self.closes_at:
            self.times.append(ended - started)

    def add_error(self, error: BaseException) -> None:
        self.errors[f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_ERROR_LENGTH]] += 1

    def measured(self, seconds: float, stuck: int) -> Measured:
        times = sorted(self.times)
        return Measured(
            turns=len(times),
            seconds=seconds,
            p50_us=_percentile(times, 0.50),
            p99_us=_percentile(times, 0.99),
            errors=dict(self.errors),
            stuck=stuck,
        )


def in_threads(turns: Sequence[Callable[[], object]], seconds: float) -> Measured:
    """Measure one thread (under gevent, greenlet) for each turn, which it calls in a loop."""
    window = _Window()
    are_greenlets = "gevent.monkey" in sys.modules

    def call(turn: Callable[[], object]) -> None:
        window.opened.wait()
        while (started := time.perf_counter()) < window.closes_at:
            try:
                turn()
            except Exception as error:  # noqa: BLE001 - counted and reported
                window.add_error(error)
            else:
                window.add(started)
            if are_greenlets:
                time.sleep(0)

    callers = [threading.Thread(target=call, args=(turn,), daemon=True) for turn in turns]
    for caller in callers:
        caller.start()
    window.open(seconds)
    for caller in callers:
        caller.join(max(0.0, window.closes_at + GRACE_S - time.perf_counter()))
    return window.measured(seconds, sum(caller.is_alive() for caller in callers))


async def in_tasks(turns: Sequence[Callable[[], Awaitable[object]]], seconds: float) -> Measured:
    """Measure one asyncio task for each turn."""
    window = _Window()

    async def call(turn: Callable[[], Awaitable[object]]) -> None:
        while (started := time.perf_counter()) < window.closes_at:
            try:
                await turn()
            except Exception as error:  # noqa: BLE001 - counted and reported
                window.add_error(error)
                await asyncio.sleep(0)  # an error without any waiting must not starve the others
            else:
                window.add(started)

    window.open(seconds)
    callers = [asyncio.ensure_future(call(turn)) for turn in turns]
    _, late = await asyncio.wait(callers, timeout=seconds + GRACE_S)
    for caller in late:
        caller.cancel()
    return window.measured(seconds, len(late))


def in_groups(group: Callable[[], int], seconds: float) -> Measured:
    """Measure one caller that submits whole groups; ``group`` returns its number of turns."""
    window = _Window()
    turns = 0
    opened = ended = time.perf_counter()
    window.open(2 * seconds)  # the last group counts even if it is late: the rate uses the actual time
    while ended - opened < seconds:
        started = ended
        try:
            turns += group()
        except Exception as error:  # noqa: BLE001 - counted and reported
            window.add_error(error)
        else:
            window.add(started)
        ended = time.perf_counter()
    return dataclasses.replace(window.measured(ended - opened, 0), turns=turns)


def _percentile(times: Sequence[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))] * 1e6 if times else 0.0
