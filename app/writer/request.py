"""A request in the writer's queue."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from ..observability import tracing
from .batch import Turn
from .waiter import Waiter


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
        if self.waiter is not None:
            self.waiter.wake()
