"""A command on its way, and its answer."""

import contextlib
from concurrent.futures import Future, InvalidStateError
from typing import Any

from ..errors import StepkeepError


class Sent:
    """A command on its way.

    Attributes:
        id: its id.
        command: its message, as it is sent.
        is_pending: the server accepted it, and saves it when its database is back.
        future: has the answer when there is one, for callbacks and ``concurrent.futures.wait``; the client sets it.
    """

    def __init__(self, command: dict[str, Any]) -> None:
        self.id: str = command["id"]
        self.command = command
        self.is_pending = False
        self.future: Future[dict[str, Any]] = Future()

    @property
    def done(self) -> bool:
        """Whether :meth:`result` would return or raise at once."""
        return self.future.done()

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the ``ack``: the command is committed. Not to be called by the listener, which it would wait for.

        Raises:
            Rejected: the survey's rules refuse it.
            CommandRefused: the server takes it for no command.
            RefusedForGood: the server does not let this client in; the outbox keeps the command.
            ClientClosed: the client was closed first; the outbox keeps the command.
            TimeoutError: no answer yet; the command stays on its way.
        """
        return self.future.result(timeout_s)


def settle(sent: Sent, answer: dict[str, Any] | StepkeepError) -> None:
    """Give the command its answer, if it has none yet: the ack and the client's closing may come together."""
    with contextlib.suppress(InvalidStateError):
        if isinstance(answer, StepkeepError):
            sent.future.set_exception(answer)
        else:
            sent.future.set_result(answer)
