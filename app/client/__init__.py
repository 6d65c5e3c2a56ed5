"""The Python client of the survey WebSocket: it reconnects, resends, and loses no answer.

A command leaves the outbox only with the server's final answer; until then it is resent with the same id, in order, and
applied once. A refused token stops the client; a new client with a valid one delivers the outbox.

It imports only ``app.errors`` and ``app.core`` of the server, and needs the extra ``client``.
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
