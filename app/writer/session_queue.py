"""The pending turns of one session."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import MessageIdReused
from ..survey import AnyCommand, Draft, SessionState, Survey
from .batch import Result, command_fingerprint

ResultCallback = Callable[[Result | Exception], None]
"""Called from another thread; must not block."""


@dataclass(slots=True, eq=False)
class PendingTurn:
    """A turn in its session's queue."""

    command: AnyCommand
    size_bytes: int
    callbacks: list[ResultCallback]


@dataclass(slots=True, eq=False)
class SessionQueue:
    """A session's pending turns, oldest first, and their stored base.

    Attributes:
        has_failed: its first turn could not be committed alone.
        is_stuck: another session's was committed since: the database is not at fault.
    """

    base: SessionState | None
    survey: Survey | None
    turns: deque[PendingTurn] = field(default_factory=deque)
    predicted: SessionState | None = None
    has_failed: bool = False
    is_stuck: bool = False

    def find(self, command: AnyCommand) -> PendingTurn | None:
        """Return the turn with the command's message id.

        Raises:
            MessageIdReused: the id belongs to another command.
        """
        if command.message_id is None:
            return None
        for pending in self.turns:
            if pending.command.message_id == command.message_id:
                if command_fingerprint(pending.command) != command_fingerprint(command):
                    raise MessageIdReused(command.message_id)
                return pending
        return None

    def replaceable_draft(self, command: AnyCommand) -> PendingTurn | None:
        """Return the last turn if it is an older draft of the command's step."""
        # The first may be being committed.
        if len(self.turns) <= 1 or not isinstance(command, Draft):
            return None
        last = self.turns[-1]
        return last if isinstance(last.command, Draft) and last.command.step == command.step else None
