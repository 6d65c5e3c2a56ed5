"""A caller's place in the writer's queue: what he hands in, and what he is given back. Used by ``writer.py``."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from ..observability import tracing
from .batch import Turn
from .waiter import Waiter


class WriteRequest:
    """One caller's place in the queue.

    Attributes:
        at: when it was made, by the monotonic clock.
        origin: the span of the caller, where traces are made.
    """

    __slots__ = (
        "answers",
        "at",
        "error",
        "is_left",
        "leads",
        "may_lead",
        "next",
        "origin",
        "parking",
        "retry_lock_waits",
        "turns",
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
        self.answers: Any = None
        self.error: Exception | None = None
        self.leads = False
        self.is_left = False
        self.next: WriteRequest | None = None
        self.parking: Waiter | None = None
        self.at = monotonic()
        self.origin = tracing.current()

    def wake(self) -> None:
        """Wake the caller, if he waits."""
        if self.parking is not None:
            self.parking.wake()
