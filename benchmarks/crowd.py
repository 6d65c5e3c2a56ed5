"""Callers in a closed loop: each does its turns one after the other until the window closes.

A turn counts if its caller was woken within the window. In a process that gevent has patched the
threads are greenlets; each gives way between its turns, as one that waits for its next message does, or
the first of those that never wait in a turn would do all turns. Imports nothing but the standard library:
every contestant uses it.
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
"""How long callers may take to end after the window; more than a driver's usual wait for a lock (5 s)."""

_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one measurement found.

    Attributes:
        turns: those that ended within the window.
        seconds: the length of the window.
        p50_us, p99_us: how long a turn took, of a group the whole group, in microseconds.
        errors: how often each error came.
        stuck: callers that had not ended when the grace was over; whoever has such must be ended.
    """

    turns: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: dict[str, int] = field(default_factory=dict)
    stuck: int = 0


class _Window:
    """When to begin and when to end, and what came of it."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.closes_at = 0.0
        self.times: list[float] = []
        self.errors: collections.Counter[str] = collections.Counter()

    def open(self, seconds: float) -> None:
        self.closes_at = time.perf_counter() + seconds
        self.opened.set()

    def note(self, started: float) -> None:
        ended = time.perf_counter()
        if ended <= self.closes_at:
            self.times.append(ended - started)

    def failed(self, error: BaseException) -> None:
        self.errors[f"{type(error).__name__}: {' '.join(str(error).split())}"[:_SHOWN]] += 1

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
    """Return what so many threads (greenlets, under gevent) did; each calls its own turn again and again."""
    window = _Window()
    are_greenlets = "gevent.monkey" in sys.modules

    def call(turn: Callable[[], object]) -> None:
        window.opened.wait()
        while (started := time.perf_counter()) < window.closes_at:
            try:
                turn()
            except Exception as error:  # noqa: BLE001 - counted and reported, whatever it is
                window.failed(error)
            else:
                window.note(started)
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
    """Return what so many asyncio tasks did."""
    window = _Window()

    async def call(turn: Callable[[], Awaitable[object]]) -> None:
        while (started := time.perf_counter()) < window.closes_at:
            try:
                await turn()
            except Exception as error:  # noqa: BLE001 - counted and reported, whatever it is
                window.failed(error)
                await asyncio.sleep(0)  # an error that comes without waiting must not starve the others
            else:
                window.note(started)

    window.open(seconds)
    callers = [asyncio.ensure_future(call(turn)) for turn in turns]
    _, late = await asyncio.wait(callers, timeout=seconds + GRACE_S)
    for caller in late:
        caller.cancel()
    return window.measured(seconds, len(late))


def in_groups(group: Callable[[], int], seconds: float) -> Measured:
    """Return what one caller did that hands in a whole group at once; ``group`` returns how many turns it did."""
    window = _Window()
    turns = 0
    opened = ended = time.perf_counter()
    window.open(2 * seconds)  # the last group counts, however late: the rate is by the time that was needed
    while ended - opened < seconds:
        started = ended
        try:
            turns += group()
        except Exception as error:  # noqa: BLE001 - counted and reported, whatever it is
            window.failed(error)
        else:
            window.note(started)
        ended = time.perf_counter()
    return dataclasses.replace(window.measured(ended - opened, 0), turns=turns)


def _percentile(times: Sequence[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))] * 1e6 if times else 0.0
