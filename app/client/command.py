"""Unacknowledged commands, and their order."""

import asyncio
import contextlib
from concurrent.futures import Future, InvalidStateError
from typing import Any

from ..errors import StepkeepError
from .messages import AckMessage

DRAFT = ""
"""The draft's key in the queue; no command has this id."""


class PendingCommand:
    """A command; if ``is_pending``, the server will commit it after an outage."""

    def __init__(self, command: dict[str, Any]) -> None:
        self.id: str = command["id"]
        self.command = command
        self.is_pending = False
        self.future: Future[AckMessage] = Future()

    @property
    def done(self) -> bool:
        return self.future.done()

    def result(self, timeout_s: float | None = None) -> AckMessage:
        """Wait for the ``ack``, which means committed. Not to be called by the listener.

        Raises:
            Rejected, CommandRefused: it has left the outbox.
            PermanentlyRefused, ClientClosed, TimeoutError: the outbox keeps it.
        """
        try:
            return self.future.result(timeout_s)
        except TimeoutError:
            raise TimeoutError(f"not acknowledged within {timeout_s} s; it stays in the outbox") from None

    def resolve(self, result: AckMessage | StepkeepError) -> None:
        with contextlib.suppress(InvalidStateError):  # the ack and the closing of the client can coincide
            if isinstance(result, StepkeepError):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)


class AsyncPendingCommand:
    """:class:`PendingCommand` for asyncio; a cancelled ``result()`` does not end it."""

    def __init__(self, pending: PendingCommand) -> None:
        self._pending = pending
        self.id, self.command = pending.id, pending.command

    @property
    def is_pending(self) -> bool:
        return self._pending.is_pending

    @property
    def done(self) -> bool:
        return self._pending.done

    async def result(self, timeout_s: float | None = None) -> AckMessage:
        """Wait for the ``ack``; raises as :meth:`PendingCommand.result`."""
        waiting = asyncio.wrap_future(self._pending.future)
        waiting.add_done_callback(lambda future: future.cancelled() or future.exception())  # retrieved, if not here
        done, _ = await asyncio.wait([waiting], timeout=timeout_s)
        if not done:
            raise TimeoutError(f"not acknowledged within {timeout_s} s; it stays in the outbox")
        return waiting.result()


class SendQueue:
    """A connection's messages, in order. Not thread-safe."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._sent: dict[str, str] = {}
        self._unanswered: set[str] = set()

    def add(self, key: str, text: str) -> None:
        self._waiting.pop(key, None)  # the new one goes to the end
        self._waiting[key] = text

    def take(self, limit: int) -> tuple[str, str] | None:
        if not self._waiting or len(self._unanswered) >= limit:
            return None
        key = next(iter(self._waiting))
        text = self._sent[key] = self._waiting.pop(key)
        if key != DRAFT:
            self._unanswered.add(key)
        return key, text

    def mark_answered(self, key: str) -> None:
        self._unanswered.discard(key)  # by ``pending``: it may be sent again

    def remove(self, key: str) -> None:
        self._unanswered.discard(key)
        self._sent.pop(key, None)
        self._waiting.pop(key, None)

    def remove_sent_draft(self) -> None:
        self._sent.pop(DRAFT, None)  # drafts are sent at most once

    def rewind(self) -> None:
        """Queue sent messages again, before waiting ones."""
        if DRAFT in self._waiting:  # which is newer
            self._sent.pop(DRAFT, None)
        self._waiting = {**self._sent, **self._waiting}
        self._sent = {}
        self._unanswered.clear()
