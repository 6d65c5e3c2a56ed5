"""Requests in the writer's queue. Under gevent, callers wait in the hub, four times as cheap as on a lock."""

import logging
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from ..observability import tracing
from ..survey import SessionKey
from .batch import Turn

log = logging.getLogger("stepkeep.store")


class ThreadWaiter:
    """Lets one thread wait on a lock."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout_s: float) -> bool:
        """Return False after the timeout; -1 waits without one."""
        return self._lock.acquire(timeout=timeout_s)

    def wake(self) -> None:
        self._lock.release()

    # Lets other callers run first. time.sleep(0) takes 70 us on Linux because of timer slack.
    yield_now = staticmethod(getattr(os, "sched_yield", lambda: None))


class GreenletWaiter:
    """A timeout of -1 starts no timer, which costs more than the rest."""

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
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


@dataclass(slots=True, eq=False)
class WriteRequest:
    """Turns to commit, or ``work`` for its own transaction.

    Attributes:
        skips_blocked: leaves out the turns of blocked sessions, also if there are no others.
        left_out: blocked sessions whose turns were left out, for the caller to submit again.
        is_blocked: set aside until a caller's transaction ends.
        callback: of a caller that does not wait, called by the committing thread.
    """

    turns: Sequence[Turn] = ()
    work: Callable[[Connection], Any] | None = None
    retry_lock_waits: bool = True
    results: Any = None
    error: Exception | None = None
    is_leader: bool = False
    is_taken: bool = False
    skips_blocked: bool = False
    left_out: frozenset[SessionKey] = frozenset()
    is_blocked: bool = False
    is_abandoned: bool = False
    callback: "Callable[[WriteRequest], None] | None" = None
    next: "WriteRequest | None" = None
    waiter: Waiter | None = None
    submitted_at: float = field(default_factory=monotonic)
    trace_link: object | None = field(default_factory=tracing.current)

    def call_back(self) -> None:
        if self.callback is None:
            return
        try:
            self.callback(self)
        except Exception:
            log.exception("Unexpected error in the callback of a turn.")

    def wake(self) -> None:
        if self.waiter is not None:
            self.waiter.wake()


class RequestQueue:
    """Needs the writer's mutex. Blocked requests wait for a caller's transaction."""

    def __init__(self) -> None:
        self.turns = 0
        self._requests: deque[WriteRequest] = deque()
        self._blocked: list[WriteRequest] = []
        self._blockers: Counter[SessionKey] = Counter()

    def __len__(self) -> int:
        return len(self._requests)

    def first(self) -> WriteRequest:
        return self._requests[0]

    def append(self, request: WriteRequest) -> bool:
        """Return whether it can be taken."""
        self.turns += len(request.turns)
        self._place(request)
        return not request.is_blocked

    def remove(self, request: WriteRequest) -> bool:
        requests = self._blocked if request.is_blocked else self._requests
        if request not in requests:
            return False
        requests.remove(request)
        self.turns -= len(request.turns)
        return True

    def take(self, limit: int) -> list[WriteRequest]:
        """Take requests of up to ``limit`` turns, or one request; ``work`` is taken alone."""
        taken: list[WriteRequest] = []
        size = 0
        while self._requests:
            request = self._requests[0]
            if taken and (request.work is not None or size + len(request.turns) > limit):
                break
            self._requests.popleft()
            self.turns -= len(request.turns)
            if request.is_abandoned:
                continue
            request.is_taken = True
            taken.append(request)
            size += len(request.turns)
            if request.work is not None:
                break
        return taken

    def block(self, key: SessionKey) -> None:
        """Set aside the session's requests, except the leader's."""
        self._blockers[key] += 1
        requests, self._requests = self._requests, deque()
        for request in requests:
            self._place(request)

    def is_blocked(self, key: SessionKey) -> bool:
        return key in self._blockers

    def unblock(self, key: SessionKey | None) -> None:
        """Undo one :meth:`block`, or all for None."""
        self._blockers = self._blockers - Counter([key]) if key is not None else Counter()
        leader = [self._requests.popleft()] if self._requests and self._requests[0].is_leader else []
        others, self._requests = self._requests, deque(leader)  # the leader takes the first, which must be its own
        blocked, self._blocked = self._blocked, []
        for request in blocked:
            self._place(request)
        self._requests.extend(others)

    def _place(self, request: WriteRequest) -> None:
        blocked = frozenset(key for key, _ in request.turns if key in self._blockers) if self._blockers else frozenset()
        free = [turn for turn in request.turns if turn[0] not in blocked] if blocked else request.turns
        if blocked and (free or request.skips_blocked):
            self.turns -= len(request.turns) - len(free)
            request.turns, request.left_out = free, request.left_out | blocked
            blocked = frozenset()
        request.is_blocked = bool(blocked) and not request.is_leader
        (self._blocked if request.is_blocked else self._requests).append(request)
