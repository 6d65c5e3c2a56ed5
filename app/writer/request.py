"""A caller's request in the writer's queue."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from ..observability import tracing
from .batch import Turn
from .waiter import Waiter


class WriteRequest:
    """Turns to commit, or ``work`` to run in a transaction of its own.

    Attributes:
        may_lead: whether the caller can become the leader, which waits as long as the database needs.
        retry_lock_waits: whether to retry a transaction that timed out waiting for a lock.
        results: one result a turn, or what ``work`` returned.
        error: why there are no results.
        is_leader: the caller leads now.
        is_abandoned: the caller no longer waits.
        next: the follower that this caller wakes in turn.
        submitted_at: monotonic clock.
        trace_link: the caller's span, if there is tracing.
    """

    __slots__ = (
        "error",
        "is_abandoned",
        "is_leader",
        "may_lead",
        "next",
        "results",
        "retry_lock_waits",
        "submitted_at",
        "trace_link",
        "turns",
        "waiter",
        "work",
    )

    def __init__(
        self,
        turns: Sequence[Turn],
        work: Callable[[Connection], Any] | None = None,
        *,
        may_lead: bool = True,
        retry_lock_waits: bool = True,
    ) -> None:
        self.turns = turns
        self.work = work
        self.may_lead = may_lead
        self.retry_lock_waits = retry_lock_waits
        self.results: Any = None
        self.error: Exception | None = None
        self.is_leader = False
        self.is_abandoned = False
        self.next: WriteRequest | None = None
        self.waiter: Waiter | None = None
        self.submitted_at = monotonic()
        self.trace_link = tracing.current()

    def wake(self) -> None:
        """Wake the caller, if it waits."""
        if self.waiter is not None:
            self.waiter.wake()
