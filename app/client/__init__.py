"""The Python client of the survey WebSocket: it reconnects, resends, and loses no answer.

A command leaves the outbox only with the server's final answer. After any failure it is sent again with the same id,
and applied once. Commands are sent in order; each new connection starts at the oldest unanswered one.

When a token is refused, expires or is revoked, commands raise NotAdmitted and the client stops; a new client with a
valid token delivers the outbox.

It needs the extra ``client``, and of the server only ``app.errors`` and ``app.core``.
"""

from .command import PendingCommand
from .errors import (
    BadToken,
    ClientClosed,
    CommandRefused,
    CommandTooLarge,
    NotAdmitted,
    NotSendable,
    OutboxFailed,
    OutboxInUse,
    OutboxOwnerMismatch,
    PermanentlyRefused,
    Rejected,
)
from .outbox import FileOutbox, MemoryOutbox, Outbox
from .survey_client import SurveyClient
from .timeouts import ClientTimeouts

__all__ = [
    "BadToken",
    "ClientClosed",
    "ClientTimeouts",
    "CommandRefused",
    "CommandTooLarge",
    "FileOutbox",
    "MemoryOutbox",
    "NotAdmitted",
    "NotSendable",
    "Outbox",
    "OutboxFailed",
    "OutboxInUse",
    "OutboxOwnerMismatch",
    "PendingCommand",
    "PermanentlyRefused",
    "Rejected",
    "SurveyClient",
]
